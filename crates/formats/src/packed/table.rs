use std::collections::HashSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{ALIGNMENT, PIECE_BYTES, PackedInfo, Refusal};

/// What is in a file of packed weights.
#[derive(Serialize, Deserialize)]
pub(super) struct Table {
    /// Paths of the model files.
    pub source: Vec<String>,
    pub matrices: Vec<Entry>,
    /// CRC-32 of each piece of the data.
    pub sums: Vec<u32>,
}

/// One matrix.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    pub form: String,
    pub rows: usize,
    pub columns: usize,
    /// From the start of the data.
    pub start: usize,
    pub bytes: usize,
}

impl Entry {
    pub(super) fn info(&self) -> PackedInfo<'_> {
        let Self { name, form, rows, columns, .. } = self;
        PackedInfo { name, form, rows: *rows, columns: *columns }
    }

    /// Within the data; `None` when there is no such number.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        Some(self.start..self.start.checked_add(self.bytes)?)
    }
}

impl Table {
    /// Reads a table and holds it against the length of the data.
    pub(super) fn read(bytes: &[u8], data_bytes: usize) -> Result<Self, Refusal> {
        let table: Self = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::Damaged(format!("its table: {error}")))?;
        let mut names = HashSet::new();
        for entry in &table.matrices {
            let inside = entry.range().is_some_and(|range| range.end <= data_bytes);
            let aligned = entry.start.is_multiple_of(ALIGNMENT);
            if !inside || !aligned || !names.insert(entry.name.as_str()) {
                return Err(Refusal::Damaged(format!("its table places {} wrong", entry.name)));
            }
        }
        if table.sums.len() != data_bytes.div_ceil(PIECE_BYTES) {
            return Err(Refusal::Damaged("its table has another number of checksums".to_owned()));
        }
        Ok(table)
    }
}
