//! Room on the disk, asked before a download rather than found out at its end.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// Left free for everybody else.
const HEADROOM_BYTES: u64 = 64 << 20;

/// Fails when the file system of `folder` has no room for `bytes` more. Passes where the file
/// system does not tell.
pub(crate) fn require(folder: &Path, bytes: u64) -> Result<()> {
    match available(folder) {
        Some(free) if free < bytes.saturating_add(HEADROOM_BYTES) => Err(Error::new(
            ErrorKind::Space,
            format!(
                "not enough room in {}: {} needed, {} free; make room or set PHIAL_HOME to \
                 a folder on another disk",
                folder.display(),
                readable(bytes.saturating_add(HEADROOM_BYTES)),
                readable(free)
            ),
        )),
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

fn readable(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_disk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        require(folder.path(), 1).unwrap();
        let error = require(folder.path(), 1 << 60).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Space);
        assert!(error.to_string().contains("1048576.0 TiB needed"), "{error}");
    }
}
