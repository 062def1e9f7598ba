//! Programs for Node below the target folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// Endings of what a program needs of its folder: its scripts, and its packages, exactly.
const ENDINGS: &[&str] = &["json", "mjs"];

/// Runs a program: its folder in the workspace, and the script in it to begin with. Its packages
/// are installed beside a copy, and anew when their list has changed.
pub fn run(
    workspace: &Workspace,
    (folder, script): (&str, &str),
    arguments: &[&str],
) -> Result<()> {
    let source = workspace.root.join(folder);
    let copy = workspace.target.join("node").join(folder.replace('/', "-"));
    fs::create_dir_all(&copy).with_context(|| format!("cannot make {}", copy.display()))?;
    let lock = |folder: &Path| fs::read(folder.join("package-lock.json")).ok();
    let is_current = lock(&copy) == lock(&source) && copy.join("node_modules").exists();
    copy_program(&source, &copy).with_context(|| format!("cannot copy {folder}"))?;
    if !is_current {
        println!("installing the packages of {folder} into {}", copy.display());
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        process::run(npm.current_dir(&copy))?;
    }
    println!("{folder}/{script} with {}", arguments.join(" "));
    let mut node = Command::new("node");
    process::run(node.arg(script).args(arguments).current_dir(&copy))
}

fn copy_program(source: &Path, copy: &Path) -> Result<()> {
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if let (Some(name), true) = (path.file_name(), ENDINGS.contains(&ending)) {
            fs::copy(&path, copy.join(name))?;
        }
    }
    Ok(())
}
