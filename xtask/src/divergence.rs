//! How far fast arithmetic leads away from float32, beside llama.cpp on the same files and texts.
//!
//! The distribution of every next token is compared with that of float32 arithmetic on the weights
//! of the file. What llama.cpp loses is kept in `bench/divergence.json`: a test of `phial` measures
//! Phial's own loss anew and holds it against that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::machine::Machine;
use crate::workspace::Workspace;
use crate::{end_to_end, process, python};

/// Where the figures are kept.
const RECORD: &str = "bench/divergence.json";
const SCRIPT: &str = "xtask/peers/logits_llama_cpp.py";

/// What is compared, by the name in the record: options of `phial logits`, or of the script.
const ENGINES: &[(&str, &[&str])] = &[
    ("llama.cpp", &["--kv", "f16"]),
    ("llama.cpp, q8_0", &["--kv", "q8_0"]),
    ("llama.cpp, q4_0", &["--kv", "q4_0"]),
    ("phial", &["--precision", "auto", "--kv", "f16"]),
    ("phial, large", &["--precision", "large", "--kv", "f16"]),
    ("phial, int8", &["--precision", "auto", "--kv", "int8"]),
    ("phial, large, int8", &["--precision", "large", "--kv", "int8"]),
    ("phial, int4", &["--precision", "auto", "--kv", "int4"]),
    ("phial, large, int4", &["--precision", "large", "--kv", "int4"]),
];

/// A file, and what is read with it.
struct Subject {
    /// As the record names it.
    name: String,
    path: PathBuf,
    texts: Vec<Vec<u32>>,
}

/// Measures every engine, prints a table and writes the record.
pub fn run(workspace: &Workspace, phial: Option<PathBuf>) -> Result<()> {
    let phial = match phial {
        Some(path) => path,
        None => end_to_end::release_binary(workspace)?,
    };
    let python = python::environment(workspace, "peers", "xtask/peers/requirements.txt")?;
    let home = end_to_end::home(workspace);
    let programs = Programs { phial, home, python, script: workspace.root.join(SCRIPT) };
    let mut files = Vec::new();
    let mut peer = String::new();
    for subject in subjects(workspace, &programs)? {
        let (figures, version) = programs.measure(&subject)?;
        peer = version;
        println!("{}", subject.name);
        for (engine, figure) in &figures {
            println!("  {engine:20} {figure}");
        }
        let positions: usize = subject.texts.iter().map(Vec::len).sum();
        files.push(json!({ "file": subject.name, "positions": positions, "engines": figures }));
    }
    let record = json!({
        "what": "divergence of next-token distributions from float32 arithmetic on the same weights",
        "command": "cargo xtask divergence",
        "peer": peer,
        "machine": Machine::here().json(),
        "files": files,
    });
    let path = workspace.root.join(RECORD);
    fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&record)?))?;
    println!("written to {}", path.display());
    Ok(())
}

/// The quantised goldens with their token ids, and the starter with its texts.
fn subjects(workspace: &Workspace, programs: &Programs) -> Result<Vec<Subject>> {
    let folder = workspace.root.join("goldens/gguf-q");
    let ids = golden_ids(&folder.join("golden.safetensors"))?;
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    paths.sort();
    let quantised = paths.into_iter().map(|path| Subject {
        name: format!("gguf-q/{}", path.file_name().unwrap_or_default().to_string_lossy()),
        path,
        texts: vec![ids.clone()],
    });
    let golden = fs::read_to_string(workspace.root.join("goldens/starter.json"))?;
    let golden: Value = serde_json::from_str(&golden)?;
    let chats = golden["chat"].as_array().context("no chats in starter.json")?;
    let mut texts: Vec<Vec<u32>> = Vec::new();
    for chat in chats {
        let parts = [numbers(&chat["prompt_ids"])?, numbers(&chat["continuation_ids"])?];
        texts.push(parts.concat());
    }
    texts.push(numbers(&golden["text"]["ids"])?);
    let mut pull = Command::new(&programs.phial);
    process::run(pull.args(["pull", "starter"]).env("PHIAL_HOME", &programs.home))?;
    let name = golden["model"].as_str().context("no model in starter.json")?;
    let path = programs.home.join("models/starter").join(name);
    let starter = Subject { name: "starter".to_owned(), path, texts };
    Ok(quantised.chain([starter]).collect())
}

/// The tensor `ids` of a file of safetensors: 32-bit integers.
fn golden_ids(path: &Path) -> Result<Vec<u32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (length, rest) = bytes.split_first_chunk::<8>().context("no header")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let header = rest.get(..length).context("the header is cut short")?;
    let header: Value = serde_json::from_slice(header)?;
    let place = numbers(&header["ids"]["data_offsets"])?;
    ensure!(place.len() == 2 && header["ids"]["dtype"] == "I32", "'ids' are no I32");
    let data = rest[length..].get(place[0] as usize..place[1] as usize);
    let words = data.context("'ids' lie outside the file")?.as_chunks::<4>().0;
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

