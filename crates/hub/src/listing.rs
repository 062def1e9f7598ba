//! A repository's files at one commit, and which of them make a model.

use serde::Deserialize;

use crate::digest;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::name::{RepositoryId, is_plain_path};

/// A file of a repository at one commit. Its path was checked: it stays inside any folder it is
/// joined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    repository: RepositoryId,
    commit: String,
    path: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl RemoteFile {
    /// The repository it belongs to.
    pub fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    /// The commit it was listed at, and is fetched at.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Path inside the repository, with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Length, when the hub tells.
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// Lower-case hex digest. The hub tells it for large files only.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }
}

/// Every file of a repository at one commit.
#[derive(Clone, Debug)]
pub struct Snapshot {
    repository: RepositoryId,
    commit: String,
    files: Vec<RemoteFile>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Snapshot {
    /// Reads the hub's answer. Nothing in it is trusted: a commit that is no hash, a path that
    /// leaves its folder or an absurd size refuses the whole listing.
    pub(crate) fn parse(repository: &RepositoryId, body: &[u8], limits: &Limits) -> Result<Self> {
        let malformed = |what: String| {
            let message = format!("the hub's listing of {repository} is not usable: {what}");
            Error::new(ErrorKind::Malformed, message)
        };
        let answer: Answer =
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        let commit = answer.sha;
        if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(malformed("its commit is no hash".to_owned()));
        }
        if answer.siblings.len() > limits.files_max {
            let what =
                format!("{} files, over the limit of {}", answer.siblings.len(), limits.files_max);
            return Err(malformed(what));
        }
        let mut files = Vec::new();
        for sibling in answer.siblings {
            let path = sibling.rfilename;
            if leaves_its_folder(&path) {
                return Err(malformed(format!("a file is named '{path}'")));
            }
            // Hidden files and names that need quoting are never part of a model.
            if !is_plain_path(&path) {
                continue;
            }
            let large = sibling.lfs;
            let bytes = large.as_ref().and_then(|large| large.size).or(sibling.size);
            if bytes.is_some_and(|bytes| bytes > limits.file_bytes_max) {
                return Err(malformed(format!("{path} is over {} bytes", limits.file_bytes_max)));
            }
            let sha256 = large.and_then(|large| large.sha256);
            if sha256.as_deref().is_some_and(|sha256| !digest::is_sha256(sha256)) {
                return Err(malformed(format!("the digest of {path} is none")));
            }
            let (repository, commit) = (repository.clone(), commit.clone());
            files.push(RemoteFile { repository, commit, path, bytes, sha256 });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { repository: repository.clone(), commit, files })
    }

