//! Names that become paths and addresses. Parsed once, so that what holds one of these types can
//! be joined to a folder or an address as it is.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Bytes of a name at most: its folder must fit into what file systems allow (255).
const NAME_BYTES_MAX: usize = 200;

/// Whether `segment` may be a file or folder name, here and in an address: not empty, not hidden
/// (so neither `.` nor `..`), of characters that mean nothing to a shell, an address or a path.
fn is_plain(segment: &str) -> bool {
    !segment.is_empty()
        && !segment.starts_with(['.', '-'])
        && !segment.ends_with('.')
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// The name of a stored model: segments of letters, digits, `.`, `_`, `-`, `+`, parted by `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// Checks a name given by a user or a file.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > NAME_BYTES_MAX || !text.split('/').all(is_plain) {
            let shown: String = text.chars().take(60).collect();
            return Err(Error::new(
                ErrorKind::Name,
                format!("'{shown}' cannot be a model's name: letters, digits, . _ - + and / only"),
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as the user writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One path component. Not one-to-one (`a/b` and `a--b` meet): a manifest tells its name.
    pub(crate) fn folder_name(&self) -> String {
        self.0.replace('/', "--")
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A repository of the hub, `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepositoryId(String);

impl RepositoryId {
    /// Checks `owner/name`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut segments = text.split('/');
        match (segments.next(), segments.next(), segments.next()) {
            (Some(owner), Some(name), None)
                if text.len() <= NAME_BYTES_MAX && is_plain(owner) && is_plain(name) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => {
                let shown: String = text.chars().take(60).collect();
                Err(Error::new(
                    ErrorKind::Name,
                    format!("'{shown}' is no hub repository: expected owner/name"),
                ))
            }
        }
    }

    /// `owner/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether `path`, as a repository or an archive names it, stays inside the folder it is joined
/// to and can be put into an address without quoting.
pub(crate) fn is_plain_path(path: &str) -> bool {
    path.len() <= 1024 && path.split('/').all(|segment| segment.len() <= 200 && is_plain(segment))
}

/// Whether `text` can name a revision: a branch, a tag or a commit, without slashes.
pub(crate) fn is_revision(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && is_plain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_store_are_refused() {
        for text in [
            "", ".", "..", "../x", "a/../b", "/etc", "a//b", "a/", "a\\b", "C:x", "a b", "a\0b",
            ".hidden", "-flag", "a\nb", "é", "x.", "%2e%2e",
        ] {
            assert!(ModelName::parse(text).is_err(), "{text:?}");
            assert!(!is_plain_path(text), "{text:?}");
        }
        assert!(ModelName::parse(&"a".repeat(201)).is_err());
        for text in ["phi-4-mini", "owner/name", "owner/name/Q4_K_M.gguf", "a+b_c.1"] {
            assert_eq!(ModelName::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(ModelName::parse("a/b").unwrap().folder_name(), "a--b");
    }

    #[test]
    fn a_repository_has_two_parts() {
        assert!(RepositoryId::parse("owner/name").is_ok());
        for text in ["owner", "a/b/c", "../b", "a/..", "/b", "a/"] {
            assert!(RepositoryId::parse(text).is_err(), "{text:?}");
        }
    }
}
