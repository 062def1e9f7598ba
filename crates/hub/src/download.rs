//! One file onto the disk, over as many connections as it takes.
//!
//! Bytes collect in a `.part` file whose name holds the content they belong to, so that another
//! revision's bytes are never taken for a beginning of these.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::digest::{self, BUFFER_BYTES, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{Client, Failure, Patience, Wanted};
use crate::limits::Limits;
use crate::listing::RemoteFile;
use crate::progress::Progress;
use crate::space;

/// A file that has arrived, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its digest, in lower-case hex.
    pub sha256: String,
}

/// Path of a file below the hub's endpoint.
pub(crate) fn address(file: &RemoteFile) -> String {
    format!("{}/resolve/{}/{}", file.repository(), file.commit(), file.path())
}

/// `file` below `into`, if it is there and right. A file that is there and wrong is removed.
pub(crate) fn present(file: &RemoteFile, into: &Path) -> Result<Option<Fetched>> {
    let path = into.join(file.path());
    let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(None) };
    let is_candidate = metadata.is_file() && file.bytes() == Some(metadata.len());
    if is_candidate {
        let (sha256, bytes) =
            digest::of_file(&path).map_err(|error| Error::io("read", &path, error))?;
        if file.sha256().is_none_or(|expected| expected == sha256) {
            return Ok(Some(Fetched { path, bytes, sha256 }));
        }
    }
    fs::remove_file(&path).map_err(|error| Error::io("replace", &path, error))?;
    Ok(None)
}

/// Fetches `file` to its path below `into`.
pub(crate) fn fetch(
    client: &Client,
    limits: &Limits,
    file: &RemoteFile,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    let path = into.join(file.path());
    let mut part = Part::open(file, &path, limits.file_bytes_max)?;
    if let Some(all) = part.bytes_total {
        space::require(into, all.saturating_sub(part.bytes))?;
    }
    let mut patience = Patience::new(limits);
    let mut bytes_at_renewal = part.bytes;
    loop {
        match part.attempt(client, file, progress) {
            Ok(()) => break,
            Err(failure) => {
                if part.bytes >= bytes_at_renewal.saturating_add(limits.progress_bytes) {
                    bytes_at_renewal = part.bytes;
                    patience.renew();
                }
                patience.after(failure)?;
            }
        }
    }
    part.finish(file, path)
}

/// The bytes that are here so far.
struct Part {
    path: PathBuf,
    handle: File,
    hasher: Hasher,
    bytes: u64,
    bytes_max: u64,
    /// From the listing, else from the first answer.
    bytes_total: Option<u64>,
}

