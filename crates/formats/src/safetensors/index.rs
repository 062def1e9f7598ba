use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::header::Texts;
use super::{HEADER_BYTES_MAX, SHARDS_MAX};
use crate::Error;

/// Which tensors to take from which file of a sharded model.
pub(super) struct Index {
    /// Files in the order of their names, each with its tensors.
    pub shards: BTreeMap<String, HashSet<String>>,
    folder: PathBuf,
}

#[derive(Deserialize)]
struct RawIndex {
    weight_map: Texts,
}

impl Index {
    /// Reads an index and checks that each shard it names is a file in its folder.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let length = fs::metadata(path).map_err(Error::io("open", path))?.len();
        if length > HEADER_BYTES_MAX as u64 {
            let problem = format!("{length} bytes are over the limit of {HEADER_BYTES_MAX}");
            return Err(Error::damaged(path, "index", problem));
        }
        let text = fs::read(path).map_err(Error::io("read", path))?;
        let raw: RawIndex = serde_json::from_slice(&text)
            .map_err(|cause| Error::damaged(path, "index", cause.to_string()))?;
        let mut shards: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        let mut names = HashSet::new();
        for (name, shard) in raw.weight_map.0 {
            if !names.insert(name.clone()) {
                return Err(Error::damaged(path, format!("tensor `{name}`"), "appears twice"));
            }
            shards.entry(shard).or_default().insert(name);
        }
        if shards.is_empty() || shards.len() > SHARDS_MAX {
            let problem = format!("names {} files; 1 to {SHARDS_MAX} are possible", shards.len());
            return Err(Error::damaged(path, "index", problem));
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let index = Self { shards, folder };
        for shard in index.shards.keys() {
            index.check_shard(path, shard)?;
        }
        Ok(index)
    }

    pub(super) fn path_of(&self, shard: &str) -> PathBuf {
        self.folder.join(shard)
    }

    /// A shard's name must not lead out of the folder: `../`, absolute paths and drives do. The
    /// file itself may be a link to anywhere, as download caches have it.
    fn check_shard(&self, path: &Path, shard: &str) -> Result<(), Error> {
        let inside = Path::new(shard).components().all(|part| matches!(part, Component::Normal(_)));
        if shard.is_empty() || !inside || shard.contains(['\\', '\0']) {
            let problem = format!("`{shard}` is not a file in the folder of the index");
            return Err(Error::damaged(path, "index", problem));
        }
        if !self.path_of(shard).is_file() {
            let problem = format!("`{shard}` is named in the index but not there, download it too");
            return Err(Error::not_a_model(path, problem));
        }
        Ok(())
    }
}
