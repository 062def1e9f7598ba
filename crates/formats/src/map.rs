//! The one place that maps files into memory.
#![allow(unsafe_code)]

use std::fs::{File, Metadata};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use phial_tensor::SharedBytes;

use crate::Error;

/// The bytes of a file, read by the system as they are touched, and what the system said of the
/// file when it was opened.
pub(crate) fn map(path: &Path) -> Result<(SharedBytes, Metadata), Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let metadata = file.metadata().map_err(Error::io("open", path))?;
    if metadata.is_dir() {
        return Err(Error::not_a_model(path, "this is a folder, name a file in it"));
    }
    if metadata.len() == 0 {
        return Ok((SharedBytes::from(Vec::new()), metadata));
    }
    // SAFETY: the map is read-only and private. Its bytes change only if another process writes
    // into the file in place; no code here relies on bytes staying equal between two reads for
    // memory safety (lengths are copied out and checked once). This crate's writers never touch a
    // finished file, they rename a new one over it. A file cut short while mapped ends the
    // process with a bus error, which is not undefined behaviour.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    ask_for_huge_pages(&map);
    Ok((SharedBytes::new(Arc::new(map)), metadata))
}

/// Weights are read from end to end for every token, and small pages cost a sixth of that. Systems that
/// keep files in huge pages read them in so when asked; the others say no, which is no harm.
fn ask_for_huge_pages(map: &Mmap) {
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    #[cfg(not(target_os = "linux"))]
    let _ = map;
}

/// `bytes` bytes from `start` of a file that is being written, and that are in it already.
pub(crate) fn map_written(file: &File, start: u64, bytes: usize) -> std::io::Result<SharedBytes> {
    if bytes == 0 {
        return Ok(SharedBytes::from(Vec::new()));
    }
    // SAFETY: as above. The writer of this crate that asks only appends after these bytes, and
    // fills in a header before all of them.
    let map = unsafe { MmapOptions::new().offset(start).len(bytes).map(file) }?;
    Ok(SharedBytes::new(Arc::new(map)))
}
