//! Models on this machine.
//!
//! ```text
//! ROOT/models/NAME/manifest.json     what it is, with every file's length and digest
//! ROOT/models/NAME/...               its files
//! ROOT/models/.draft/NAME/...        being made; stays after an interruption, to go on from
//! ROOT/models/.lock/NAME             held by whoever makes or removes NAME
//! ROOT/models/.trash/...             being deleted
//! ROOT/packed/...                    what others keep of models, and can make again
//! ```
//!
//! `NAME` has `--` for `/`. A model is made in its draft folder and appears by one rename, so a
//! folder with a manifest is complete.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::{Error, ErrorKind, Result};
use crate::name::{ModelName, is_plain_path};
use crate::space;

const MANIFEST: &str = "manifest.json";

/// Bytes of a manifest at most; a real one is a few KiB.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// A file of a stored model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Path inside the model's folder, with `/`.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest, in lower-case hex.
    pub sha256: String,
}

/// What the store knows of a model: the content of its `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name it is found by.
    pub name: String,
    /// Where it came from, and what was done to it; for people.
    pub source: String,
    /// Its files, in the order they were published.
    pub files: Vec<StoredFile>,
    /// All files together.
    pub bytes: u64,
    /// Seconds since 1970 when it was published.
    pub created: u64,
}

/// A complete model of the store.
#[derive(Clone, Debug)]
pub struct Model {
    manifest: Manifest,
    folder: PathBuf,
}

impl Model {
    /// What the store knows of it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What to load: the first (or only) GGUF file, else the folder with its safetensors.
    pub fn path(&self) -> PathBuf {
        let gguf = self.manifest.files.iter().find(|file| file.name.ends_with(".gguf"));
        gguf.map_or_else(|| self.folder.clone(), |file| self.folder.join(&file.name))
    }

    fn check_lengths(&self) -> Result<()> {
        for file in &self.manifest.files {
            let path = self.folder.join(&file.name);
            let found = fs::metadata(&path).ok().map(|metadata| metadata.len());
            if found != Some(file.bytes) {
                let what = if found.is_some() { "has another length" } else { "is missing" };
                let message = format!(
                    "the stored model {name} is damaged: {} {what}; run: phial pull {name}",
                    path.display(),
                    name = self.manifest.name
                );
                return Err(Error::new(ErrorKind::Damaged, message));
            }
        }
        Ok(())
    }
}

/// The models of this machine.
#[derive(Clone, Debug)]
pub struct Store {
    models: PathBuf,
    packed: PathBuf,
}

impl Store {
    /// The user's store: below `PHIAL_HOME`, else `XDG_CACHE_HOME/phial`, else `~/.cache/phial`.
    pub fn open() -> Result<Self> {
        match root(|name| std::env::var_os(name)) {
            Some(root) => Ok(Self::at(&root)),
            None => Err(Error::new(
                ErrorKind::Io,
                "no place for models: set PHIAL_HOME to a folder (HOME is not set)",
            )),
        }
    }

    /// The store below `root`. Creates nothing yet.
    pub fn at(root: &Path) -> Self {
        Self { models: root.join("models"), packed: root.join("packed") }
    }

    /// The folder of all models.
    pub fn folder(&self) -> &Path {
        &self.models
    }

    /// The folder for packed weights; the store itself puts nothing there.
    pub fn packed_folder(&self) -> &Path {
        &self.packed
    }

    /// Every complete model, by name. A folder without a usable manifest is none of ours.
    pub fn list(&self) -> Result<Vec<Model>> {
        let entries = match fs::read_dir(&self.models) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &self.models, error)),
        };
        let mut models: Vec<_> =
            entries.flatten().filter_map(|entry| read_model(entry.path()).ok().flatten()).collect();
        models.sort_by(|a, b| a.manifest.name.cmp(&b.manifest.name));
        Ok(models)
    }

    /// The model of that name; `None` when there is none. A model whose files are not what its
    /// manifest says is [`ErrorKind::Damaged`].
    pub fn find(&self, name: &ModelName) -> Result<Option<Model>> {
        match read_model(self.model_folder(name))? {
            Some(model) if model.manifest.name == name.as_str() => {
                model.check_lengths()?;
                Ok(Some(model))
            }
            _ => Ok(None),
        }
    }

    /// Deletes a model, and what an interrupted pull left of it. Says whether there was anything.
    pub fn remove(&self, name: &ModelName) -> Result<bool> {
        let folder = self.model_folder(name);
        let draft = self.draft_folder(name);
        let other = read_model(folder.clone()).ok().flatten();
        if other.is_some_and(|model| model.manifest.name != name.as_str()) {
            return Ok(false);
        }
        if !folder.is_dir() && !draft.is_dir() {
            return Ok(false);
        }
        let _lock = self.lock(name)?;
        self.discard(&draft, name)?;
        self.discard(&folder, name)?;
        Ok(true)
    }

    /// Begins (or goes on) to make the model of that name. Fails with [`ErrorKind::Busy`] while
    /// somebody else does.
    pub fn begin(&self, name: &ModelName) -> Result<Draft> {
        let lock = self.lock(name)?;
        let folder = self.draft_folder(name);
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        Ok(Draft { store: self.clone(), name: name.clone(), folder, _lock: lock })
    }

    /// Returns as soon as nobody makes or removes the model of that name.
    pub fn wait(&self, name: &ModelName) -> Result<()> {
        let (file, path) = self.lock_file(name)?;
        file.lock().map_err(|error| Error::io("lock", &path, error))
    }

    fn model_folder(&self, name: &ModelName) -> PathBuf {
        self.models.join(name.folder_name())
    }

    fn draft_folder(&self, name: &ModelName) -> PathBuf {
        self.models.join(".draft").join(name.folder_name())
    }

    /// The lock goes with the returned file, also when the process is killed.
    fn lock(&self, name: &ModelName) -> Result<File> {
        let (file, path) = self.lock_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another process is pulling or removing {name}; wait for it");
                Err(Error::new(ErrorKind::Busy, message))
            }
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path, error)),
        }
    }

    fn lock_file(&self, name: &ModelName) -> Result<(File, PathBuf)> {
        let folder = self.models.join(".lock");
        fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        let path = folder.join(name.folder_name());
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::io("write", &path, error))?;
        Ok((file, path))
    }

    /// Moves a folder out of sight first: half a model is never seen.
    fn discard(&self, folder: &Path, name: &ModelName) -> Result<()> {
        if fs::symlink_metadata(folder).is_err() {
            return Ok(());
        }
        let trash = self.models.join(".trash");
        fs::create_dir_all(&trash).map_err(|error| Error::io("create", &trash, error))?;
        let grave = trash.join(name.folder_name());
        if fs::symlink_metadata(&grave).is_ok() {
            fs::remove_dir_all(&grave).map_err(|error| Error::io("delete", &grave, error))?;
        }
        fs::rename(folder, &grave).map_err(|error| Error::io("delete", folder, error))?;
        fs::remove_dir_all(&grave).map_err(|error| Error::io("delete", &grave, error))
    }
}

