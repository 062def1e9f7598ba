//! Speed beside other engines, on the same file and the same threads, by turns.

mod record;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{end_to_end, process, python};
use record::{Record, Speed};

const PREFILL_TOKENS: usize = 512;
const DECODE_TOKENS: usize = 32;

/// What to measure.
pub struct Plan {
    /// `starter`, or `phi-4-mini` (its real shape with random weights).
    pub model: String,
    pub threads: usize,
    /// Measurements of each engine.
    pub runs: usize,
}

/// Measures and writes the record.
pub fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let phial = end_to_end::release_binary(workspace)?;
    let model = model_file(workspace, &phial, &plan.model)?;
    let python = python::environment(workspace, "peers", "xtask/peers/requirements.txt")?;
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for run in 1..=plan.runs {
        let speed = measure(&mut phial_command(&phial, &model, plan))?;
        println!("run {run}: phial     {speed}");
        ours.push(speed);
        let script = workspace.root.join("xtask/peers/measure_llama_cpp.py");
        let speed = measure(&mut llama_command(&python, &script, &model, plan))?;
        println!("run {run}: llama.cpp {speed}");
        theirs.push(speed);
    }
    let file = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let record = Record { plan, file, ours, theirs };
    let path = record.write(&workspace.root.join("bench/record"))?;
    println!("\n{}\nwritten to {}", record.table(), path.display());
    Ok(())
}

fn phial_command(phial: &Path, model: &Path, plan: &Plan) -> Command {
    let mut command = Command::new(phial);
    command.args(["bench", "--json", "--threads", &plan.threads.to_string()]);
    command.args(["-p", &PREFILL_TOKENS.to_string(), "-n", &DECODE_TOKENS.to_string()]);
    command.arg("--model").arg(model);
    command
}

fn llama_command(python: &Path, script: &Path, model: &Path, plan: &Plan) -> Command {
    let mut command = Command::new(python);
    command.arg(script).arg(model).arg(plan.threads.to_string());
    command.args([PREFILL_TOKENS.to_string(), DECODE_TOKENS.to_string()]);
    command
}

fn measure(command: &mut Command) -> Result<Speed> {
    let text = process::output(command)?;
    let answer: Value = serde_json::from_str(text.trim())
        .with_context(|| format!("{} printed no JSON: {text}", process::shown(command)))?;
    let number =
        |name: &str| answer[name].as_f64().with_context(|| format!("no number '{name}' in {text}"));
    Ok(Speed {
        prefill: number("prefill_tokens_per_second")?,
        decode: number("decode_tokens_per_second")?,
        answer: answer.clone(),
    })
}

/// The file that both engines load.
fn model_file(workspace: &Workspace, phial: &Path, model: &str) -> Result<PathBuf> {
    match model {
        "starter" => {
            let home = end_to_end::home(workspace);
            process::run(Command::new(phial).args(["pull", "starter"]).env("PHIAL_HOME", &home))?;
            let folder = home.join("models/starter");
            let manifest = fs::read_to_string(folder.join("manifest.json"))?;
            let manifest: Value = serde_json::from_str(&manifest)?;
            let name = manifest["files"][0]["name"].as_str().context("an empty manifest")?;
            Ok(folder.join(name))
        }
        "phi-4-mini" => {
            let path = workspace.target.join("synthetic").join("phi-4-mini-synthetic-q4_k_m.gguf");
            if !path.exists() {
                fs::create_dir_all(workspace.target.join("synthetic"))?;
                // Written aside, so that an interrupted run leaves no half file under the name.
                let aside = path.with_extension("part.gguf");
                let mut command = Command::new(phial);
                command.args(["synth", "--preset", "phi-4-mini", "--type", "q4_k_m"]);
                process::run(command.arg(&aside))?;
                fs::rename(&aside, &path)?;
            }
            Ok(path)
        }
        _ => bail!("no model is called '{model}' here; models: starter, phi-4-mini"),
    }
}
