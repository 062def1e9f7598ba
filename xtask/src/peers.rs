//! Speed beside other engines, on the same file and the same threads, by turns.
//!
//! `measures` lists what is measured and wanted, `trial` runs one process of one engine,
//! `surroundings` disturbs it, `files` makes the models, `record` writes it all down.

pub mod files;
mod measures;
mod record;
mod surroundings;
mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::machine::Machine;
use crate::workspace::Workspace;
use crate::{end_to_end, python};
use files::Files;
use measures::{MEASURES, Measure, Value};
use record::Record;
pub use surroundings::{NEIGHBOUR_TASK, be_busy};
use trial::{Engine, Outcome, Programs, Trial};

/// What to measure.
pub struct Plan {
    /// `phi-4-mini` (its real shape with random weights), `starter`, or a GGUF file.
    pub model: String,
    pub threads: usize,
    /// Measurements of each engine.
    pub runs: usize,
    /// Names of measures, with commas between; all when not given.
    pub only: Option<String>,
    /// The program to measure; built when not given.
    pub phial: Option<PathBuf>,
}

impl Plan {
    /// The command that measures the same.
    pub fn command(&self) -> String {
        let Self { model, threads, runs, .. } = self;
        let name = Path::new(model).file_name().unwrap_or_default().to_string_lossy();
        let only = self.only.as_ref().map(|only| format!(" --only {only}")).unwrap_or_default();
        format!("cargo xtask bench-peers --model {name} --threads {threads} --runs {runs}{only}")
    }
}

/// One measure of one file, by all engines.
pub struct Row {
    pub measure: &'static Measure,
    /// Type of the weights, or the file's name.
    pub weights: String,
    pub model: PathBuf,
    /// Phial's first, then llama.cpp's in its default setting, then others.
    pub figures: Vec<Figure>,
}

/// One number of one engine, as it came in each run.
pub struct Figure {
    pub engine: Engine,
    /// The number, or why there is none.
    pub values: Vec<Result<f64, String>>,
    /// Its share of the machine's ceiling, where that is known.
    pub shares: Vec<Option<f64>>,
}

/// A trial that was made.
pub struct Made {
    /// From 0.
    pub run: usize,
    pub engine: Engine,
    pub model: PathBuf,
    pub trial: Trial,
    pub outcome: Outcome,
}

/// Measures and writes the record, anew after every row: what is measured is not lost.
pub fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let measures = selected(plan.only.as_deref())?;
    let phial = match &plan.phial {
        Some(path) => path.clone(),
        None => end_to_end::release_binary(workspace)?,
    };
    let files = Files { workspace, phial: &phial, model: &plan.model };
    let mut rows = rows(&measures, &files)?;
    let programs = programs(&files, &rows, plan.threads);
    let mut laboratory = Laboratory { programs, run: 0, made: Vec::new() };
    let machine = Machine::here();
    let folder = workspace.root.join("bench/record");
    for run in 0..plan.runs {
        laboratory.run = run;
        for at in 0..rows.len() {
            laboratory.measure(&mut rows[at]);
            Record { plan, machine: &machine, rows: &rows, made: &laboratory.made }
                .write(&folder)?;
        }
    }
    let record = Record { plan, machine: &machine, rows: &rows, made: &laboratory.made };
    println!("\n{}\nwritten to {}", record.page(), record.write(&folder)?.display());
    Ok(())
}

/// The engines that the rows need.
fn programs(files: &Files<'_>, rows: &[Row], threads: usize) -> Programs {
    let workspace = files.workspace;
    let script = |name: &str| workspace.root.join("xtask/peers").join(name);
    let environment = |name: &str, requirements: &str| {
        let made = python::environment(workspace, name, requirements);
        made.map_err(|error| format!("not installed: {error:#}"))
    };
    let mut figures = rows.iter().flat_map(|row| &row.figures);
    let onnx_python = match figures.any(|figure| figure.engine == Engine::OnnxGenai) {
        true => environment("peers-onnx", "xtask/peers/requirements-onnx.txt"),
        false => Err("no row asks for it".to_owned()),
    };
    let onnx_model = onnx_python.as_ref().map_err(Clone::clone).and_then(|python| {
        let made = files.onnx(python, &script("export_onnx.py"));
        made.map_err(|error| format!("no export: {error:#}"))
    });
    Programs {
        phial: files.phial.to_owned(),
        home: end_to_end::home(workspace),
        python: environment("peers", "xtask/peers/requirements.txt"),
        llama_script: script("measure_llama_cpp.py"),
        onnx_python,
        onnx_script: script("measure_onnx_genai.py"),
        onnx_model,
        threads,
    }
}

