use std::path::Path;

use crate::Error;

/// Left free for everybody else.
const HEADROOM_BYTES: u64 = 64 << 20;

/// Fails when the file system of `folder` has no room for `bytes` more: better said before a file
/// is begun than found out at a full disk. Passes where the file system does not tell.
pub(crate) fn require(folder: &Path, bytes: u64) -> Result<(), Error> {
    let needed = bytes.saturating_add(HEADROOM_BYTES);
    match available(folder) {
        Some(free) if free < needed => Err(Error::Room { folder: folder.to_owned(), needed, free }),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn available(folder: &Path) -> Option<u64> {
    let status = rustix::fs::statvfs(folder).ok()?;
    status.f_bavail.checked_mul(status.f_frsize)
}

#[cfg(not(unix))]
fn available(_folder: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        require(folder.path(), 1).unwrap();
        let error = require(folder.path(), 1 << 60).unwrap_err().to_string();
        assert!(error.contains("not enough room in") && error.contains("needed"), "{error}");
        // Nothing is known of a folder that is not there.
        require(&folder.path().join("none"), 1 << 60).unwrap();
    }
}
