//! Stored files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use phial_openai::{FileObject, FileObjectName, FilePurpose, FileStatus};

use super::{StorageLimits, read_all, replace, within};

/// The files of a folder.
#[derive(Debug)]
pub(crate) struct FileStore {
    folder: PathBuf,
    /// By time of creation and id, the order of lists.
    known: Mutex<BTreeMap<(u64, String), FileObject>>,
}

/// A file that is on its way in. Dropped before it is kept, it is gone.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    kept: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.kept {
            // There is nobody to tell, and the next start does not know it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl FileStore {
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let mut known = BTreeMap::new();
        for value in read_all(&folder)? {
            let file: FileObject = serde_json::from_value(value)
                .map_err(|error| within(&folder, &io::Error::from(error)))?;
            known.insert((file.created_at, file.id.clone()), file);
        }
        Ok(Self { folder, known: Mutex::new(known) })
    }

    /// A new file `id` to write to.
    pub fn create(&self, id: &str) -> io::Result<(Upload, File)> {
        let path = self.folder.join(id);
        let file = File::create_new(&path)?;
        Ok((Upload { path, kept: false }, file))
    }

    /// Keeps what was written, and gives it a name.
    pub fn keep(
        &self,
        mut upload: Upload,
        (id, created_at, expires_at): (String, u64, Option<u64>),
        filename: String,
        purpose: FilePurpose,
    ) -> io::Result<FileObject> {
        let file = FileObject {
            id,
            object: FileObjectName::File,
            bytes: fs::metadata(&upload.path)?.len(),
            created_at,
            expires_at,
            filename,
            purpose,
            status: FileStatus::Processed,
        };
        let text = serde_json::to_vec(&file).map_err(io::Error::from)?;
        replace(&upload.path.with_extension("json"), &text)?;
        upload.kept = true;
        self.lock().insert((created_at, file.id.clone()), file.clone());
        Ok(file)
    }

    /// All files, oldest first. Those whose time is over at `now` are removed.
    pub fn list(&self, now: u64) -> Vec<FileObject> {
        let mut known = self.lock();
        let is_over = |file: &FileObject| file.expires_at.is_some_and(|end| end <= now);
        let over: Vec<FileObject> = known.values().filter(|file| is_over(file)).cloned().collect();
        for file in over {
            known.remove(&(file.created_at, file.id.clone()));
            self.remove_from_disk(&file.id);
        }
        known.values().cloned().collect()
    }

    /// The file of this id.
    pub fn get(&self, id: &str, now: u64) -> Option<FileObject> {
        self.list(now).into_iter().find(|file| file.id == id)
    }

    /// Where the content of a file that is there lies.
    pub fn path(&self, file: &FileObject) -> PathBuf {
        self.folder.join(&file.id)
    }

    /// Whether there was a file of this id, which is gone now.
    pub fn delete(&self, id: &str) -> bool {
        let mut known = self.lock();
        let Some(key) = known.keys().find(|(_, known)| known == id).cloned() else { return false };
        known.remove(&key);
        self.remove_from_disk(id);
        true
    }

    /// Whether a file of `bytes` more has room.
    pub fn has_room(&self, bytes: u64, limits: &StorageLimits) -> bool {
        let known = self.lock();
        let total: u64 = known.values().map(|file| file.bytes).sum();
        known.len() < limits.files_max && total.saturating_add(bytes) <= limits.total_bytes_max
    }

    /// First what is known, so that nothing is known of a file without content.
    fn remove_from_disk(&self, id: &str) {
        let content = self.folder.join(id);
        for path in [content.with_extension("json"), content] {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, id, "a stored file cannot be removed");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(u64, String), FileObject>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
