//! The folder, and what is known of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use phial_engine::{Before, BlockName, PrefixStore, TokenId};
use phial_model::Regime;
use sha2::{Digest, Sha256};

use crate::block_file::{Label, contents, file_bytes};
use crate::error::Error;
use crate::writer::Writer;

/// Ending of the files.
const ENDING: &str = "kv";

/// Blocks in a folder, one file each, for one process at a time. When they exceed the limit the
/// least recently used ones go, of whatever model they are.
pub struct DiskPrefixes {
    folder: PathBuf,
    fingerprint: [u8; 32],
    bytes_max: u64,
    files: HashMap<BlockName, Kept>,
    /// By the time of the last use.
    by_use: BTreeMap<u64, BlockName>,
    bytes: u64,
    uses: u64,
    /// The bytes of the file that was read last.
    buffer: Vec<u8>,
    writer: Writer,
    /// Held as long as the folder is in use.
    _lock: File,
}

#[derive(Clone, Copy)]
struct Kept {
    used: u64,
    bytes: u64,
}

impl DiskPrefixes {
    /// Opens `folder`, which is made if need be. `fingerprint` stands for all that the contents of
    /// a block depend on beside tokens, regime and salt: the weights, how keys and values are
    /// stored, how they are computed. Blocks of other fingerprints are not seen, but they count
    /// towards `bytes_max`.
    ///
    /// # Errors
    /// If the folder cannot be made, read or locked.
    pub fn open(folder: &Path, fingerprint: [u8; 32], bytes_max: u64) -> Result<Self, Error> {
        let fail = || Error::folder(folder);
        fs::create_dir_all(folder).map_err(fail())?;
        let lock = File::create(folder.join("lock")).map_err(fail())?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: folder.to_owned() }),
            // Some network file systems have no locks; a single process is the rule there anyway.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut disk = Self {
            folder: folder.to_owned(),
            fingerprint,
            bytes_max,
            files: HashMap::new(),
            by_use: BTreeMap::new(),
            bytes: 0,
            uses: 0,
            buffer: Vec::new(),
            writer: Writer::start(fingerprint).map_err(fail())?,
            _lock: lock,
        };
        for (_, name, bytes) in files_of(folder).map_err(fail())? {
            disk.insert(name, bytes);
        }
        disk.make_room(0);
        Ok(disk)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks, of all fingerprints.
    pub fn blocks(&self) -> usize {
        self.files.len()
    }

    fn path(&self, name: &BlockName) -> PathBuf {
        let digits = name.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let stem: String = digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
        self.folder.join(stem).with_extension(ENDING)
    }

    fn insert(&mut self, name: BlockName, bytes: u64) {
        self.forget(&name);
        self.uses += 1;
        self.files.insert(name, Kept { used: self.uses, bytes });
        self.by_use.insert(self.uses, name);
        self.bytes += bytes;
    }

    fn forget(&mut self, name: &BlockName) {
        if let Some(kept) = self.files.remove(name) {
            self.by_use.remove(&kept.used);
            self.bytes -= kept.bytes;
        }
    }

    /// Removes files until `more` bytes fit.
    fn make_room(&mut self, more: u64) {
        while self.bytes.saturating_add(more) > self.bytes_max {
            let Some((_, name)) = self.by_use.pop_first() else { return };
            self.forget(&name);
            self.writer.remove(self.path(&name));
        }
    }

    /// Reads the file into the buffer and checks it; what is wrong with it otherwise, if anything.
    fn read(&mut self, name: &BlockName, tokens: &[TokenId]) -> Result<&[u8], Option<String>> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            // Removed by hand, or not written yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(None),
            Err(error) => return Err(Some(error.to_string())),
        };
        self.buffer.clear();
        // No more than what it had when it was counted: it may be anything by now.
        let bytes = self.files.get(name).map_or(0, |kept| kept.bytes);
        let read = file.take(bytes.saturating_add(1)).read_to_end(&mut self.buffer);
        read.map_err(|error| Some(error.to_string()))?;
        let label = Label { fingerprint: &self.fingerprint, name, tokens };
        contents(&label, &self.buffer).map_err(|problem| Some(problem.to_owned()))
    }
}

impl PrefixStore for DiskPrefixes {
    fn name(&self, before: Before<'_>, tokens: &[TokenId]) -> BlockName {
        let mut hash = Sha256::new().chain_update(b"prefix 1").chain_update(self.fingerprint);
        match before {
            Before::Nothing { regime, salt } => {
                let regime = u8::from(regime == Regime::Long);
                hash.update([0, regime, u8::from(salt.is_some())]);
                hash.update(salt.unwrap_or(&[0; 32]));
            }
            Before::Block(name) => {
                hash.update([1]);
                hash.update(name);
            }
        }
        for token in tokens {
            hash.update(token.to_le_bytes());
        }
        hash.finalize().into()
    }

    fn contains(&self, name: &BlockName) -> bool {
        self.files.contains_key(name)
    }

    fn load(&mut self, name: &BlockName, tokens: &[TokenId], bytes: &mut Vec<u8>) -> bool {
        match self.read(name, tokens) {
            Ok(contents) => {
                bytes.extend_from_slice(contents);
                true
            }
            Err(problem) => {
                if let Some(problem) = problem {
                    let path = self.path(name);
                    tracing::warn!(path = %path.display(), "removing a cached prefix: {problem}");
                    self.writer.remove(path);
                }
                self.forget(name);
                false
            }
        }
    }

    fn save(&mut self, name: &BlockName, tokens: &[TokenId], bytes: Vec<u8>) -> bool {
        let size = file_bytes(tokens.len(), bytes.len());
        if size > self.bytes_max {
            return false;
        }
        self.make_room(size);
        let written = self.writer.write(self.path(name), *name, tokens, bytes);
        if written {
            self.insert(*name, size);
        }
        written
    }

    fn touch(&mut self, name: &BlockName) {
        if let Some(kept) = self.files.get(name) {
            let bytes = kept.bytes;
            self.insert(*name, bytes);
            self.writer.touch(self.path(name));
        }
    }
}

/// Files of blocks with their sizes, least recently used first. Parts that a stopped process left
/// are removed; other files are none of ours.
fn files_of(folder: &Path) -> std::io::Result<Vec<(SystemTime, BlockName, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let Some(name) = path.file_stem().and_then(|stem| name_of(stem.to_str()?)) else {
            continue;
        };
        if ending == Some("part") {
            // If it cannot be removed it is written over one day.
            let _ = fs::remove_file(&path);
        } else if ending == Some(ENDING)
            && let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push((used, name, metadata.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn name_of(stem: &str) -> Option<BlockName> {
    let mut name = [0; 32];
    if stem.len() != 2 * name.len() || !stem.is_ascii() {
        return None;
    }
    for (at, byte) in name.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&stem[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(name)
}
