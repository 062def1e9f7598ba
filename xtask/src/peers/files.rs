//! The files that all engines load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{end_to_end, process};

/// Finds a model's files; makes or pulls what is not there.
pub struct Files<'a> {
    pub workspace: &'a Workspace,
    pub phial: &'a Path,
    /// `phi-4-mini`, `starter`, or a path.
    pub model: &'a str,
}

pub struct File {
    /// Type of the weights, or the file's name where nobody chose the type.
    pub weights: String,
    pub path: PathBuf,
}

impl Files<'_> {
    /// Whether the model is made here in every type.
    pub fn is_synthetic(&self) -> bool {
        self.model == "phi-4-mini"
    }

    /// The file with weights of this type; of a model that is one file, that file.
    pub fn find(&self, weights: &str) -> Result<File> {
        let path = match self.model {
            "phi-4-mini" => {
                return Ok(File { weights: weights.to_owned(), path: self.synthetic(weights)? });
            }
            "starter" => self.starter()?,
            path if Path::new(path).is_file() => fs::canonicalize(path)?,
            name => bail!("no model is called '{name}' here; models: phi-4-mini, starter, a file"),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(File { weights: name, path })
    }

    fn starter(&self) -> Result<PathBuf> {
        let home = end_to_end::home(self.workspace);
        let folder = home.join("models/starter");
        let manifest = folder.join("manifest.json");
        if !manifest.exists() {
            let mut command = Command::new(self.phial);
            process::run(command.args(["pull", "starter"]).env("PHIAL_HOME", &home))?;
        }
        let manifest: Value = serde_json::from_str(&fs::read_to_string(manifest)?)?;
        let name = manifest["files"][0]["name"].as_str().context("an empty manifest")?;
        Ok(folder.join(name))
    }

    /// The export of the 4-bit weights that ONNX Runtime GenAI runs; made by `script` when it is
    /// missing.
    pub fn onnx(&self, python: &Path, script: &Path) -> Result<PathBuf> {
        let source = self.synthetic("q4_0")?;
        let folder = source.with_extension("").with_extension("onnx");
        if !folder.exists() {
            process::run(Command::new(python).arg(script).arg(&source).arg(&folder))?;
        }
        Ok(folder)
    }

    /// Phi-4-mini's shape with random weights.
    fn synthetic(&self, weights: &str) -> Result<PathBuf> {
        let folder = self.workspace.target.join("synthetic");
        let path = folder.join(format!("phi-4-mini-synthetic-{weights}.gguf"));
        if !path.exists() {
            fs::create_dir_all(&folder)?;
            // Written aside, so that an interrupted run leaves no half file under the name.
            let aside = path.with_extension("part.gguf");
            let mut command = Command::new(self.phial);
            command.args(["synth", "--preset", "phi-4-mini", "--type", weights]);
            process::run(command.arg(&aside))?;
            fs::rename(&aside, &path)?;
        }
        Ok(path)
    }
}
