//! Files that are for their owner's eyes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes `file`, which nobody but its owner reads; it must not be there yet.
pub(crate) fn create_private(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}
