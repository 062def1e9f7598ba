use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::Error;

/// A file that is written beside its place, as `NAME.part`, and renamed when it is whole: whoever
/// looks at the place sees the old file or the new one. Locked, so that two writers cannot mix.
pub(crate) struct Aside {
    place: PathBuf,
    part: PathBuf,
    file: File,
    keep_part: bool,
    finished: bool,
}

impl Aside {
    /// A new part, in the stead of one that a stopped process left behind.
    pub(crate) fn create(place: &Path) -> Result<Self, Error> {
        let part = part_of(place)?;
        if part.exists() {
            remove_stale(&part)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&part);
        if file.as_ref().is_err_and(|cause| cause.kind() == ErrorKind::AlreadyExists) {
            return Err(Error::busy(&part));
        }
        let mut aside = Self::with(place, part, file)?;
        // Between its making and its lock another writer may have taken it for a stale one.
        if !is_named(&aside.file, &aside.part) {
            aside.keep_part(true);
            return Err(Error::busy(&aside.part));
        }
        Ok(aside)
    }

    /// The part that a stopped process left behind and told to keep.
    pub(crate) fn reopen(place: &Path) -> Result<Self, Error> {
        let part = part_of(place)?;
        let file = OpenOptions::new().read(true).write(true).open(&part);
        Self::with(place, part, file)
    }

    fn with(place: &Path, part: PathBuf, file: io::Result<File>) -> Result<Self, Error> {
        let file = file.map_err(Error::io("create", &part))?;
        lock(&file, &part)?;
        Ok(Self { place: place.to_owned(), part, file, keep_part: false, finished: false })
    }

    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) fn keep_part(&mut self, keep: bool) {
        self.keep_part = keep;
    }

    /// Waits until the bytes are on disk, then gives the file its name.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::io("write", &self.part))?;
        self.finish_unsynced()
    }

    /// Gives the file its name at once, for content that can be made again and whose loss in a
    /// crash its reader notices.
    pub(crate) fn finish_unsynced(mut self) -> Result<(), Error> {
        fs::rename(&self.part, &self.place).map_err(Error::io("rename", &self.part))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.finished && !self.keep_part {
            // Nothing can be done about a failure here; the next writer replaces the part.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Removes the part of a stopped process; an error while somebody writes it.
pub(crate) fn remove_stale(part: &Path) -> Result<(), Error> {
    let stale = match File::open(part) {
        Ok(stale) => stale,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(Error::io("replace", part)(cause)),
    };
    lock(&stale, part)?;
    // Its owner may have renamed it to its place just now, and another have begun a new one. As
    // long as it has its name and our lock, nobody else touches it.
    if !is_named(&stale, part) {
        return Ok(());
    }
    fs::remove_file(part).map_err(Error::io("replace", part))
}

/// Whether `path` leads to this very file.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let number = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let named = fs::metadata(path).ok().map(number);
    named.is_some() && named == file.metadata().ok().map(number)
}

/// An open file cannot be taken away.
#[cfg(not(unix))]
fn is_named(_file: &File, _path: &Path) -> bool {
    true
}

fn part_of(place: &Path) -> Result<PathBuf, Error> {
    let Some(name) = place.file_name() else {
        return Err(Error::plan(place, "this is not a file name"));
    };
    let mut part = OsString::from(name);
    part.push(".part");
    Ok(place.with_file_name(part))
}

fn lock(file: &File, part: &Path) -> Result<(), Error> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::busy(part)),
        // Some network file systems have no locks; a single writer is the rule there anyway.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}
