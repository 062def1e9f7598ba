use std::io;
use std::path::{Path, PathBuf};

/// What went wrong with a file; the text is one line that says where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },

    /// The bytes break the rules of their format: cut short, damaged or hostile.
    #[error("{}: {place}: {problem}; the file is damaged or incomplete, download or convert it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// A byte offset, a tensor or a key.
        place: String,
        /// The broken rule.
        problem: String,
    },

    /// A sound file that uses something this crate does not read.
    #[error("{}: {place}: {problem}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// A tensor or a key.
        place: String,
        /// What is not supported, and what to use instead.
        problem: String,
    },

    /// A path where there is no model to open.
    #[error("{}: {problem}", path.display())]
    NotAModel {
        /// The file or folder.
        path: PathBuf,
        /// What is there, and what to do.
        problem: String,
    },

    /// A metadata key is missing or holds something else than it should.
    #[error("{}: metadata key `{key}` {problem}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },

    /// Another process is writing the same file.
    #[error("cannot write {}: another process is writing it, wait for that one", path.display())]
    Busy {
        /// The file that is being made.
        path: PathBuf,
    },

    /// The disk has no room for a file.
    #[error(
        "not enough room in {}: {} needed, {} free",
        folder.display(), megabytes(*needed), megabytes(*free)
    )]
    Room {
        /// The folder of the file.
        folder: PathBuf,
        /// Bytes that it takes, with some to spare.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },

    /// What was asked to be written cannot be written.
    #[error("cannot write {}: {problem}", path.display())]
    Plan {
        /// The file that was to be made.
        path: PathBuf,
        /// Why it cannot be made.
        problem: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |cause| Error::Io { action, path: path.to_owned(), cause }
    }

    pub(crate) fn damaged(
        path: &Path,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) -> Error {
        Error::Damaged { path: path.to_owned(), place: place.into(), problem: problem.into() }
    }

    pub(crate) fn unsupported(
        path: &Path,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) -> Error {
        Error::Unsupported { path: path.to_owned(), place: place.into(), problem: problem.into() }
    }

    pub(crate) fn not_a_model(path: &Path, problem: impl Into<String>) -> Error {
        Error::NotAModel { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn busy(path: &Path) -> Error {
        Error::Busy { path: path.to_owned() }
    }

    pub(crate) fn plan(path: &Path, problem: impl Into<String>) -> Error {
        Error::Plan { path: path.to_owned(), problem: problem.into() }
    }
}

/// Bytes as people read them.
fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}
