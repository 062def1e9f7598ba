//! Licences, sources and bans of everything we build on: `deny.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;
use crate::workspace::Workspace;

/// Pinned, so that a new release cannot change what passes.
const CARGO_DENY: &str = "0.20.2";

/// Runs cargo-deny, installing it below the target folder first where it is missing.
pub fn check(workspace: &Workspace) -> Result<()> {
    let program = tool(workspace)?;
    let mut command = Command::new(program);
    command.current_dir(&workspace.root).args(["check", "--hide-inclusion-graph"]);
    process::run(command.args(["bans", "licenses", "sources"]))?;
    if advisories_are_here() {
        let mut command = Command::new(tool(workspace)?);
        process::run(command.current_dir(&workspace.root).args([
            "check",
            "--disable-fetch",
            "advisories",
        ]))
    } else {
        println!("advisories: not checked, their database is not on this machine");
        Ok(())
    }
}

fn tool(workspace: &Workspace) -> Result<PathBuf> {
    let on_path = PathBuf::from("cargo-deny");
    if process::answers(Command::new(&on_path).arg("--version")) {
        return Ok(on_path);
    }
    let root = workspace.target.join("tools");
    let program = root.join("bin").join("cargo-deny");
    if !process::answers(Command::new(&program).arg("--version")) {
        println!("installing cargo-deny {CARGO_DENY} into {}", root.display());
        let mut command = workspace.cargo();
        command
            .args(["install", "--quiet", "--locked", "--version", CARGO_DENY, "--root"])
            .arg(&root);
        process::run(command.arg("cargo-deny").env("CARGO_TARGET_DIR", root.join("build")))?;
    }
    Ok(program)
}

/// Fetching the database needs git and a host that not every machine reaches.
fn advisories_are_here() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let folder = home.map(|home| home.join("advisory-dbs"));
    folder.is_some_and(|folder| folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()))
}
