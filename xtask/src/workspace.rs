//! Where things are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Folders that hold nothing of ours.
const SKIPPED_FOLDERS: &[&str] = &[".git", ".venv", "__pycache__", "node_modules"];

/// A package of the workspace.
pub struct Package {
    pub name: String,
    /// Its folder, relative to the workspace.
    pub folder: PathBuf,
    /// Names of the workspace's packages it needs, by kind of dependency.
    pub needs: Vec<(String, Need)>,
}

/// Why a package depends on another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Normal,
    Test,
}

pub struct Workspace {
    pub root: PathBuf,
    /// Where cargo builds; our own tools and environments go there too.
    pub target: PathBuf,
    pub packages: Vec<Package>,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub fn open() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().context("xtask has no folder above it")?.to_owned();
        let mut command = cargo(&root);
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata: Value = serde_json::from_str(&process::output(&mut command)?)?;
        let target = metadata["target_directory"].as_str().context("no target directory")?.into();
        let packages = metadata["packages"].as_array().context("no packages")?;
        let packages = packages.iter().map(|package| read_package(package, &root));
        Ok(Self { packages: packages.collect::<Result<_>>()?, target, root })
    }

    /// cargo, in the root of the workspace.
    pub fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// Every file below `folder`, relative to the root, sorted, without build products.
    pub fn files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        collect(&self.root, folder, &mut files)?;
        files.sort();
        Ok(files)
    }
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // `cargo run` tells us about our own package. Build scripts that look at those variables would
    // run again, and what depends on them be built again, whenever a task follows a plain build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn read_package(package: &Value, root: &Path) -> Result<Package> {
    let name = package["name"].as_str().context("a package without a name")?.to_owned();
    let manifest = Path::new(package["manifest_path"].as_str().context("no manifest path")?);
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok());
    let folder = folder.with_context(|| format!("{name} is outside of the workspace"))?.to_owned();
    let mut needs = Vec::new();
    for dependency in package["dependencies"].as_array().context("no dependencies")? {
        if dependency["path"].is_string() {
            let kind = if dependency["kind"] == "dev" { Need::Test } else { Need::Normal };
            needs.push((dependency["name"].as_str().unwrap_or_default().to_owned(), kind));
        }
    }
    Ok(Package { name, folder, needs })
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let absolute = root.join(folder);
    let entries =
        fs::read_dir(&absolute).with_context(|| format!("cannot read {}", absolute.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let path = folder.join(&name);
        if entry.file_type()?.is_dir() {
            let is_build = folder.as_os_str().is_empty() && text.starts_with("target");
            if !is_build && !SKIPPED_FOLDERS.contains(&&*text) {
                collect(root, &path, files)?;
            }
        } else {
            files.push(path);
        }
    }
    Ok(())
}
