//! Python environments below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// For what is built from source: GCC 12 takes the shapes of AMX registers for a value that nobody
/// reads and leaves out most of it, so that llama.cpp crashes where a CPU has them.
const COMPILER_FLAGS: &str = "-fno-tree-dse -fno-dse";

/// The interpreter of the environment `name` with the packages of `requirements` (a file of the
/// workspace) and what they need. Made anew when that file has changed.
pub fn environment(workspace: &Workspace, name: &str, requirements: &str) -> Result<PathBuf> {
    make(workspace, name, requirements, &[])
}

/// As [`environment`], with those packages alone: for one of which only a part is used.
pub fn environment_of(workspace: &Workspace, name: &str, requirements: &str) -> Result<PathBuf> {
    make(workspace, name, requirements, &["--no-deps"])
}

fn make(
    workspace: &Workspace,
    name: &str,
    requirements: &str,
    options: &[&str],
) -> Result<PathBuf> {
    let folder = workspace.target.join(name);
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let wanted = fs::read_to_string(workspace.root.join(requirements))
        .with_context(|| format!("cannot read {requirements}"))?;
    let stamp = folder.join("requirements-installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    println!("installing {requirements} into {}", folder.display());
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(options);
    pip.env("CFLAGS", COMPILER_FLAGS).env("CXXFLAGS", COMPILER_FLAGS);
    process::run(pip.arg("--requirement").arg(workspace.root.join(Path::new(requirements))))?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}
