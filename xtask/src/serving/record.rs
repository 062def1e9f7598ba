//! Measurements on paper.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value as Json, json};

use super::{Finding, Plan};
use crate::finding::TABLE;
use crate::machine::Machine;

/// All measurements of one plan.
pub struct Record<'a> {
    pub plan: &'a Plan,
    pub machine: &'a Machine,
    pub parts: Vec<Part>,
}

/// A trial that was made.
pub struct Part {
    pub name: &'static str,
    pub what: &'static str,
    /// What it found, or why it found nothing.
    pub findings: Result<Vec<Finding>, String>,
}

impl Record<'_> {
    /// Writes `serving-MODEL-THREADS` below `folder`, as [`Machine::write`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let model = Path::new(&self.plan.model).file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("serving-{model}-{}-threads", self.plan.threads);
        self.machine.write(folder, &name, &self.json(), &self.page())
    }

    fn json(&self) -> Json {
        let parts = self.parts.iter().map(|Part { name, findings, .. }| {
            let found = findings.as_ref().map(|all| all.iter().map(Finding::json).collect());
            let found: Option<Vec<Json>> = found.ok();
            json!({"trial": name, "findings": found, "failure": findings.as_ref().err()})
        });
        json!({
            "machine": self.machine.json(),
            "command": self.plan.command(),
            "trials": parts.collect::<Vec<_>>(),
        })
    }

    /// The record as Markdown.
    pub fn page(&self) -> String {
        let machine = self.machine;
        let mut page = format!(
            "# Serving {}, {} threads\n\n{}{}- command: `{}`\n\nHow to read and repeat this: \
             [bench/README.md](../../README.md).\n",
            Path::new(&self.plan.model).file_name().unwrap_or_default().to_string_lossy(),
            self.plan.threads,
            machine.line(),
            machine.begun(),
            self.plan.command(),
        );
        for Part { what, findings, .. } in &self.parts {
            page += &format!("\n## {}\n\n", heading(what));
            match findings {
                Err(failure) => page += &format!("Not measured: {failure}.\n"),
                Ok(findings) => {
                    page += TABLE;
                    page.extend(findings.iter().map(Finding::row));
                }
            }
        }
        page
    }
}

fn heading(what: &str) -> String {
    let mut letters = what.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Target;
    use super::*;

    #[test]
    fn medians_are_held_against_targets() {
        let plan = Plan {
            model: "folder/m.gguf".to_owned(),
            threads: 2,
            runs: 3,
            streams: 32,
            tokens: 8,
            only: None,
            phial: None,
        };
        let ratio = Finding {
            values: vec![0.3, 0.05, 0.07],
            ..Finding::new("second / first", "").wanted(Target::AtMost(0.1))
        };
        let speed = Finding::one("speed", 12.5, "tokens/s");
        let missed = Finding::one("slowest", 0.2, "").wanted(Target::AtLeast(0.5));
        let parts = vec![
            Part { name: "a", what: "one thing", findings: Ok(vec![ratio, speed, missed]) },
            Part { name: "b", what: "another", findings: Err("no server".to_owned()) },
        ];
        let record = Record { plan: &plan, machine: &Machine::here(), parts };
        let folder = tempfile::tempdir().unwrap();
        let path = record.write(folder.path()).unwrap();
        let page = fs::read_to_string(&path).unwrap();
        for part in [
            "# Serving m.gguf, 2 threads",
            "## One thing",
            "| second / first | 0.070 (0.050 to 0.300) | ≤ 0.10 | yes |",
            "| speed | 12.500 tokens/s |  |  |",
            "| slowest | 0.200 | ≥ 0.50 | **no** |",
            "Not measured: no server.",
            "--model m.gguf --threads 2 --runs 3 --streams 32 --tokens 8`",
        ] {
            assert!(page.contains(part), "no {part:?} in {page}");
        }
        let numbers = fs::read_to_string(path.with_extension("json")).unwrap();
        let numbers: Json = serde_json::from_str(&numbers).unwrap();
        assert_eq!(numbers["trials"][0]["findings"][0]["holds"], true);
        assert_eq!(numbers["trials"][1]["failure"], "no server");
    }
}
