use std::fs;
use std::path::Path;

use super::header::Header;
use super::table::Table;
use super::{Refusal, is_ours};
use crate::aside::remove_stale;
use crate::map::map;

/// Deletes from `folder` what is of no more use: packed weights whose model files are gone, files
/// of packed weights that nobody can read, and what interrupted writers left. Returns how many
/// were deleted. Files with other names stay, and so does what cannot be deleted.
pub fn sweep(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let delete = |path: &Path, name: &str| match name.strip_suffix(".part") {
        Some(name) => is_ours(name) && remove_stale(path).is_ok(),
        None => is_ours(name) && is_orphan(path) && fs::remove_file(path).is_ok(),
    };
    let files = entries.flatten().filter(is_file);
    files
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| delete(&entry.path(), name)))
        .count()
}

/// Whether a model file is gone that this was made from. Outdated versions stay: an older program
/// may come back to its own.
fn is_orphan(path: &Path) -> bool {
    let Ok((bytes, _)) = map(path) else { return false };
    let table = Header::read(&bytes).and_then(|header| {
        let (data, table) = header.parts(&bytes)?;
        Table::read(&table, data.len())
    });
    match table {
        // A path that is no text cannot be looked for.
        Ok(table) => {
            table.source.iter().any(|path| !path.contains('\u{fffd}') && !Path::new(path).exists())
        }
        Err(Refusal::Damaged(_)) => true,
        Err(_) => false,
    }
}
