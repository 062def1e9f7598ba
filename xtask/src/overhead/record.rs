//! Measurements on paper.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde_json::{Value as Json, json};

use super::parts::Memory;
use super::{Load, Plan, Way};
use crate::finding::{Finding, TABLE, Target};
use crate::machine::Machine;

/// Targets are for this rate.
const TARGET_RATE: usize = 5000;

/// What was measured in one go.
pub struct Turn {
    pub run: usize,
    pub way: Way,
    pub load: Load,
    /// As the client told it.
    pub told: Json,
}

/// All measurements of one plan.
pub struct Record<'a> {
    pub plan: &'a Plan,
    pub machine: &'a Machine,
    pub turns: Vec<Turn>,
    pub ledger: Json,
    /// Of the gateway and of nginx.
    pub memory: [Memory; 2],
    /// Its version.
    pub nginx: String,
}

/// Whether every answer, and nothing else, is in the ledger, and paid for.
///
/// # Errors
/// What does not add up.
pub fn check_money(ledger: &Json, answered: u64) -> Result<()> {
    let number = |name: &str| ledger[name].as_u64();
    let times = |name: &str| Some(number(name)? * answered);
    let cost = times("cost_of_each");
    let tokens = times("tokens_of_each");
    for (name, wanted) in [
        ("requests", Some(answered)),
        ("errors", Some(0)),
        ("cost", cost),
        ("taken_from_key", cost),
        ("tokens", tokens),
        ("tokens_taken_from_key", tokens),
    ] {
        ensure!(
            wanted.is_some() && number(name) == wanted,
            "money is lost: {answered} requests were answered, and the ledger says {name} {} \
             instead of {wanted:?}: {ledger}",
            ledger[name]
        );
    }
    Ok(())
}

