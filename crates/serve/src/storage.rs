//! Files and batches on disk, in a folder that the operator names.
//!
//! `files/ID` is the content of a file and `files/ID.json` what is known of it; `batches/ID.json`
//! is a batch, and `batches/ID.output.jsonl` and `batches/ID.errors.jsonl` are what it has come to
//! so far, and `batches/ID.payer` the word by which it is billed, if it is. `owners/NAME` has the same
//! for what belongs to somebody. What is known is read once, at the start, and held in memory. Ids are made here, so
//! that no client names a path.

mod batches;
mod files;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use phial_openai::metering::Owner;
use serde_json::Value;

pub(crate) use batches::{BatchStore, Progress};
pub(crate) use files::{FileStore, Upload};

/// How much may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageLimits {
    /// Bytes of a file.
    pub file_bytes_max: u64,
    /// Bytes of all files together.
    pub total_bytes_max: u64,
    /// Number of files.
    pub files_max: usize,
    /// Number of batches that are remembered, done or not.
    pub batches_max: usize,
    /// Requests of a batch.
    pub batch_requests_max: usize,
    /// Bytes of a line of a batch.
    pub batch_line_bytes_max: usize,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            file_bytes_max: 200 << 20,
            total_bytes_max: 10 << 30,
            files_max: 10_000,
            batches_max: 10_000,
            batch_requests_max: 50_000,
            batch_line_bytes_max: 16 << 20,
        }
    }
}

/// The folder of what belongs to somebody, a folder for each.
const OWNERS: &str = "owners";

const OWNER_LENGTH_MAX: usize = 64;

/// A folder with files and batches.
#[derive(Debug)]
pub struct Storage {
    pub(crate) files: FileStore,
    pub(crate) batches: BatchStore,
    pub(crate) limits: StorageLimits,
    /// Held by the batch that works.
    pub(crate) batch_turn: Arc<tokio::sync::Mutex<()>>,
    folder: PathBuf,
    /// What belongs to somebody, by owner, as far as it was asked for.
    owned: Mutex<HashMap<Owner, Arc<Self>>>,
}

impl Storage {
    /// Opens `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made or read, or holds what is no file or batch.
    pub fn open(folder: &Path, limits: StorageLimits) -> io::Result<Self> {
        Ok(Self {
            files: FileStore::open(subfolder(folder, "files")?)?,
            batches: BatchStore::open(subfolder(folder, "batches")?)?,
            limits,
            batch_turn: Arc::default(),
            folder: folder.to_owned(),
            owned: Mutex::default(),
        })
    }

    /// What belongs to `owner`, in a folder of its own with limits of its own: nothing in it can be
    /// reached by an id alone.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub(crate) fn of(self: &Arc<Self>, owner: Option<&Owner>) -> io::Result<Arc<Self>> {
        let Some(owner) = owner else { return Ok(Arc::clone(self)) };
        let name = &*owner.0;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || name.len() > OWNER_LENGTH_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of an owner"));
        }
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = owned.get(owner) {
            return Ok(Arc::clone(known));
        }
        let folder = subfolder(&self.folder, OWNERS)?.join(name);
        let mut storage = Self::open(&folder, self.limits.clone())?;
        storage.batch_turn = Arc::clone(&self.batch_turn);
        let storage = Arc::new(storage);
        owned.insert(owner.clone(), Arc::clone(&storage));
        Ok(storage)
    }

    /// Everybody who has left something here.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub(crate) fn owners(&self) -> io::Result<Vec<Owner>> {
        let mut owners = Vec::new();
        for entry in fs::read_dir(subfolder(&self.folder, OWNERS)?)? {
            if let Ok(name) = entry?.file_name().into_string() {
                owners.push(Owner(name.into()));
            }
        }
        Ok(owners)
    }
}

fn subfolder(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).map_err(|error| within(&folder, &error))?;
    Ok(folder)
}

/// `error`, telling where it happened.
fn within(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// All `*.json` of a folder.
fn read_all(folder: &Path) -> io::Result<Vec<Value>> {
    let mut values = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| within(folder, &error))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&path).map_err(|error| within(&path, &error))?;
            let value = serde_json::from_slice(&text)
                .map_err(|error| within(&path, &io::Error::from(error)))?;
            values.push(value);
        }
    }
    Ok(values)
}

/// Writes `text` to `path` so that there is the old text or the new, never half of one.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}