impl Part {
    fn open(file: &RemoteFile, path: &Path, bytes_max: u64) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
        }
        let content = file.sha256().unwrap_or(file.commit());
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.part", &content[..12]));
        let path = PathBuf::from(name);
        let mut options = OpenOptions::new();
        let mut handle = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Error::io("write", &path, error))?;
        let mut hasher = Hasher::default();
        let bytes =
            hasher.update_from(&mut handle).map_err(|error| Error::io("read", &path, error))?;
        Ok(Self { path, handle, hasher, bytes, bytes_max, bytes_total: file.bytes() })
    }

    /// Asks for the missing bytes once.
    fn attempt(
        &mut self,
        client: &Client,
        file: &RemoteFile,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<(), Failure> {
        if self.bytes_total.is_some_and(|all| self.bytes > all) {
            self.restart()?;
        }
        progress(self.progress(file));
        // A whole part file (or an empty remote file) needs no request: only its digest.
        if self.bytes_total == Some(self.bytes) {
            return Ok(());
        }
        let wanted = if self.bytes == 0 { Wanted::All } else { Wanted::From(self.bytes) };
        let what = format!("{} of {}", file.path(), file.repository());
        let mut response = client.get(&address(file), wanted, &what)?;
        self.agree(&response, &what)?;
        self.take_body(&mut response, file, &what, progress)
    }

    /// Brings our position and the answer's together, or fails.
    fn agree(&mut self, response: &Response<Body>, what: &str) -> std::result::Result<(), Failure> {
        let confused = |text: &str| {
            let message = format!("{what}: {text}");
            Failure::transient(Error::new(ErrorKind::Malformed, message))
        };
        match response.status() {
            // Also the answer of a server that ignores ranges: it starts anew, so do we.
            StatusCode::OK => self.restart()?,
            StatusCode::PARTIAL_CONTENT => {
                if content_range_start(response) != Some(self.bytes) {
                    self.restart()?;
                    return Err(confused("the answer is not the range asked for"));
                }
            }
            _ => {
                self.restart()?;
                return Err(confused("the server refuses the range"));
            }
        }
        let Some(rest) = response.body().content_length() else { return Ok(()) };
        let all = self.bytes.saturating_add(rest);
        match self.bytes_total {
            Some(expected) if expected != all => {
                let message = format!("{what} has {all} bytes, but {expected} were announced");
                self.discard();
                Err(Error::new(ErrorKind::Checksum, message).into())
            }
            _ => {
                self.bytes_total = Some(all);
                Ok(())
            }
        }
    }

    fn take_body(
        &mut self,
        response: &mut Response<Body>,
        file: &RemoteFile,
        what: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<(), Failure> {
        let cut = |text: &dyn std::fmt::Display| {
            let message = format!("{what}: the connection failed: {text}");
            Failure::transient(Error::new(ErrorKind::Network, message))
        };
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        let bytes_max = self.bytes_total.unwrap_or(self.bytes_max).min(self.bytes_max);
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cut(&error)),
            };
            if self.bytes + count as u64 > bytes_max {
                self.discard();
                let message = format!("{what} is longer than the {bytes_max} bytes expected");
                return Err(Error::new(ErrorKind::Malformed, message).into());
            }
            self.append(&buffer[..count])?;
            progress(self.progress(file));
        }
        match self.bytes_total {
            Some(all) if self.bytes < all => Err(cut(&"it ended early")),
            _ => Ok(()),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.handle.write_all(bytes) {
            // What was written of this buffer is unknown: leave a length that the digest matches.
            let _ = self.handle.set_len(self.bytes);
            return Err(Error::io("write", &self.path, error));
        }
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        let emptied = self.handle.set_len(0).and_then(|()| self.handle.rewind());
        emptied.map_err(|error| Error::io("write", &self.path, error))?;
        self.hasher = Hasher::default();
        self.bytes = 0;
        Ok(())
    }

    fn discard(&self) {
        // Best effort: a part that stays is found wrong again by the next call.
        let _ = fs::remove_file(&self.path);
    }

    fn progress<'f>(&self, file: &'f RemoteFile) -> Progress<'f> {
        Progress { file: file.path(), bytes_done: self.bytes, bytes_total: self.bytes_total }
    }

    fn finish(self, file: &RemoteFile, path: PathBuf) -> Result<Fetched> {
        let sha256 = self.hasher.clone().finish();
        if let Some(expected) = file.sha256()
            && expected != sha256
        {
            self.discard();
            let message = format!(
                "{} of {}: wrong checksum ({sha256}, not {expected}); it was removed, run the same \
                 command again",
                file.path(),
                file.repository()
            );
            return Err(Error::new(ErrorKind::Checksum, message));
        }
        let stored = self.handle.sync_all().and_then(|()| fs::rename(&self.path, &path));
        stored.map_err(|error| Error::io("write", &path, error))?;
        Ok(Fetched { path, bytes: self.bytes, sha256 })
    }
}

/// The first position of `Content-Range: bytes 10-19/20`.
fn content_range_start(response: &Response<Body>) -> Option<u64> {
    let text = response.headers().get("content-range")?.to_str().ok()?;
    let (start, _) = text.trim().strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}
