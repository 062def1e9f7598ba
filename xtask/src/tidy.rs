//! The rules of the workspace that no compiler knows.

mod cycles;
mod edges;
mod files;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::source;
use crate::workspace::Workspace;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}: {}", self.file.display(), self.line, self.what)
    }
}

/// A Rust file, as the rules look at it.
pub struct RustFile {
    /// Relative to the workspace.
    pub path: PathBuf,
    pub text: String,
    /// Without comments and literals.
    pub code: String,
}

impl RustFile {
    fn read(root: &Path, path: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), code: source::code_only(&text), text })
    }
}

/// Prints every violation; says whether there was none.
pub fn report(workspace: &Workspace) -> Result<bool> {
    let violations = check(workspace)?;
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => println!("tidy"),
        count => println!("{count} violations"),
    }
    Ok(violations.is_empty())
}

/// Every violation, by file.
pub fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut violations = edges::check(&workspace.packages);
    for package in &workspace.packages {
        let mut sources = Vec::new();
        for path in workspace.files(&package.folder.join("src"))? {
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(RustFile::read(&workspace.root, &path)?);
            }
        }
        violations.extend(cycles::check(&package.folder.join("src"), &sources));
        violations.extend(files::check_package(&workspace.root, &package.folder, &sources)?);
    }
    violations.extend(files::check_all(workspace)?);
    violations.sort();
    violations.dedup();
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let violations = check(&Workspace::open().unwrap()).unwrap();
        let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