fn numbers(value: &Value) -> Result<Vec<u32>> {
    let list = value.as_array().context("not a list of numbers")?;
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    list.iter().map(|value| number(value).context("not a token id")).collect()
}

struct Programs {
    phial: PathBuf,
    home: PathBuf,
    python: PathBuf,
    script: PathBuf,
}

impl Programs {
    /// Figures of every engine, and which llama.cpp it was.
    fn measure(&self, subject: &Subject) -> Result<(Map<String, Value>, String)> {
        let mut losses = vec![Loss::default(); ENGINES.len()];
        let mut peer = String::new();
        for ids in &subject.texts {
            let exact = self.phial_logits(&subject.path, ids, &["--precision", "f32"])?;
            for ((name, options), loss) in ENGINES.iter().zip(&mut losses) {
                let logits = if name.starts_with("phial") {
                    self.phial_logits(&subject.path, ids, options)?
                } else {
                    let (logits, version) = self.llama_logits(&subject.path, ids, options)?;
                    peer = version;
                    logits
                };
                ensure!(logits.len() == exact.len(), "{name} gave {} rows", logits.len());
                exact.iter().zip(&logits).for_each(|(exact, fast)| loss.add(exact, fast));
            }
        }
        let names = ENGINES.iter().map(|(name, _)| (*name).to_owned());
        Ok((names.zip(losses.iter().map(Loss::json)).collect(), peer))
    }

    fn phial_logits(&self, model: &Path, ids: &[u32], options: &[&str]) -> Result<Vec<Vec<f64>>> {
        let mut command = Command::new(&self.phial);
        command.args(["logits", "--json", "--offline", "--no-pack-cache"]);
        command.env("PHIAL_HOME", &self.home).args(options);
        rows(&said(&mut command, model, ids)?)
    }

    fn llama_logits(
        &self,
        model: &Path,
        ids: &[u32],
        options: &[&str],
    ) -> Result<(Vec<Vec<f64>>, String)> {
        let mut command = Command::new(&self.python);
        let answer = said(command.arg(&self.script).args(options), model, ids)?;
        let version = answer["engine"].as_str().unwrap_or_default().to_owned();
        Ok((rows(&answer)?, version))
    }
}

/// What a program printed for the logits of all positions.
fn said(command: &mut Command, model: &Path, ids: &[u32]) -> Result<Value> {
    let words: Vec<_> = ids.iter().map(u32::to_string).collect();
    command.args(["--ids", &words.join(","), "--last", &ids.len().to_string(), "--model"]);
    Ok(serde_json::from_str(&process::output(command.arg(model))?)?)
}

fn rows(answer: &Value) -> Result<Vec<Vec<f64>>> {
    let Some(rows) = answer["logits"].as_array() else { bail!("no logits in the answer") };
    let row = |row: &Value| -> Option<Vec<f64>> {
        row.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()
    };
    rows.iter().map(|value| row(value).context("a row that is no list of numbers")).collect()
}

/// Sums over positions.
#[derive(Clone, Default)]
struct Loss {
    positions: usize,
    divergence: f64,
    worst: f64,
    same_token: usize,
}

impl Loss {
    /// Adds the Kullback-Leibler divergence of a distribution from the exact one, in nats.
    fn add(&mut self, exact: &[f64], fast: &[f64]) {
        let (p, q) = (log_softmax(exact), log_softmax(fast));
        let divergence: f64 = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum();
        self.positions += 1;
        self.divergence += divergence;
        self.worst = self.worst.max(divergence);
        self.same_token += usize::from(likeliest(exact) == likeliest(fast));
    }

    fn json(&self) -> Value {
        json!({
            "mean_divergence": self.divergence / self.positions as f64,
            "worst_divergence": self.worst,
            "same_likeliest_token": self.same_token as f64 / self.positions as f64,
        })
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits.iter().map(|logit| logit - largest - total.ln()).collect()
}

fn likeliest(logits: &[f64]) -> usize {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_that_of_the_distributions() {
        let mut loss = Loss::default();
        // Shifted logits are the same distribution.
        loss.add(&[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0]);
        assert!(loss.worst < 1e-12 && loss.same_token == 1);
        // A half and a half, taken for three quarters and one.
        loss.add(&[0.0, 0.0], &[3f64.ln(), 0.0]);
        let expected = 0.5 * (0.5f64 / 0.75).ln() + 0.5 * (0.5f64 / 0.25).ln();
        assert!((loss.worst - expected).abs() < 1e-12, "{}", loss.worst);
        assert!((loss.json()["mean_divergence"].as_f64().unwrap() - expected / 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_golden_ids_are_found() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/gguf-q");
        let ids = golden_ids(&path.join("golden.safetensors")).unwrap();
        assert_eq!(ids.len(), 40);
        assert!(ids.iter().all(|id| (2..2000).contains(id)));
    }
}
