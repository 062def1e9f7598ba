//! GGUF: a header of typed metadata and tensor entries, then aligned tensor data.
//!
//! [`Gguf`] reads versions 2 and 3, one file or several parts (`NAME-00001-of-00003.gguf`);
//! [`Writer`] writes version 3. Big-endian files and arrays inside arrays are refused.

mod metadata;
mod read;
mod type_id;
mod value;
mod write;

use std::path::{Path, PathBuf};

use phial_tensor::{SharedBytes, Tensor};

pub use metadata::Metadata;
pub use value::{Array, Kind, Value};
pub use write::Writer;

use crate::catalog::Catalog;
use crate::source_file::SourceFile;
use crate::{Error, TensorInfo, WeightSource};

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// The key under which a file says where tensors may start.
const ALIGNMENT_KEY: &str = "general.alignment";

/// Where tensors start when the file does not say, in bytes.
const ALIGNMENT_DEFAULT: usize = 32;

/// Most parts of one model.
const PARTS_MAX: usize = 1000;

const PART_NUMBER_KEY: &str = "split.no";
const PART_COUNT_KEY: &str = "split.count";
const TENSOR_COUNT_KEY: &str = "split.tensors.count";

/// An open GGUF model: metadata and mapped tensors.
#[derive(Debug)]
pub struct Gguf {
    metadata: Metadata,
    catalog: Catalog,
    files: Vec<SourceFile>,
}

impl Gguf {
    /// Maps a file; the first part of a split model opens all parts.
    ///
    /// The merged metadata is that of the first part without its `split.` keys.
    ///
    /// # Errors
    /// When a file cannot be read or breaks the format in any way, when a part is missing or is
    /// not the first, or when a tensor has an element type that this project does not read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let first = SourceFile::map(path)?;
        let (mut metadata, mut catalog) = read::read(first.bytes(), path)?;
        let mut files = vec![first];
        let count = metadata.usize(PART_COUNT_KEY)?.unwrap_or(1);
        if count > 1 {
            open_parts((path, count), &metadata, &mut catalog, &mut files)?;
        }
        metadata.retain(|key| !key.starts_with("split."));
        Ok(Self { metadata, catalog, files })
    }

    /// Reads one whole file from memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Gguf::open`]; also when the bytes are one part of several.
    pub fn from_bytes(bytes: &SharedBytes, name: &str) -> Result<Self, Error> {
        let path = Path::new(name);
        let (metadata, catalog) = read::read(bytes, path)?;
        if metadata.usize(PART_COUNT_KEY)?.unwrap_or(1) > 1 {
            return Err(Error::not_a_model(path, "this is one part of a model, open it by path"));
        }
        Ok(Self { metadata, catalog, files: Vec::new() })
    }

    /// The metadata, in file order.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn files(&self) -> &[SourceFile] {
        &self.files
    }
}

impl WeightSource for Gguf {
    fn tensors(&self) -> &[TensorInfo] {
        self.catalog.infos()
    }

    fn tensor(&self, name: &str) -> Option<Tensor> {
        self.catalog.tensor(name)
    }
}

/// Adds the tensors of all parts after the first.
fn open_parts(
    (first, count): (&Path, usize),
    metadata: &Metadata,
    catalog: &mut Catalog,
    files: &mut Vec<SourceFile>,
) -> Result<(), Error> {
    if count > PARTS_MAX {
        return Err(Error::damaged(first, PART_COUNT_KEY, format!("{count} parts are too many")));
    }
    let number = metadata.required(PART_NUMBER_KEY, Metadata::usize)?;
    if number != 0 {
        let problem = format!("this is part {} of {count}, open the first part", number + 1);
        return Err(Error::not_a_model(first, problem));
    }
    for number in 1..count {
        let path = part_path(first, number, count)?;
        if !path.exists() {
            let problem = format!("part {} of {count} is missing, download it too", number + 1);
            return Err(Error::not_a_model(&path, problem));
        }
        let file = SourceFile::map(&path)?;
        let (part, tensors) = read::read(file.bytes(), &path)?;
        files.push(file);
        let found = (part.usize(PART_NUMBER_KEY)?, part.usize(PART_COUNT_KEY)?);
        if found != (Some(number), Some(count)) {
            let problem = format!("does not say that it is part {} of {count}", number + 1);
            return Err(Error::damaged(&path, PART_NUMBER_KEY, problem));
        }
        for (info, bytes) in tensors.into_parts() {
            let place = format!("tensor `{}`", info.name);
            if !catalog.add(info, bytes) {
                return Err(Error::damaged(&path, place, "is in an earlier part too"));
            }
        }
    }
    let found = catalog.infos().len();
    match metadata.usize(TENSOR_COUNT_KEY)? {
        Some(expected) if expected != found => {
            let problem = format!("the parts have {found} tensors, not {expected}");
            Err(Error::damaged(first, TENSOR_COUNT_KEY, problem))
        }
        _ => Ok(()),
    }
}

/// The path of part `number` (from 0) beside the first one.
fn part_path(first: &Path, number: usize, count: usize) -> Result<PathBuf, Error> {
    let name = first.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(base) = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")) else {
        let problem = format!(
            "this is the first of {count} parts, so its name must end in -00001-of-{count:05}.gguf"
        );
        return Err(Error::not_a_model(first, problem));
    };
    Ok(first.with_file_name(format!("{base}-{:05}-of-{count:05}.gguf", number + 1)))
}