    /// The commit that the asked-for revision stood for.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Every file with a usable name, sorted by path.
    pub fn files(&self) -> &[RemoteFile] {
        &self.files
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Result<&RemoteFile> {
        self.files.iter().find(|file| file.path == path).ok_or_else(|| {
            let message = format!("the hub's {} has no file {path}", self.repository);
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// What a safetensors model consists of: weights, their index, configuration, tokenizer and
    /// templates of the top folder and of adapter folders. Other encodings of the same weights
    /// (`.bin`, `.onnx`, consolidated copies) are left out. Small files come first, so that a
    /// model of an unsupported kind is found out before its weights are here.
    pub fn model_files(&self) -> Result<Vec<&RemoteFile>> {
        let mut files: Vec<_> = self.files.iter().filter(|file| self.is_of_model(file)).collect();
        if !files.iter().any(|file| file.path.ends_with(".safetensors")) {
            let ggufs = self.files.iter().filter(|file| file.path.ends_with(".gguf"));
            let ggufs: Vec<_> = ggufs.map(|file| file.path.as_str()).take(20).collect();
            let hint = if ggufs.is_empty() {
                String::new()
            } else {
                format!(
                    "; ask for one of its GGUF files as {}/FILE: {}",
                    self.repository,
                    ggufs.join(", ")
                )
            };
            let message = format!("{} has no safetensors weights{hint}", self.repository);
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        files.sort_by_key(|file| file.path.ends_with(".safetensors"));
        Ok(files)
    }

    /// The file at `path`; if it is named like a part of a split file (`-00001-of-00003`), every
    /// part in order.
    pub fn file_parts(&self, path: &str) -> Result<Vec<&RemoteFile>> {
        let Some((stem, count, ending)) = split_name(path) else {
            return Ok(vec![self.file(path)?]);
        };
        (1..=count)
            .map(|part| self.file(&format!("{stem}-{part:05}-of-{count:05}{ending}")))
            .collect()
    }

    fn is_of_model(&self, file: &RemoteFile) -> bool {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        let is_adapter_folder = || {
            let marker = format!("{folder}/adapter_config.json");
            self.files.iter().any(|other| other.path == marker)
        };
        if !folder.is_empty() && !is_adapter_folder() {
            return false;
        }
        let is_weights = name.ends_with(".safetensors") && !name.starts_with("consolidated");
        is_weights
            || name.ends_with(".json")
            || name.ends_with(".jinja")
            || matches!(name, "merges.txt" | "tokenizer.model" | "LICENSE")
    }
}

/// Whether a path of a listing tries to be somewhere else, as opposed to merely being odd.
fn leaves_its_folder(path: &str) -> bool {
    path.is_empty()
        || path.contains(['\\', ':'])
        || path.chars().any(char::is_control)
        || path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

/// `("model", 3, ".gguf")` of `model-00001-of-00003.gguf`.
fn split_name(path: &str) -> Option<(&str, u32, &str)> {
    let (rest, ending) = path.rfind('.').map(|dot| path.split_at(dot))?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |text: &str| {
        let is_number = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse::<u32>().ok() } else { None }
    };
    let (part, count) = (number(part)?, number(count)?);
    (1..=count).contains(&part).then_some((stem, count, ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(paths: &[&str]) -> Result<Snapshot> {
        let siblings: Vec<_> =
            paths.iter().map(|path| serde_json::json!({ "rfilename": path })).collect();
        let body = serde_json::json!({ "sha": "0".repeat(40), "siblings": siblings });
        let repository = RepositoryId::parse("owner/name")?;
        Snapshot::parse(&repository, body.to_string().as_bytes(), &Limits::default())
    }

    fn paths<'a>(files: &[&'a RemoteFile]) -> Vec<&'a str> {
        files.iter().map(|file| file.path()).collect()
    }

    #[test]
    fn a_model_is_its_safetensors_and_small_files() {
        let snapshot = snapshot(&[
            ".gitattributes",
            "LICENSE",
            "README.md",
            "config.json",
            "consolidated.safetensors",
            "figure (1).png",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "onnx/config.json",
            "original/model.safetensors",
            "pytorch_model.bin",
            "speech-lora/adapter_config.json",
            "speech-lora/adapter_model.safetensors",
            "tokenizer.json",
        ]);
        let snapshot = snapshot.unwrap();
        assert_eq!(
            paths(&snapshot.model_files().unwrap()),
            [
                "LICENSE",
                "config.json",
                "model.safetensors.index.json",
                "speech-lora/adapter_config.json",
                "tokenizer.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "speech-lora/adapter_model.safetensors",
            ]
        );
    }

    #[test]
    fn a_split_file_comes_whole() {
        let snapshot =
            snapshot(&["q-00001-of-00002.gguf", "q-00002-of-00002.gguf", "r-00001-of-00002.gguf"]);
        let snapshot = snapshot.unwrap();
        let parts = snapshot.file_parts("q-00002-of-00002.gguf").unwrap();
        assert_eq!(paths(&parts), ["q-00001-of-00002.gguf", "q-00002-of-00002.gguf"]);
        let error = snapshot.file_parts("r-00001-of-00002.gguf").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = snapshot.model_files().unwrap_err();
        assert!(error.to_string().contains("owner/name/FILE: q-00001-of-00002.gguf"), "{error}");
    }

    #[test]
    fn hostile_listings_are_refused() {
        for path in ["../x", "/etc/passwd", "a/../../x", "a\\b", "C:/x", "", "a//b", "a\nb", "."] {
            assert_eq!(snapshot(&[path]).unwrap_err().kind(), ErrorKind::Malformed, "{path:?}");
        }
        let repository = RepositoryId::parse("owner/name").unwrap();
        let commit = "0".repeat(40);
        for body in [
            "".to_owned(),
            "[".repeat(100_000),
            r#"{"sha": "main/../x", "siblings": []}"#.to_owned(),
            format!(r#"{{"sha": "{commit}", "siblings": [{{"rfilename": "a", "size": 1e30}}]}}"#),
            format!(
                r#"{{"sha": "{commit}", "siblings": [{{"rfilename": "a", "size": 18446744073709551615}}]}}"#
            ),
            format!(
                r#"{{"sha": "{commit}", "siblings": [{{"rfilename": "a", "lfs": {{"sha256": "x"}}}}]}}"#
            ),
        ] {
            let error = Snapshot::parse(&repository, body.as_bytes(), &Limits::default());
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Malformed);
        }
    }
}