/// Measures by name; `rows`, which is none, means all whose names begin with `rows-`.
fn selected(only: Option<&str>) -> Result<Vec<&'static Measure>> {
    let Some(only) = only else { return Ok(MEASURES.iter().collect()) };
    let is_name = |wanted: &str| MEASURES.iter().any(|measure| measure.name == wanted);
    let means = |wanted: &str, name: &str| match name.strip_prefix(wanted) {
        Some(rest) => rest.is_empty() || (rest.starts_with('-') && !is_name(wanted)),
        None => false,
    };
    for wanted in only.split(',') {
        let mut names: Vec<_> = MEASURES.iter().map(|measure| measure.name).collect();
        names.dedup();
        ensure!(
            names.iter().any(|name| means(wanted, name)),
            "nothing is called '{wanted}' here; measures: {}",
            names.join(", ")
        );
    }
    let wanted = |measure: &&Measure| only.split(',').any(|wanted| means(wanted, measure.name));
    Ok(MEASURES.iter().filter(wanted).collect())
}

fn rows(measures: &[&'static Measure], files: &Files<'_>) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for &measure in measures {
        for weights in measure.types {
            let file = files.find(weights)?;
            let is_there =
                |row: &Row| row.measure.name == measure.name && row.weights == file.weights;
            // A model that is one file is measured once, whatever types are wanted.
            if rows.iter().any(is_there) {
                continue;
            }
            let peers = measure.settings.iter().map(|setting| Engine::LlamaCpp(*setting));
            let has_onnx = measure.onnx && files.is_synthetic() && weights.starts_with("q4");
            let peers = peers.chain(has_onnx.then_some(Engine::OnnxGenai));
            let figure = |engine| Figure { engine, values: Vec::new(), shares: Vec::new() };
            let figures = std::iter::once(Engine::Phial).chain(peers).map(figure).collect();
            rows.push(Row { measure, weights: file.weights, model: file.path, figures });
        }
    }
    Ok(rows)
}

/// Makes trials, each once a run.
struct Laboratory {
    programs: Programs,
    /// From 0.
    run: usize,
    made: Vec<Made>,
}

impl Laboratory {
    /// One number of every engine.
    fn measure(&mut self, row: &mut Row) {
        for figure in &mut row.figures {
            let value = self.value(figure.engine, &row.model, row.measure);
            let engine = figure.engine.name();
            let what =
                format!("run {}: {} {}: {engine}", self.run + 1, row.measure.name, row.weights);
            match &value {
                Ok(value) => println!("{what}: {value:.3} {}", row.measure.value.unit()),
                Err(reason) => println!("{what}: {reason}"),
            }
            figure.values.push(value);
            figure.shares.push(self.share(figure.engine, &row.model, row.measure));
        }
    }

    fn value(&mut self, engine: Engine, model: &Path, measure: &Measure) -> Result<f64, String> {
        let decode = "decode_tokens_per_second";
        // What a speed is compared with comes first: both are measured within one minute.
        let other = match measure.value {
            Value::StepTimes(of) | Value::SpeedShare(of) => {
                self.outcome(engine, model, &of).number(decode)?
            }
            _ => 0.0,
        };
        let outcome = self.outcome(engine, model, &measure.trial);
        match measure.value {
            Value::Prefill => outcome.number("prefill_tokens_per_second"),
            Value::Decode => outcome.number(decode),
            Value::StepTimes(_) => {
                Ok(measure.trial.streams as f64 * other / outcome.number(decode)?)
            }
            Value::SpeedShare(_) => Ok(outcome.number(decode)? / other),
            Value::FirstToken => outcome.number("first_token_seconds"),
            Value::Memory => {
                Ok((outcome.number("anonymous_bytes")? - outcome.number("kv_bytes")?) / 1e6)
            }
        }
    }

    /// The share of the ceiling that Phial measured in the same process.
    fn share(&mut self, engine: Engine, model: &Path, measure: &Measure) -> Option<f64> {
        let name = match measure.value {
            Value::Prefill => "prefill_share",
            Value::Decode => "decode_share",
            _ => return None,
        };
        self.outcome(engine, model, &measure.trial).number(name).ok()
    }

    fn outcome(&mut self, engine: Engine, model: &Path, trial: &Trial) -> Outcome {
        // That engine runs its own export, whatever the file.
        let same_model = |made: &Made| made.model == model || engine == Engine::OnnxGenai;
        let is_it = |made: &&Made| {
            made.run == self.run
                && made.engine == engine
                && same_model(made)
                && made.trial == *trial
        };
        if let Some(made) = self.made.iter().find(is_it) {
            return made.outcome.clone();
        }
        let outcome = self.programs.run(engine, model, trial);
        let made = Made {
            run: self.run,
            engine,
            model: model.to_owned(),
            trial: *trial,
            outcome: outcome.clone(),
        };
        self.made.push(made);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_chosen_by_name_or_family() {
        let names = |only| -> Vec<&str> {
            selected(only).unwrap().iter().map(|measure| measure.name).collect()
        };
        assert_eq!(names(None).len(), MEASURES.len());
        assert_eq!(names(Some("quota,rows")), ["rows-2", "rows-4", "rows-8", "rows-16", "quota"]);
        assert_eq!(names(Some("decode-4096")), ["decode-4096"]);
        assert_eq!(names(Some("decode")), ["decode"]);
        let error = selected(Some("quota,row")).err().unwrap().to_string();
        assert!(error.contains("'row'") && error.contains("first-token"), "{error}");
    }
}
