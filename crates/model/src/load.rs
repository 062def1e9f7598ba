//! From files to a model that runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use phial_formats::{ModelFile, WeightSource};
use phial_kernels::{Pool, Tier};

use crate::batch::AdapterId;
use crate::config::{Config, Layout};
use crate::error::Error;
use crate::kv::KvElement;
use crate::linear::Compute;
use crate::lora::Adapter;
use crate::pack_cache::{self, PackReport};
use crate::rope::Rotary;
use crate::weights::{Origin, Precision, Weights};

/// How a model is loaded.
#[derive(Clone)]
pub struct LoadOptions {
    /// How products are made.
    pub precision: Precision,
    /// Threads and instructions.
    pub compute: Compute,
    /// The folder where packed weights are kept between starts and mapped from; `None` packs in
    /// memory, and so does [`Precision::F32`], whose weights are several times as large.
    pub pack_cache: Option<PathBuf>,
}

impl LoadOptions {
    /// `threads` threads (all that this process may use when `None`), the best instructions, and
    /// weights packed in memory.
    ///
    /// # Errors
    /// When `PHIAL_ISA` names instructions that this CPU lacks.
    pub fn new(
        precision: Precision,
        threads: Option<usize>,
    ) -> Result<Self, phial_kernels::cpu::UnknownTier> {
        let threads = threads.unwrap_or_else(Pool::default_threads);
        let pool = Arc::new(Pool::new(threads));
        let compute = Compute { pool, tier: Tier::choose()? };
        Ok(Self { precision, compute, pack_cache: None })
    }
}

/// Blueprint and weights, ready to run; holds nothing of any request.
pub struct Model {
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    pub(crate) rotary: Rotary,
    pub(crate) adapters: Vec<Adapter>,
    pub(crate) compute: Compute,
    pub(crate) kv_element: KvElement,
    pack_report: PackReport,
}

impl Model {
    /// Loads the model in `path`: a GGUF file, or a folder (or file) of safetensors with its
    /// `config.json`.
    ///
    /// # Errors
    /// Files that are missing, broken, or of an unsupported kind.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        Self::from_file(&ModelFile::open(path)?, path, options)
    }

    /// As [`Model::load`] for weights that are open already.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn from_file(file: &ModelFile, path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let (config, layout) = read_config(file, path)?;
        let precision = options.precision;
        let exact = precision == Precision::F32;
        let name = path.display().to_string();
        let source: &dyn WeightSource = file;
        let (config, compute) = (&config, &options.compute);
        let origin = Origin { source, config, layout, name: &name, precision, compute };
        let folder = options.pack_cache.as_deref().filter(|_| !exact);
        let (weights, pack_report) = match folder.zip(file.stamp()) {
            Some((folder, stamp)) => pack_cache::load(&origin, folder, &stamp)?,
            None => pack_cache::load_in_memory(&origin)?,
        };
        let config = config.clone();
        Ok(Self {
            rotary: Rotary::new(&config.rope),
            config,
            weights,
            adapters: Vec::new(),
            compute: options.compute.clone(),
            kv_element: if exact { KvElement::F32 } else { KvElement::F16 },
            pack_report,
        })
    }

    /// Loads the LoRA adapter in `folder` (PEFT layout).
    ///
    /// # Errors
    /// Files that are missing, broken, or made for another model.
    pub fn load_adapter(&mut self, folder: &Path) -> Result<AdapterId, Error> {
        self.adapters.push(Adapter::load(folder, &self.config, &self.compute)?);
        Ok(AdapterId(self.adapters.len() - 1))
    }

    /// Chooses the type of stored keys and values: what is `asked` for, else that of
    /// [`Config::default_kv`]. A model that was loaded for exact results keeps f32 unless asked.
    ///
    /// # Errors
    /// When 8 or 4 bits are asked for and the model's heads are not a multiple of 32.
    pub fn choose_kv(
        &mut self,
        asked: Option<KvElement>,
        context_tokens: usize,
    ) -> Result<(), Error> {
        let head_dim = self.config.head_dim;
        if let Some(element) = asked.filter(|element| !element.fits(head_dim)) {
            let problem = format!(
                "keys and values in {} need heads of a multiple of 32 elements, not {head_dim}; use f16",
                element.name()
            );
            return Err(Error::config(&self.config.architecture, problem));
        }
        self.kv_element = match asked {
            Some(element) => element,
            None if self.kv_element == KvElement::F32 => KvElement::F32,
            None => self.config.default_kv(context_tokens).element,
        };
        Ok(())
    }

    /// The blueprint.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Memory of packed weights, in bytes.
    pub fn packed_bytes(&self) -> usize {
        self.weights.packed_bytes()
    }

    /// What of the packed weights is in a mapped file, in bytes: memory that the system takes back
    /// and fills again as it needs.
    pub fn mapped_bytes(&self) -> usize {
        self.weights.mapped_bytes()
    }

    /// Where the packed weights came from.
    pub fn pack_report(&self) -> &PackReport {
        &self.pack_report
    }

    /// Threads and instructions it runs with.
    pub fn compute(&self) -> &Compute {
        &self.compute
    }
}

/// The blueprint that goes with `file`, and how its tensors are named.
///
/// # Errors
/// A missing or unsupported configuration.
pub fn read_config(file: &ModelFile, path: &Path) -> Result<(Config, Layout), Error> {
    match file {
        ModelFile::Gguf(gguf) => {
            Ok((Config::from_gguf(gguf, &path.display().to_string())?, Layout::Gguf))
        }
        ModelFile::Safetensors(_) => {
            let path = folder_of(path).join("config.json");
            let text = std::fs::read_to_string(&path)
                .map_err(|source| Error::Io { path: path.clone(), source })?;
            Ok((Config::from_json(&text, &path.display().to_string())?, Layout::HuggingFace))
        }
    }
}

/// The folder that holds a model's side files: `path` itself, or where it lies.
pub fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        path.to_path_buf()
    } else {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    }
}
