use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use phial_tensor::SharedBytes;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::map::map;

/// Blocks of a file that are looked at to tell its content, first and last included.
const SAMPLES: usize = 32;

/// Bytes of such a block.
const SAMPLE_BYTES: usize = 16 << 10;

/// A mapped file, and what tells it from a later one at the same place.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    bytes: SharedBytes,
    times: [i128; 2],
}

impl SourceFile {
    pub(crate) fn map(path: &Path) -> Result<Self, Error> {
        let (bytes, metadata) = map(path)?;
        // A relative path would mean another file in another folder.
        let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
        let path = whole.map_err(Error::io("open", path))?;
        Ok(Self { path, bytes, times: times(&metadata) })
    }

    pub(crate) fn bytes(&self) -> &SharedBytes {
        &self.bytes
    }
}

/// In nanoseconds: when the content changed last, and when the file did in any way. The second
/// cannot be set by programs, where there is such a thing.
fn times(metadata: &Metadata) -> [i128; 2] {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = since.map_or(-1, |since| since.as_nanos() as i128);
    [modified, changed(metadata)]
}

#[cfg(unix)]
fn changed(metadata: &Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_metadata: &Metadata) -> i128 {
    -1
}

/// What is known of the files that a model was read from without reading all of them: enough to
/// tell whether something that was made from them is still theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStamp {
    paths: Vec<String>,
    place: [u8; 32],
    content: [u8; 32],
}

impl SourceStamp {
    pub(crate) fn of(files: &[SourceFile]) -> Self {
        let (mut place, mut content) = (Sha256::new(), Sha256::new());
        for file in files {
            let path = file.path.as_os_str().as_encoded_bytes();
            place.update((path.len() as u64).to_le_bytes());
            place.update(path);
            content.update((file.bytes.len() as u64).to_le_bytes());
            for time in file.times {
                content.update(time.to_le_bytes());
            }
            sample(&file.bytes, &mut content);
        }
        let paths = files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
        Self { paths, place: place.finalize().into(), content: content.finalize().into() }
    }

    /// The files, for people and for [`crate::packed::sweep`].
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// 32 hex digits that stand for the places of the files, whatever is in them.
    pub(crate) fn place(&self) -> String {
        self.place[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Lengths, times and samples of all files.
    pub(crate) fn content(&self) -> &[u8; 32] {
        &self.content
    }
}

fn sample(bytes: &[u8], digest: &mut Sha256) {
    if bytes.len() <= SAMPLES * SAMPLE_BYTES {
        digest.update(bytes);
        return;
    }
    let last = bytes.len() - SAMPLE_BYTES;
    for index in 0..SAMPLES {
        let start = (last as u128 * index as u128 / (SAMPLES as u128 - 1)) as usize;
        digest.update(&bytes[start..][..SAMPLE_BYTES]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn stamp(path: &Path) -> SourceStamp {
        SourceStamp::of(&[SourceFile::map(path).unwrap()])
    }

    #[test]
    fn every_change_is_another_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let bytes = vec![7; 3 << 20];
        fs::write(&path, &bytes).unwrap();
        let first = stamp(&path);
        assert_eq!(first, stamp(&folder.path().join(".").join("a")));
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let mut seen = vec![first.content];
        // The first, the last, and one between samples; each time with the old time put back.
        for at in [0, bytes.len() - 1, 20 << 10] {
            let mut other = bytes.clone();
            other[at] = 8;
            fs::write(&path, &other).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            let found = stamp(&path);
            assert_eq!(found.place(), first.place());
            if cfg!(unix) || at != 20 << 10 {
                assert!(!seen.contains(&found.content), "{at}");
            }
            seen.push(found.content);
        }
        fs::write(&path, &bytes[1..]).unwrap();
        assert!(!seen.contains(&stamp(&path).content));
    }

    #[test]
    fn another_place_is_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| {
            fs::write(folder.path().join(name), name).unwrap();
            SourceFile::map(&folder.path().join(name)).unwrap()
        });
        let lists = [vec![a.clone()], vec![b.clone()], vec![a.clone(), b.clone()], vec![b, a]];
        let names = lists.map(|files| SourceStamp::of(&files).place());
        for (index, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 32);
            assert!(!names[..index].contains(name));
        }
    }
}
