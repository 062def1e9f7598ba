//! Everything that belongs to a model, out of its files: weights, tokenizer, template, stop ids.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use phial_convert::{SideFiles, tokenizer_of};
use phial_formats::ModelFile;
use phial_hub::Store;
use phial_model::{LoadOptions, Model, PackReport, Precision, folder_of};
use phial_text::{ChatTemplate, Tokenizer};

use crate::{cli, progress};

/// Text side of a model.
pub struct TextParts {
    pub tokenizer: Arc<Tokenizer>,
    /// `None` when the model brings no chat template.
    pub template: Option<ChatTemplate>,
    /// Ids that end an answer.
    pub stop_tokens: Vec<u32>,
}

/// A model that is ready to run.
pub struct Bundle {
    pub model: Model,
    /// Says why when the files hold no tokenizer, or a broken one: token ids need none.
    pub text: Result<TextParts>,
}

impl Bundle {
    /// Loads all of `path`, as `arguments` say.
    pub fn load(
        path: &Path,
        precision: Precision,
        arguments: &cli::ModelArguments,
    ) -> Result<Self> {
        let file = ModelFile::open(path)?;
        let text = text_parts(&file, path).and_then(|text| {
            text.with_context(|| {
                format!("{} has no tokenizer; put its tokenizer.json beside it", path.display())
            })
        });
        let mut options = LoadOptions::new(precision, arguments.threads.map(usize::from))?;
        options.pack_cache = pack_cache(arguments);
        let spinner = progress::spinner("loading the model");
        let model = Model::from_file(&file, path, &options)?;
        spinner.finish_and_clear();
        tell(model.pack_report());
        Ok(Self { model, text })
    }

    /// The text side, or why there is none.
    pub fn text(self) -> Result<(Model, TextParts)> {
        Ok((self.model, self.text?))
    }
}

/// The folder of packed weights; `None` when there shall or can be none.
fn pack_cache(arguments: &cli::ModelArguments) -> Option<PathBuf> {
    if arguments.no_pack_cache {
        return None;
    }
    let given = arguments.pack_cache.clone();
    given.or_else(|| Store::open().ok().map(|store| store.packed_folder().to_path_buf()))
}

/// Says in one line what went wrong with packed weights.
fn tell(report: &PackReport) {
    let line = match report {
        PackReport::InMemory | PackReport::Mapped | PackReport::Made => return,
        PackReport::Repaired(what) => {
            format!("the file of packed weights was damaged ({what}); it was made anew")
        }
        PackReport::NotKept(what) => format!(
            "packed weights are not kept for the next start ({what}); make room, give another \
             --pack-cache, or say --no-pack-cache"
        ),
    };
    if tracing::dispatcher::has_been_set() {
        tracing::warn!("{line}");
    } else {
        eprintln!("warning: {line}");
    }
}

/// Tokenizer, template and stop ids of an open model file.
pub fn text_parts(file: &ModelFile, path: &Path) -> Result<Option<TextParts>> {
    let origin = path.display().to_string();
    let (tokenizer, source, mut stop_tokens) = match file {
        ModelFile::Gguf(gguf) => {
            let Some(tokenizer) = tokenizer_of(gguf.metadata(), &origin)? else { return Ok(None) };
            let source = gguf.metadata().str("tokenizer.chat_template")?.map(str::to_owned);
            (tokenizer, source, Vec::new())
        }
        ModelFile::Safetensors(_) => {
            let folder = folder_of(path);
            let files = SideFiles::read(&folder)?;
            let Some(json) = &files.tokenizer else { return Ok(None) };
            let tokenizer = from_json(json, &folder.join("tokenizer.json"))?;
            (tokenizer, files.chat_template(), files.end_ids())
        }
    };
    stop_tokens.extend(tokenizer.end_of_turn_ids());
    stop_tokens.sort_unstable();
    stop_tokens.dedup();
    let template = source
        .map(|source| ChatTemplate::from_jinja(&source, &tokenizer))
        .transpose()
        .with_context(|| format!("{origin}: chat template"))?;
    Ok(Some(TextParts { tokenizer: Arc::new(tokenizer), template, stop_tokens }))
}

/// Only the tokenizer of `path`: a GGUF file, or a folder with a `tokenizer.json`.
pub fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let json: PathBuf =
        if path.is_dir() { path.join("tokenizer.json") } else { path.to_path_buf() };
    if json.extension().is_some_and(|extension| extension == "json") && json.is_file() {
        let text = std::fs::read_to_string(&json)
            .with_context(|| format!("cannot read {}", json.display()))?;
        return from_json(&text, &json);
    }
    match ModelFile::open(path)? {
        ModelFile::Gguf(gguf) => tokenizer_of(gguf.metadata(), &path.display().to_string())?
            .with_context(|| format!("{} holds no tokenizer", path.display())),
        ModelFile::Safetensors(_) => {
            anyhow::bail!("no tokenizer.json beside {}", path.display())
        }
    }
}

fn from_json(text: &str, path: &Path) -> Result<Tokenizer> {
    Tokenizer::from_tokenizer_json(text.as_bytes()).with_context(|| path.display().to_string())
}
