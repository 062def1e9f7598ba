//! The one test command: every step with its heading, its time and, at the end, the count.

use std::fs::{self, DirEntry};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use crate::{console, debian, end_to_end, management, process, supply_chain, tidy, tiers};

/// The gateway's tests fail without a PostgreSQL where it is set.
const DEMAND_POSTGRESQL: &str = "PHIAL_TEST_POSTGRES";

/// Where Debian puts them, a folder each.
const POSTGRESQL_VERSIONS: &str = "/usr/lib/postgresql";

type Step = (&'static str, fn(&Workspace) -> Result<()>);

/// In the order of what is known soonest.
const STEPS: &[Step] = &[
    ("fmt", formatting),
    ("tidy", tidiness),
    ("clippy", lints),
    ("tests", tests),
    ("docs", documentation),
    ("deny", supply_chain::check),
    ("tiers", tiers::check),
    ("end-to-end", end_to_end::check),
    ("management", management::check),
    ("console", console::check),
];

/// Runs all steps, or those of a list like `fmt,tidy`; says whether all passed.
pub fn run(workspace: &Workspace, only: Option<&str>) -> Result<bool> {
    let chosen = choose(only)?;
    let mut results: Vec<(&str, Duration, bool)> = Vec::new();
    for (name, step) in chosen {
        println!("\n== {name}");
        let start = Instant::now();
        let result = step(workspace);
        let elapsed = start.elapsed();
        if let Err(error) = &result {
            println!("{name}: {error:#}");
        }
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        println!("== {name} {word} in {:.1} s", elapsed.as_secs_f64());
        results.push((name, elapsed, result.is_ok()));
    }
    println!();
    for (name, elapsed, passed) in &results {
        let word = if *passed { "passed" } else { "FAILED" };
        println!("{name:12} {word} {:7.1} s", elapsed.as_secs_f64());
    }
    let failed = results.iter().filter(|(_, _, passed)| !passed).count();
    println!("{} passed, {failed} failed", results.len() - failed);
    Ok(failed == 0)
}

fn choose(only: Option<&str>) -> Result<Vec<Step>> {
    let Some(only) = only else { return Ok(STEPS.to_vec()) };
    let names: Vec<_> = only.split(',').map(str::trim).collect();
    for name in &names {
        if !STEPS.iter().any(|(step, _)| step == name) {
            let known: Vec<_> = STEPS.iter().map(|(step, _)| *step).collect();
            bail!("no step is called '{name}'; steps: {}", known.join(", "));
        }
    }
    Ok(STEPS.iter().copied().filter(|(step, _)| names.contains(step)).collect())
}

fn formatting(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn tidiness(workspace: &Workspace) -> Result<()> {
    if tidy::report(workspace)? { Ok(()) } else { bail!("rules are broken") }
}

fn lints(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    process::run(command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// nextest runs tests of different crates at the same time, where it is installed; it leaves
/// the examples of the documentation to cargo.
fn tests(workspace: &Workspace) -> Result<()> {
    let with_postgresql = has_postgresql();
    if process::answers(workspace.cargo().args(["nextest", "--version"])) {
        let mut command = workspace.cargo();
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        if with_postgresql {
            command.env(DEMAND_POSTGRESQL, "1");
        }
        process::run(&mut command)?;
        process::run(workspace.cargo().args(["test", "--workspace", "--doc"]))
    } else {
        let mut command = workspace.cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]);
        if with_postgresql {
            command.env(DEMAND_POSTGRESQL, "1");
        }
        process::run(&mut command)
    }
}

/// Whether tests can start a PostgreSQL, which is installed where that is possible; elsewhere they
/// are left out, aloud.
fn has_postgresql() -> bool {
    let is_server = |version: &DirEntry| version.path().join("bin/postgres").exists();
    let versions = fs::read_dir(POSTGRESQL_VERSIONS).into_iter().flatten().flatten();
    if versions.into_iter().any(|version| is_server(&version)) {
        return true;
    }
    let installed = debian::install(&["postgresql"]);
    if let Err(error) = &installed {
        println!("tests on PostgreSQL are left out: {error:#}");
    }
    installed.is_ok()
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name() {
        let names =
            |only| choose(only).map(|steps| steps.iter().map(|step| step.0).collect::<Vec<_>>());
        assert_eq!(names(Some("tidy, fmt")).unwrap(), ["fmt", "tidy"]);
        assert_eq!(names(None).unwrap().len(), STEPS.len());
        assert!(names(Some("fmt,x")).unwrap_err().to_string().contains("end-to-end"));
    }
}