impl Record<'_> {
    /// Writes `gateway-RATE`, as [`Machine::write`].
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let name = format!("gateway-{}-per-second", self.plan.rate);
        self.machine.write(folder, &name, &self.json(), &self.page())
    }

    /// A number of every run.
    fn values(&self, way: Way, load: Load, field: &str) -> Vec<f64> {
        let turns = self.turns.iter().filter(|turn| turn.way == way && turn.load == load);
        turns.filter_map(|turn| turn.told[field].as_f64()).collect()
    }

    /// The same, less the upstream's own of the same run.
    fn added(&self, way: Way, load: Load, field: &str) -> Vec<f64> {
        let alone = self.values(Way::Stub, load, field);
        self.values(way, load, field).iter().zip(alone).map(|(with, alone)| with - alone).collect()
    }

    fn targets(&self) -> Vec<Finding> {
        let rate = |field| self.added(Way::Gateway, Load::Rate, field);
        let achieved = self.values(Way::Gateway, Load::Most, "rate");
        let megabytes = self.memory[0].most as f64 / 1e6;
        let finding = |what: &str, values, unit, target| Finding {
            values,
            ..Finding::new(what, unit).wanted(target)
        };
        vec![
            finding("added to the median", rate("p50_ms"), "ms", Target::AtMost(1.0)),
            finding("added to the 99th percentile", rate("p99_ms"), "ms", Target::AtMost(5.0)),
            finding(
                "the most it answers",
                achieved,
                "requests/s",
                Target::AtLeast(TARGET_RATE as f64),
            ),
            finding("resident memory, at most", vec![megabytes], "MB", Target::AtMost(60.0)),
        ]
    }

    fn findings(&self, load: Load) -> Vec<Finding> {
        const FIELDS: [(&str, &str, &str); 6] = [
            ("rate", "answered", "requests/s"),
            ("p50_ms", "median", "ms"),
            ("p90_ms", "90th percentile", "ms"),
            ("p99_ms", "99th percentile", "ms"),
            ("p999_ms", "99.9th percentile", "ms"),
            ("maximum_ms", "longest", "ms"),
        ];
        let mut findings = Vec::new();
        for way in Way::ALL {
            for (field, what, unit) in FIELDS {
                let finding = Finding::new(&format!("{}: {what}", way.name()), unit);
                findings.push(Finding { values: self.values(way, load, field), ..finding });
            }
        }
        for way in [Way::Nginx, Way::Gateway] {
            for (field, what) in [("p50_ms", "median"), ("p99_ms", "99th percentile")] {
                let finding = Finding::new(&format!("{}: added to the {what}", way.name()), "ms");
                findings.push(Finding { values: self.added(way, load, field), ..finding });
            }
        }
        findings
    }

    fn memory(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (way, Memory { now, most }) in [Way::Gateway, Way::Nginx].iter().zip(self.memory) {
            for (what, bytes) in [("at the end", now), ("at most", most)] {
                let what = format!("{}: {what}", way.name());
                findings.push(Finding::one(&what, bytes as f64 / 1e6, "MB"));
            }
        }
        findings
    }

    /// Tables with their headings.
    fn tables(&self) -> Vec<(String, Vec<Finding>)> {
        let Plan { rate, connections, .. } = self.plan;
        let mut tables = vec![
            (format!("{rate} requests a second"), self.findings(Load::Rate)),
            ("One connection, closed loop".to_owned(), self.findings(Load::One)),
            (format!("{connections} connections, closed loop"), self.findings(Load::Most)),
            ("Resident memory".to_owned(), self.memory()),
        ];
        if *rate == TARGET_RATE {
            tables.insert(0, ("Targets".to_owned(), self.targets()));
        }
        tables
    }

    fn json(&self) -> Json {
        let tables = self.tables().into_iter().map(|(heading, findings)| {
            let findings: Vec<_> = findings.iter().map(Finding::json).collect();
            json!({ "heading": heading, "findings": findings })
        });
        let turns = self.turns.iter().map(|Turn { run, way, load, told }| {
            json!({ "run": run, "way": way.name(), "load": load.name(), "measured": told })
        });
        json!({
            "machine": self.machine.json(), "command": self.plan.command(), "nginx": self.nginx,
            "ledger": self.ledger,
            "tables": tables.collect::<Vec<_>>(), "turns": turns.collect::<Vec<_>>(),
        })
    }

    /// The record as Markdown.
    pub fn page(&self) -> String {
        let Plan { connections, seconds, runs, .. } = self.plan;
        let mut page = format!(
            "# What accounts cost\n\n{}{}- command: `{}`\n- {runs} runs by turns: the upstream \
             alone, {} and the gateway before it; {seconds} s at the fixed rate, half as long in \
             closed loops\n- the ledger has every request that the gateway answered, {}, and the \
             key has paid for each\n\nThe client and the upstream run on the same cores as what \
             is measured. At the fixed rate the times of requests are drawn before (a Poisson \
             process, over {connections} connections), and latency counts from the time drawn. \
             What is *added* is the difference of percentiles to the upstream alone in the same \
             run.\n\nHow to read and repeat this: [bench/README.md](../../README.md).\n",
            self.machine.line(),
            self.machine.begun(),
            self.plan.command(),
            self.nginx,
            self.ledger["requests"],
        );
        for (heading, findings) in self.tables() {
            page += &format!("\n## {heading}\n\n{TABLE}");
            page.extend(findings.iter().map(Finding::row));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(requests: u64) -> Json {
        json!({
            "requests": requests, "errors": 0, "cost": 48 * requests, "cost_of_each": 48,
            "taken_from_key": 48 * requests, "tokens": 17 * requests, "tokens_of_each": 17,
            "tokens_taken_from_key": 17 * requests,
        })
    }

    #[test]
    fn money_that_does_not_add_up_is_told() {
        check_money(&ledger(5), 5).unwrap();
        assert!(check_money(&ledger(5), 6).is_err());
        for (name, _) in ledger(5).as_object().unwrap() {
            let mut wrong = ledger(5);
            wrong[name] = json!(1);
            let error = check_money(&wrong, 5).unwrap_err().to_string();
            assert!(error.starts_with("money is lost"), "{error}");
            wrong.as_object_mut().unwrap().remove(name);
            check_money(&wrong, 5).unwrap_err();
        }
    }

    #[test]
    fn what_is_added_is_the_difference_of_one_run() {
        let plan = Plan { rate: TARGET_RATE, connections: 64, seconds: 8, runs: 2 };
        let mut turns = Vec::new();
        for (run, medians) in [(1, [0.1, 0.2, 1.2]), (2, [0.4, 0.5, 1.9])] {
            for (way, median) in Way::ALL.into_iter().zip(medians) {
                for load in Load::ALL {
                    let told = json!({ "rate": 4000.0, "p50_ms": median, "p99_ms": 2.0 * median });
                    turns.push(Turn { run, way, load, told });
                }
            }
        }
        let memory = [Memory { now: 20_000_000, most: 30_000_000 }; 2];
        let machine = Machine::here();
        let nginx = "nginx/1.22.1".to_owned();
        let record =
            Record { plan: &plan, machine: &machine, turns, ledger: ledger(7), memory, nginx };
        let folder = tempfile::tempdir().unwrap();
        let path = record.write(folder.path()).unwrap();
        let page = std::fs::read_to_string(path).unwrap();
        for part in [
            "| added to the median | 1.300 (1.100 to 1.500) ms | ≤ 1.00 | **no** |",
            "| added to the 99th percentile | 2.600 (2.200 to 3.000) ms | ≤ 5.00 | yes |",
            "| the most it answers | 4000.000 (4000.000 to 4000.000) requests/s | ≥ 5000.00 | **no** |",
            "| resident memory, at most | 30.000 MB | ≤ 60.00 | yes |",
            "| nginx: added to the median | 0.100 (0.100 to 0.100) ms |  |  |",
            "answered, 7, and",
        ] {
            assert!(page.contains(part), "no {part:?} in {page}");
        }
    }
}