/// A model in the making. Dropped unpublished, it keeps its files for the next attempt and gives
/// its lock back.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    name: ModelName,
    folder: PathBuf,
    _lock: File,
}

impl Draft {
    /// Where to put files. May hold what an interrupted attempt left.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fails when the disk has no room for `bytes` more.
    pub fn require_space(&self, bytes: u64) -> Result<()> {
        space::require(&self.folder, bytes)
    }

    /// Makes the draft the model of its name, in place of an earlier one. It consists of `files`
    /// (paths inside the draft's folder); whatever else is in the draft's folder is deleted.
    pub fn publish(self, source: &str, files: &[&str]) -> Result<Model> {
        let taken = read_model(self.store.model_folder(&self.name)).ok().flatten();
        if let Some(other) = taken.filter(|other| other.manifest.name != self.name.as_str()) {
            let other = other.manifest.name;
            let message = format!("{} and {other} would share a folder; remove one", self.name);
            return Err(Error::new(ErrorKind::Name, message));
        }
        let manifest = self.describe(source, files)?;
        let keep: BTreeSet<PathBuf> = files.iter().map(|name| self.folder.join(name)).collect();
        prune(&self.folder, &keep)?;
        let path = self.folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).expect("strings and numbers only");
        fs::write(&path, text).map_err(|error| Error::io("write", &path, error))?;
        sync(&path)?;
        let folder = self.store.model_folder(&self.name);
        self.store.discard(&folder, &self.name)?;
        fs::rename(&self.folder, &folder).map_err(|error| Error::io("write", &folder, error))?;
        Ok(Model { manifest, folder })
    }

    fn describe(&self, source: &str, files: &[&str]) -> Result<Manifest> {
        let mut stored = Vec::new();
        for name in files {
            if !is_plain_path(name) || *name == MANIFEST {
                let message = format!("'{name}' cannot be a file of a stored model");
                return Err(Error::new(ErrorKind::Name, message));
            }
            let path = self.folder.join(name);
            let digest = sync(&path).and_then(|()| {
                digest::of_file(&path).map_err(|error| Error::io("read", &path, error))
            });
            let (sha256, bytes) = digest?;
            stored.push(StoredFile { name: (*name).to_owned(), bytes, sha256 });
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Ok(Manifest {
            name: self.name.to_string(),
            source: source.to_owned(),
            bytes: stored.iter().map(|file| file.bytes).sum(),
            files: stored,
            created: now.map_or(0, |elapsed| elapsed.as_secs()),
        })
    }
}

fn sync(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| Error::io("read", path, error))
}

/// Deletes every file below `folder` that is not in `keep`, and folders that become empty.
fn prune(folder: &Path, keep: &BTreeSet<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_folder {
            prune(&path, keep)?;
            // Fails where something was kept, as it should.
            let _ = fs::remove_dir(&path);
        } else if !keep.contains(&path) {
            fs::remove_file(&path).map_err(|error| Error::io("delete", &path, error))?;
        }
    }
    Ok(())
}

/// The model in `folder`; `None` without a manifest, an error with one that is not ours.
fn read_model(folder: PathBuf) -> Result<Option<Model>> {
    let path = folder.join(MANIFEST);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() <= MANIFEST_BYTES_MAX => {}
        Ok(_) => return Err(damaged(&path, "too long")),
        Err(_) => return Ok(None),
    }
    let text = fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))?;
    if !manifest.files.iter().all(|file| is_plain_path(&file.name)) {
        return Err(damaged(&path, "a file's name leaves the folder"));
    }
    Ok(Some(Model { manifest, folder }))
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("the manifest {} is damaged: {what}", path.display()))
}

fn root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("PHIAL_HOME")
        .or_else(|| {
            set("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|p| p.join("phial"))
        })
        .or_else(|| set("HOME").map(|path| path.join(".cache").join("phial")))
}

#[cfg(test)]
mod tests;
