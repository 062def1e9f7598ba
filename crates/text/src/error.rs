//! The one error of this crate.

/// What went wrong, for callers that must react differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The tokenizer description contradicts itself or is not of the expected form.
    InvalidTokenizer,
    /// The description is understood, but asks for something this crate does not do.
    Unsupported,
    /// A named limit of this crate was exceeded.
    TooLarge,
    /// The chat template does not compile.
    InvalidTemplate,
    /// The chat template refused the conversation, or ran over its budget.
    Render,
}

/// An error of the tokenizer or of a chat template.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidTokenizer, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::TooLarge, message)
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
