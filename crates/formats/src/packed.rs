//! Files of packed weights: matrices as kernels want them, kept between starts and mapped as they
//! are. What the bytes of a matrix mean is the business of whoever packs them; this module knows
//! where they are, from which model files they were made, and whether they are still whole.
//!
//! ```text
//! header  4096 bytes: magic, versions, stamp of the model files, sizes, checksums
//! data    matrices, each from a multiple of 64 bytes on
//! table   JSON: paths of the model files, every matrix, a checksum of each 4 MiB of the data
//! ```
//!
//! A file is written beside its place and renamed when it is complete. Nobody waits for the disk:
//! what a crash loses the checksums miss, and the file is made again.

mod header;
mod sweep;
mod table;
mod write;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use phial_tensor::SharedBytes;

pub use sweep::sweep;
pub use write::PackedWriter;

use crate::Error;
use crate::map::map;
use crate::source_file::SourceStamp;
use header::Header;
use table::{Entry, Table};

/// Bytes of data under one checksum.
const PIECE_BYTES: usize = 4 << 20;

/// Matrices start at multiples of this many bytes, in the file and so in memory.
const ALIGNMENT: usize = 64;

const EXTENSION: &str = "phialpack";

/// What a file of packed weights must be made of to be of use.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The files of the model.
    pub source: &'a SourceStamp,
    /// The version of the packed layout.
    pub layout: u32,
}

impl Wanted<'_> {
    /// The place in `folder` of what was packed from these files, whatever they hold by now: a
    /// model that changes has its old packed weights replaced.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.{EXTENSION}", self.source.place()))
    }
}

/// Why there are no packed weights to use.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no file.
    Absent,
    /// Sound as far as can be seen, but of other model files or of another version.
    Outdated,
    /// Cut short, altered or not such a file; what was found, as a clause.
    Damaged(String),
}

/// A matrix in a file of packed weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedInfo<'a> {
    /// As in the model file.
    pub name: &'a str,
    /// The packer's name for what the bytes are.
    pub form: &'a str,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
}

/// An open file of packed weights whose header and table are sound. Its data is for the caller to
/// check, piece by piece and on as many threads as there are.
#[derive(Debug)]
pub struct PackedFile {
    data: SharedBytes,
    entries: HashMap<String, Entry>,
    sums: Vec<u32>,
}

impl PackedFile {
    /// Maps the file at `path`.
    ///
    /// # Errors
    /// When it is not there, not of use, or broken.
    pub fn open(path: &Path, wanted: &Wanted) -> Result<Self, Refusal> {
        let bytes = match map(path) {
            Ok((bytes, _)) => bytes,
            Err(Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
                return Err(Refusal::Absent);
            }
            Err(Error::Io { cause, .. }) => return Err(Refusal::Damaged(cause.to_string())),
            Err(_) => return Err(Refusal::Damaged("a folder is in its place".to_owned())),
        };
        Self::from_bytes(&bytes, wanted)
    }

    /// As [`PackedFile::open`] for bytes in memory.
    ///
    /// # Errors
    /// As [`PackedFile::open`].
    pub fn from_bytes(bytes: &SharedBytes, wanted: &Wanted) -> Result<Self, Refusal> {
        let header = Header::read(bytes)?;
        if header.layout != wanted.layout || header.source != *wanted.source.content() {
            return Err(Refusal::Outdated);
        }
        let (data, table) = header.parts(bytes)?;
        let Table { matrices, sums, .. } = Table::read(&table, data.len())?;
        let named = matrices.into_iter().map(|entry| (entry.name.clone(), entry));
        Ok(Self { data, entries: named.collect(), sums })
    }

    /// Pieces that the data is checked in.
    pub fn pieces(&self) -> usize {
        self.sums.len()
    }

    /// Whether a piece of the data is what was written.
    ///
    /// # Panics
    /// When there is no such piece.
    pub fn piece_is_sound(&self, index: usize) -> bool {
        let start = index * PIECE_BYTES;
        let end = self.data.len().min(start + PIECE_BYTES);
        crc32fast::hash(&self.data[start..end]) == self.sums[index]
    }

    /// The bytes of a matrix; `None` when there is none that is exactly this one.
    pub fn matrix(&self, info: &PackedInfo) -> Option<SharedBytes> {
        let entry = self.entries.get(info.name).filter(|entry| entry.info() == *info)?;
        self.data.slice(entry.range()?)
    }
}

/// Whether `name` is one that [`Wanted::path`] gives.
fn is_ours(name: &str) -> bool {
    let place = name.strip_suffix(EXTENSION).and_then(|rest| rest.strip_suffix('.'));
    place.is_some_and(|place| {
        place.len() == 32 && place.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests;
