//! The one error of this crate: a kind to decide by, a line to show.

use std::fmt;
use std::io;
use std::path::Path;

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for code that must decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A name that is malformed or that nothing is known by.
    Name,
    /// The network is needed but forbidden (`--offline`, `HF_HUB_OFFLINE`).
    Offline,
    /// The hub or the package index could not be reached, or kept failing.
    Network,
    /// The hub says that there is no such repository, revision or file.
    NotFound,
    /// The hub wants a token, or a token with more rights.
    Denied,
    /// Bytes differ from what was promised.
    Checksum,
    /// An answer or an archive that breaks its format or a limit.
    Malformed,
    /// Another process works on the same model.
    Busy,
    /// The disk is too small.
    Space,
    /// A stored model lost files.
    Damaged,
    /// Python or pip is missing or failed.
    Pip,
    /// The file system refused.
    Io,
}

/// An error with one clear line. Its [`kind`](Error::kind) is for code, its text for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    /// What went wrong, for code that must decide.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Texts of servers and tools end up in messages: control characters are taken out, so that
    /// a message stays one line and cannot drive a terminal.
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        let message = message.replace(|character: char| character.is_control(), " ");
        Self { kind, message, source: None }
    }

    /// A failed operation on `path`: "cannot `action` `path`: cause".
    pub(crate) fn io(action: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Space,
            _ => ErrorKind::Io,
        };
        let mut error = Self::new(kind, format!("cannot {action} {}: {source}", path.display()));
        error.source = Some(source);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_harmless_line() {
        let error = Error::new(ErrorKind::Network, "server said:\n\u{1b}[31mred");
        assert_eq!(error.to_string(), "server said:  [31mred");
    }
}
