//! Weights whose packed form is kept in a file between starts: found, checked, made anew.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use phial_formats::SourceStamp;
use phial_formats::packed::{PackedFile, PackedWriter, Refusal, Wanted, sweep};
use phial_kernels::Pool;
use phial_kernels::packed::LAYOUT_VERSION;

use crate::error::Error;
use crate::packs::Packs;
use crate::weights::{Origin, Weights};

/// Where a model's packed weights came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackReport {
    /// Packed in memory, as it was wanted; or because another process is making the file.
    InMemory,
    /// Mapped from the file that an earlier start made.
    Mapped,
    /// There was no file for these weights; it was made, and is mapped.
    Made,
    /// The file was damaged, as the text says; it was made anew, and is mapped.
    Repaired(String),
    /// A file was wanted and could not be made, as the text says: packed in memory.
    NotKept(String),
}

/// Loads weights that are packed in memory.
pub(crate) fn load_in_memory(origin: &Origin) -> Result<(Weights, PackReport), Error> {
    Ok((Weights::load(origin, &mut Packs::Memory)?, PackReport::InMemory))
}

/// Loads weights whose packed form is kept in `folder`; makes the file if there is none that is
/// sound and made from these very model files.
pub(crate) fn load(
    origin: &Origin,
    folder: &Path,
    stamp: &SourceStamp,
) -> Result<(Weights, PackReport), Error> {
    let wanted = Wanted { source: stamp, layout: LAYOUT_VERSION };
    let path = wanted.path(folder);
    let opened = PackedFile::open(&path, &wanted);
    let report = match opened.and_then(|file| check(file, &origin.compute.pool)) {
        Ok(file) => {
            let mut packs = Packs::Kept(file);
            let weights = Weights::load(origin, &mut packs)?;
            match packs {
                Packs::Failed(what) => PackReport::Repaired(what),
                _ => return Ok((weights, PackReport::Mapped)),
            }
        }
        Err(Refusal::Damaged(what)) => PackReport::Repaired(what),
        Err(Refusal::Absent | Refusal::Outdated) => PackReport::Made,
    };
    let problem = match PackedWriter::create(&path, &wanted, packed_bytes(origin)) {
        Ok(writer) => match make(origin, writer)? {
            Ok(weights) => {
                sweep(folder);
                return Ok((weights, report));
            }
            Err(problem) => problem,
        },
        Err(phial_formats::Error::Busy { .. }) => return load_in_memory(origin),
        Err(error) => error.to_string(),
    };
    let (weights, _) = load_in_memory(origin)?;
    Ok((weights, PackReport::NotKept(problem)))
}

/// About as many bytes as the packed weights take: as many as the weights take in the model's
/// files, and some for scales that are wider when packed.
fn packed_bytes(origin: &Origin) -> u64 {
    let bytes: u64 =
        origin.source.tensors().iter().map(|tensor| tensor.data_bytes().unwrap_or(0) as u64).sum();
    bytes.saturating_add(bytes / 8)
}

/// Packs into a file; the inner error says why there is none.
fn make(origin: &Origin, writer: PackedWriter) -> Result<Result<Weights, String>, Error> {
    let mut packs = Packs::Making(writer);
    let weights = Weights::load(origin, &mut packs)?;
    let finished = match packs {
        Packs::Making(writer) => writer.finish().map_err(|error| error.to_string()),
        Packs::Failed(problem) => Err(problem),
        Packs::Memory | Packs::Kept(_) => unreachable!("it stays what it is or fails"),
    };
    Ok(finished.map(|()| weights))
}

/// Reads all of the data, on all threads. A start that maps gigabytes must know that they are the
/// right ones, and reading them is what makes the first token quick.
fn check(file: PackedFile, pool: &Pool) -> Result<PackedFile, Refusal> {
    let sound = AtomicBool::new(true);
    pool.run(file.pieces(), |piece| {
        if !file.piece_is_sound(piece) {
            sound.store(false, Ordering::Relaxed);
        }
    });
    match sound.into_inner() {
        true => Ok(file),
        false => Err(Refusal::Damaged("its weights are altered".to_owned())),
    }
}
