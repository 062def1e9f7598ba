//! What lies beside safetensors: configuration, tokenizer, template.

use std::path::Path;

use crate::error::Error;

/// Longest side file that is read, in bytes: a tokenizer of a large vocabulary has 20 MB.
const SIDE_FILE_BYTES_MAX: u64 = 256 << 20;

/// The text files that belong to a safetensors model; those that are missing are `None`.
#[derive(Clone, Debug, Default)]
pub struct SideFiles {
    /// `config.json`
    pub config: Option<String>,
    /// `generation_config.json`
    pub generation: Option<String>,
    /// `tokenizer.json`
    pub tokenizer: Option<String>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<String>,
    /// `chat_template.jinja`
    pub template: Option<String>,
}

impl SideFiles {
    /// Reads those of `folder`.
    ///
    /// # Errors
    /// A file that is there but cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            config: read(folder, "config.json")?,
            generation: read(folder, "generation_config.json")?,
            tokenizer: read(folder, "tokenizer.json")?,
            tokenizer_config: read(folder, "tokenizer_config.json")?,
            template: read(folder, "chat_template.jinja")?,
        })
    }

    /// The chat template, from its own file or from the tokenizer's configuration.
    pub fn chat_template(&self) -> Option<String> {
        if self.template.is_some() {
            return self.template.clone();
        }
        let config: serde_json::Value =
            serde_json::from_str(self.tokenizer_config.as_deref()?).ok()?;
        match config.get("chat_template")? {
            serde_json::Value::String(text) => Some(text.clone()),
            // Several named templates: the default one.
            serde_json::Value::Array(list) => {
                let named = |name: &str| {
                    list.iter().find(|entry| entry.get("name").is_some_and(|n| n == name))
                };
                let entry = named("default").or_else(|| list.first())?;
                Some(entry.get("template")?.as_str()?.to_owned())
            }
            _ => None,
        }
    }

    /// Token ids that end an answer, from both configurations.
    pub fn end_ids(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for text in [&self.generation, &self.config].into_iter().flatten() {
            let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            let list = match value.get("eos_token_id") {
                Some(serde_json::Value::Array(list)) => list.clone(),
                Some(one) => vec![one.clone()],
                None => Vec::new(),
            };
            ids.extend(list.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok()));
        }
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, Error> {
    let path = folder.join(name);
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.len() <= SIDE_FILE_BYTES_MAX => {}
        Ok(metadata) => {
            return Err(Error::Other(format!(
                "{} has {} bytes; at most {SIDE_FILE_BYTES_MAX} are read",
                path.display(),
                metadata.len()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path, source }),
    }
    std::fs::read_to_string(&path).map(Some).map_err(|source| Error::Io { path, source })
}
