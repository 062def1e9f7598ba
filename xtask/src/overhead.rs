//! What accounts cost: the gateway and nginx before the same upstream, by turns.
//!
//! `parts` starts what is measured, `record` makes figures of answers. Asking and answering are done
//! by an example of phial-gateway (`overhead`), processes of their own.

mod parts;
mod record;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::end_to_end::release_example;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;
use parts::{Nginx, Part};
use record::{Record, Turn};

/// What to measure.
pub struct Plan {
    /// Requests per second.
    pub rate: usize,
    /// Connections that ask.
    pub connections: usize,
    /// How long they ask at a fixed rate; half as long as fast as they can.
    pub seconds: usize,
    /// Turns of each.
    pub runs: usize,
}

impl Plan {
    /// The command that measures the same.
    fn command(&self) -> String {
        let Self { rate, connections, seconds, runs } = self;
        format!(
            "cargo xtask bench-gateway --rate {rate} --connections {connections} --seconds \
             {seconds} --runs {runs}"
        )
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Stub,
    Nginx,
    Gateway,
}

impl Way {
    const ALL: [Self; 3] = [Self::Stub, Self::Nginx, Self::Gateway];

    fn name(self) -> &'static str {
        match self {
            Self::Stub => "upstream alone",
            Self::Nginx => "nginx",
            Self::Gateway => "gateway",
        }
    }
}

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// At the plan's rate.
    Rate,
    /// One connection, as fast as it is answered.
    One,
    /// All connections, as fast as they are answered.
    Most,
}

impl Load {
    const ALL: [Self; 3] = [Self::Rate, Self::One, Self::Most];

    fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::One => "one",
            Self::Most => "most",
        }
    }
}

/// Pages and caches fill first.
const WARM_UP_SECONDS: &str = "1";

/// Measures, holds the ledger against what was answered, and writes the record.
///
/// # Errors
/// If something cannot be started, an answer is wrong, or money is lost. A target that is missed is
/// no error.
pub fn run(workspace: &Workspace, plan: &Plan) -> Result<()> {
    let program = release_example(workspace, "phial-gateway", "overhead")?;
    let folder = workspace.target.join("bench-gateway");
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let nginx = parts::find_nginx(workspace)?;
    let machine = Machine::here();
    let stub = Part::start(Command::new(&program).arg("stub"))?;
    let upstream = stub.first_line.clone();
    let nginx = Nginx::start(&nginx, &folder, &upstream, plan.connections)?;
    let accounts = folder.join("accounts");
    let mut gateway =
        Part::start(Command::new(&program).arg("gateway").arg(&accounts).arg(&upstream))?;
    let greeting = gateway.first_line.clone();
    let (address, key) = greeting.split_once(' ').context("the gateway named no key")?;
    let mut turns = Vec::new();
    let mut answered = 0;
    for run in 1..=plan.runs {
        for way in Way::ALL {
            let address = match way {
                Way::Stub => &upstream,
                Way::Nginx => &nginx.address,
                Way::Gateway => address,
            };
            let asked = Asked { program: &program, address, key };
            let mut requests = asked.ask(plan, Load::Most, WARM_UP_SECONDS)?.0;
            for load in Load::ALL {
                let seconds = match load {
                    Load::Rate => plan.seconds as f64,
                    Load::One | Load::Most => plan.seconds as f64 / 2.0,
                };
                let (count, told) = asked.ask(plan, load, &seconds.to_string())?;
                requests += count;
                println!("run {run}, {}, {}: {told}", way.name(), load.name());
                turns.push(Turn { run, way, load, told });
            }
            if way == Way::Gateway {
                answered += requests;
            }
        }
    }
    let ledger = gateway.ask("settle")?;
    let ledger: Value = serde_json::from_str(&ledger).context("the gateway told no numbers")?;
    record::check_money(&ledger, answered)?;
    let memory = [gateway.memory()?, nginx.memory()?];
    let version = nginx.version.clone();
    let record = Record { plan, machine: &machine, turns, ledger, memory, nginx: version };
    let path = record.write(&workspace.root.join("bench/record"))?;
    println!("\n{}\nwritten to {}", record.page(), path.display());
    Ok(())
}

/// Whom to ask, and with what.
struct Asked<'a> {
    program: &'a Path,
    address: &'a str,
    key: &'a str,
}

impl Asked<'_> {
    /// How many were answered, and all that was measured.
    fn ask(&self, plan: &Plan, load: Load, seconds: &str) -> Result<(u64, Value)> {
        let mut command = Command::new(self.program);
        let connections = if load == Load::One { 1 } else { plan.connections }.to_string();
        let way = if load == Load::Rate { "rate" } else { "closed" };
        command.args([way, self.address, self.key, &connections, seconds]);
        if load == Load::Rate {
            command.arg(plan.rate.to_string());
        }
        let told: Value = serde_json::from_str(&process::output(&mut command)?)?;
        let requests = told["requests"].as_u64().unwrap_or(0);
        ensure!(requests > 0, "{} answered nothing", self.address);
        Ok((requests, told))
    }
}
