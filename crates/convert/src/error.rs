use std::path::PathBuf;

/// Why a file could not be made. One line: what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing weights.
    #[error(transparent)]
    Format(#[from] phial_formats::Error),
    /// The configuration.
    #[error(transparent)]
    Model(#[from] phial_model::Error),
    /// The tokenizer.
    #[error("{origin}: {source}")]
    Tokenizer {
        /// The file.
        origin: String,
        /// What is wrong.
        source: phial_text::Error,
    },
    /// A file beside the weights.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else: one line.
    #[error("{0}")]
    Other(String),
}
