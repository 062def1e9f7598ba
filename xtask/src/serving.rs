//! A server under load, measured by its clients.
//!
//! `trials` has what is measured, `stream` is a client that notes times, `record` writes it down.

mod record;
mod stream;
mod trials;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::end_to_end;
use crate::finding::{Finding, Target};
use crate::machine::Machine;
use crate::peers::files::Files;
use crate::server::Server;
use crate::workspace::Workspace;
use record::{Part, Record};
use stream::Streamed;

/// What to measure.
pub struct Plan {
    /// `phi-4-mini` (its real shape with random weights), `starter`, or a GGUF file.
    pub model: String,
    pub threads: usize,
    /// Measurements of each number, where it takes one request.
    pub runs: usize,
    /// Streams at once.
    pub streams: usize,
    /// Tokens of each of them.
    pub tokens: usize,
    /// Names of trials, with commas between; all when not given.
    pub only: Option<String>,
    /// The program to measure; built when not given.
    pub phial: Option<PathBuf>,
}

impl Plan {
    /// The command that measures the same.
    pub fn command(&self) -> String {
        let Self { model, threads, runs, streams, tokens, .. } = self;
        let name = Path::new(model).file_name().unwrap_or_default().to_string_lossy();
        let only = self.only.as_ref().map(|only| format!(" --only {only}")).unwrap_or_default();
        format!(
            "cargo xtask bench-serving --model {name} --threads {threads} --runs {runs} --streams \
             {streams} --tokens {tokens}{only}"
        )
    }
}

/// The type of the weights that Phi-4-mini is measured with.
const WEIGHTS: &str = "q4_k_m";

/// Something to measure: its name, what it shows, and how it is done.
struct Trial {
    name: &'static str,
    what: &'static str,
    run: fn(&Bench<'_>) -> Result<Vec<Finding>>,
}

const TRIALS: &[Trial] = &[
    Trial { name: "streams", what: "streams at once", run: trials::streams },
    Trial { name: "prefix", what: "a prefix of 2,000 tokens, shared", run: trials::prefix },
    Trial { name: "speculation", what: "guesses of tokens, off and on", run: trials::speculation },
];

/// Where everything is.
pub struct Bench<'a> {
    workspace: &'a Workspace,
    plan: &'a Plan,
    phial: PathBuf,
    model: PathBuf,
    /// The name that requests give.
    name: String,
}

impl Bench<'_> {
    /// A server of the model, with further arguments.
    fn serve(&self, more: &[&str]) -> Result<Server> {
        let mut command = Command::new(&self.phial);
        command.args(["serve", "--port", "0", "--served-name", &self.name]);
        command.args(["--threads", &self.plan.threads.to_string()]).args(more);
        command.arg("--model").arg(&self.model);
        command.env("PHIAL_HOME", end_to_end::home(self.workspace));
        Server::start(command)
    }

    /// Asks one question.
    fn ask(&self, address: &str, question: &str, more: Value) -> Result<Streamed> {
        let messages = json!([{"role": "user", "content": question}]);
        stream::chat(address, &self.name, &messages, more)
    }

    /// An empty folder of this name.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.workspace.target.join("bench-serving").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Measures and writes the record, anew after every trial: what is measured is not lost.
///
/// # Errors
/// If a trial cannot be made at all. A target that is missed is no error.
pub fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let chosen = chosen(plan.only.as_deref())?;
    let phial = match &plan.phial {
        Some(path) => fs::canonicalize(path)
            .with_context(|| format!("there is no program {}", path.display()))?,
        None => end_to_end::release_binary(workspace)?,
    };
    let files = Files { workspace, phial: &phial, model: &plan.model };
    let model = files.find(WEIGHTS)?.path;
    let name = "measured".to_owned();
    let bench = Bench { workspace, plan, phial, model, name };
    let machine = Machine::here();
    let mut record = Record { plan, machine: &machine, parts: Vec::new() };
    for trial in chosen {
        println!("{}", trial.what);
        let findings = (trial.run)(&bench).map_err(|error| format!("{error:#}"));
        let failed = findings.as_ref().err().cloned();
        record.parts.push(Part { name: trial.name, what: trial.what, findings });
        let path = record.write(&workspace.root.join("bench/record"))?;
        println!("\n{}\nwritten to {}", record.page(), path.display());
        if let Some(failure) = failed {
            bail!("{}: {failure}", trial.name);
        }
    }
    Ok(())
}

fn chosen(only: Option<&str>) -> Result<Vec<&'static Trial>> {
    let Some(only) = only else { return Ok(TRIALS.iter().collect()) };
    let find = |name: &str| {
        let trial = TRIALS.iter().find(|trial| trial.name == name);
        let names: Vec<_> = TRIALS.iter().map(|trial| trial.name).collect();
        trial.with_context(|| format!("no trial is called '{name}'; trials: {}", names.join(", ")))
    };
    let chosen = only.split(',').map(find).collect::<Result<Vec<_>>>()?;
    ensure!(!chosen.is_empty(), "--only names no trial");
    Ok(chosen)
}
