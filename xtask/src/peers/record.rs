//! Measurements on paper: every number as it came, and a table to read.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::machine::Machine;
use crate::peers::{DECODE_TOKENS, PREFILL_TOKENS, Plan};

/// One measurement of one engine, in tokens per second.
#[derive(Clone, Debug)]
pub struct Speed {
    pub prefill: f64,
    pub decode: f64,
    /// All the engine said.
    pub answer: Value,
}

impl fmt::Display for Speed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "prefill {:8.1} t/s, decode {:7.1} t/s", self.prefill, self.decode)
    }
}

/// All measurements of one plan.
pub struct Record<'a> {
    pub plan: &'a Plan,
    /// Name of the model's file.
    pub file: String,
    pub ours: Vec<Speed>,
    pub theirs: Vec<Speed>,
}

impl Record<'_> {
    /// Writes `DATE-CPU/peers-MODEL-THREADS.{json,md}` below `folder`; returns the page's path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let machine = Machine::here();
        let folder = folder.join(machine.slug());
        fs::create_dir_all(&folder)?;
        let stem = format!("peers-{}-{}-threads", self.plan.model, self.plan.threads);
        let answers =
            |speeds: &[Speed]| speeds.iter().map(|s| s.answer.clone()).collect::<Vec<_>>();
        let all = json!({
            "machine": machine.json(),
            "command": self.command(),
            "file": self.file,
            "phial": answers(&self.ours),
            "llama.cpp": answers(&self.theirs),
        });
        let text = format!("{}\n", serde_json::to_string_pretty(&all)?);
        fs::write(folder.join(format!("{stem}.json")), text)?;
        let path = folder.join(format!("{stem}.md"));
        fs::write(&path, format!("{}\n{}", self.heading(&machine), self.table()))?;
        Ok(path)
    }

    fn command(&self) -> String {
        let Plan { model, threads, runs } = self.plan;
        format!("cargo xtask bench-peers --model {model} --threads {threads} --runs {runs}")
    }

    fn heading(&self, machine: &Machine) -> String {
        let engine = self.theirs.first().and_then(|speed| speed.answer["engine"].as_str());
        format!(
            "# {} beside llama.cpp, {} threads\n\n\
             - machine: {}, {} cores, {} GiB, {}\n- date and commit: {}, {}\n- file: `{}`\n\
             - peer: {}\n- command: `{}`\n\n\
             Tokens per second over {} runs of each engine, by turns. Prefill: one prompt of \
             {PREFILL_TOKENS} tokens as one batch. Decode: {DECODE_TOKENS} tokens from a short \
             context.\n",
            self.plan.model,
            self.plan.threads,
            machine.cpu,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.date,
            machine.commit,
            self.file,
            engine.unwrap_or("llama.cpp"),
            self.command(),
            self.plan.runs,
        )
    }

    /// The measurements as a Markdown table.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| | engine | minimum | median | maximum | of llama.cpp's median |\n|---|---|---|---|---|---|\n",
        );
        for (phase, pick) in [("prefill", prefill as Pick), ("decode", decode)] {
            let peer = spread(&self.theirs, pick);
            for (engine, speeds) in [("phial", &self.ours), ("llama.cpp", &self.theirs)] {
                let [low, middle, high] = spread(speeds, pick);
                let ratio = middle / peer[1];
                table.push_str(&format!(
                    "| {phase} | {engine} | {low:.1} | {middle:.1} | {high:.1} | {ratio:.2} |\n"
                ));
            }
        }
        table
    }
}

type Pick = fn(&Speed) -> f64;

fn prefill(speed: &Speed) -> f64 {
    speed.prefill
}

fn decode(speed: &Speed) -> f64 {
    speed.decode
}

/// Minimum, median and maximum.
fn spread(speeds: &[Speed], pick: Pick) -> [f64; 3] {
    let mut values: Vec<f64> = speeds.iter().map(pick).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => [0.0; 3],
        count => {
            let median = f64::midpoint(values[(count - 1) / 2], values[count / 2]);
            [values[0], median, values[count - 1]]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speeds(values: &[f64]) -> Vec<Speed> {
        let speed =
            |value: &f64| Speed { prefill: *value, decode: value / 10.0, answer: json!({}) };
        values.iter().map(speed).collect()
    }

    #[test]
    fn the_table_has_medians_and_ratios() {
        let plan = Plan { model: "starter".to_owned(), threads: 2, runs: 3 };
        let ours = speeds(&[30.0, 10.0, 20.0]);
        let record =
            Record { plan: &plan, file: "f".to_owned(), ours, theirs: speeds(&[40.0, 40.0]) };
        let table = record.table();
        assert!(table.contains("| prefill | phial | 10.0 | 20.0 | 30.0 | 0.50 |"), "{table}");
        assert!(table.contains("| decode | llama.cpp | 4.0 | 4.0 | 4.0 | 1.00 |"), "{table}");
        let folder = tempfile::tempdir().unwrap();
        let page = fs::read_to_string(record.write(folder.path()).unwrap()).unwrap();
        assert!(page.contains("cargo xtask bench-peers --model starter --threads 2 --runs 3"));
    }
}
