//! Why a folder cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a folder of prefixes cannot be used. The display is one line for the operator.
#[derive(Debug, Error)]
pub enum Error {
    /// The system refuses.
    #[error("cannot use {path} for cached prefixes: {cause}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another process; give each its own folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn folder(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |cause| Self::Folder { path: path.to_owned(), cause }
    }
}
