//! safetensors: a JSON header, then tensor data without gaps; one file, or shards with an index.

mod header;
mod index;
mod write;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use phial_tensor::{SharedBytes, Tensor};

pub use header::{Entry, Header, IntegerEntry, header_bytes, header_of};
pub use write::{Writer, write};

use crate::catalog::Catalog;
use crate::source_file::SourceFile;
use crate::{Error, TensorInfo, WeightSource};

/// Longest header or index that is read, in bytes; that of a model of 4 B weights has 30 KB.
pub const HEADER_BYTES_MAX: usize = 100_000_000;

/// Most files of one model.
const SHARDS_MAX: usize = 1000;

const METADATA_KEY: &str = "__metadata__";
const SINGLE_NAME: &str = "model.safetensors";
const INDEX_NAME: &str = "model.safetensors.index.json";

/// Open safetensors files: mapped weights of types F32, F16 and BF16, and buffers of whole numbers.
#[derive(Debug, Default)]
pub struct Safetensors {
    metadata: Vec<(String, String)>,
    catalog: Catalog,
    /// Bytes of one element, and the bytes.
    integers: HashMap<String, (usize, SharedBytes)>,
    files: Vec<SourceFile>,
}

impl Safetensors {
    /// Maps a file, the shards that an index file (`….index.json`) names, or the model in a
    /// folder: `model.safetensors.index.json`, else `model.safetensors`, else the only
    /// safetensors file there.
    ///
    /// Of shards, the tensors that the index assigns to them are taken.
    ///
    /// # Errors
    /// When a file cannot be read or breaks the format in any way, when a shard is missing or
    /// outside the folder, or when a tensor has another type.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let Some(file) = find(path)? else {
            let problem = "there is no safetensors file in this folder";
            return Err(Error::not_a_model(path, problem));
        };
        if is_index(&file) {
            return Self::open_index(&file);
        }
        let mut opened = Self::default();
        opened.map_file(&file, |_| true)?;
        Ok(opened)
    }

    /// Reads one whole file from memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Safetensors::open`].
    pub fn from_bytes(bytes: &SharedBytes, name: &str) -> Result<Self, Error> {
        let mut opened = Self::default();
        opened.add_file(bytes, Path::new(name), |_| true)?;
        Ok(opened)
    }

    /// Free text of the writer, in file order; of the first shard.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The elements of a tensor of whole numbers (I32, I64 or BOOL); those are not among
    /// [`WeightSource::tensors`].
    pub fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let (width, bytes) = self.integers.get(name)?;
        Some(match width {
            4 => bytes.as_chunks().0.iter().map(|&four| i32::from_le_bytes(four).into()).collect(),
            8 => bytes.as_chunks().0.iter().map(|&eight| i64::from_le_bytes(eight)).collect(),
            _ => bytes.iter().map(|&byte| byte.into()).collect(),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.catalog.contains(name) || self.integers.contains_key(name)
    }

    fn open_index(path: &Path) -> Result<Self, Error> {
        let index = index::Index::open(path)?;
        let mut opened = Self::default();
        for (shard, names) in &index.shards {
            let path = index.path_of(shard);
            opened.map_file(&path, |name| names.contains(name))?;
            if let Some(missing) = names.iter().find(|name| !opened.has(name)) {
                let place = format!("tensor `{missing}`");
                return Err(Error::damaged(&path, place, "is in the index but not in this file"));
            }
        }
        Ok(opened)
    }

    pub(crate) fn files(&self) -> &[SourceFile] {
        &self.files
    }

    fn map_file(&mut self, path: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), Error> {
        let file = SourceFile::map(path)?;
        self.add_file(file.bytes(), path, wanted)?;
        self.files.push(file);
        Ok(())
    }

    fn add_file(
        &mut self,
        bytes: &SharedBytes,
        path: &Path,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let header = header_of(bytes, &path.to_string_lossy())?;
        if header.file_bytes != bytes.len() {
            let problem = format!("the file has {} bytes, not {}", bytes.len(), header.file_bytes);
            return Err(Error::damaged(path, "end", problem));
        }
        if self.metadata.is_empty() {
            self.metadata = header.metadata;
        }
        // Names cannot repeat: a header has each once, and an index gives each to one shard.
        for IntegerEntry { name, width, range } in header.integers {
            if wanted(&name) {
                let data = bytes.slice(range).expect("ranges end with the file");
                self.integers.insert(name, (width, data));
            }
        }
        for Entry { info, range } in header.tensors {
            if wanted(&info.name) {
                let data = bytes.slice(range).expect("ranges end with the file");
                let is_new = self.catalog.add(info, data);
                debug_assert!(is_new, "a name appears twice");
            }
        }
        Ok(())
    }
}

impl WeightSource for Safetensors {
    fn tensors(&self) -> &[TensorInfo] {
        self.catalog.infos()
    }

    fn tensor(&self, name: &str) -> Option<Tensor> {
        self.catalog.tensor(name)
    }
}

/// The file to open for `path`; `None` when it is a folder without any.
pub(crate) fn find(path: &Path) -> Result<Option<PathBuf>, Error> {
    if !path.is_dir() {
        return Ok(Some(path.to_owned()));
    }
    for name in [INDEX_NAME, SINGLE_NAME] {
        let file = path.join(name);
        if file.is_file() {
            return Ok(Some(file));
        }
    }
    let mut found = with_extension(path, "safetensors")?;
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => {
            let problem = format!(
                "{count} safetensors files and neither {INDEX_NAME} nor {SINGLE_NAME}, name one file"
            );
            Err(Error::not_a_model(path, problem))
        }
    }
}

/// The files in a folder with that extension, in the order of their names.
pub(crate) fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.extension() == Some(OsStr::new(extension)) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file is an index by its name.
pub(crate) fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".index.json"))
}
