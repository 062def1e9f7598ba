use std::path::PathBuf;

/// Why a model could not be loaded. One line: what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The weights could not be read.
    #[error(transparent)]
    Format(#[from] phial_formats::Error),
    /// A file beside the weights could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration that this decoder does not know or that makes no sense.
    #[error("{origin}: {problem}")]
    Config {
        /// The file.
        origin: String,
        /// What is wrong and what is supported.
        problem: String,
    },
    /// A tensor that is missing or has another shape than the configuration says.
    #[error("{origin}: tensor {name:?} {problem}")]
    Tensor {
        /// The file.
        origin: String,
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    pub(crate) fn config(origin: &str, problem: impl Into<String>) -> Self {
        Error::Config { origin: origin.to_owned(), problem: problem.into() }
    }
}
