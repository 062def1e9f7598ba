//! Programs for Node below the target folder.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// The program of a folder: what it needs, exactly.
const FILES: &[&str] = &["package.json", "package-lock.json", "clients.mjs"];

/// Runs the program in `folder` of the workspace. Its packages are installed beside a copy, and
/// anew when their list has changed.
pub fn run(workspace: &Workspace, folder: &str, arguments: &[&str]) -> Result<()> {
    let source = workspace.root.join(folder);
    let copy = workspace.target.join("node-clients");
    fs::create_dir_all(&copy).with_context(|| format!("cannot make {}", copy.display()))?;
    let lock = |folder: &std::path::Path| fs::read(folder.join("package-lock.json")).ok();
    let is_current = lock(&copy) == lock(&source) && copy.join("node_modules").exists();
    for file in FILES {
        fs::copy(source.join(file), copy.join(file))
            .with_context(|| format!("cannot copy {folder}/{file}"))?;
    }
    if !is_current {
        println!("installing the packages of {folder} into {}", copy.display());
        let mut npm = Command::new("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        process::run(npm.current_dir(&copy))?;
    }
    println!("{folder} with {}", arguments.join(" "));
    let mut node = Command::new("node");
    process::run(node.arg("clients.mjs").args(arguments).current_dir(&copy))
}
