use std::path::Path;

use super::metadata::Metadata;
use super::{ALIGNMENT_DEFAULT, ALIGNMENT_KEY, MAGIC, type_id};
use crate::planned::{Planned, data_bytes};
use crate::{Error, TensorInfo};

/// The version that this crate writes.
const VERSION: u32 = 3;

/// Longest tensor name in bytes that ggml reads back.
const TENSOR_NAME_BYTES_MAX: usize = 63;

/// Writes a GGUF file whose tensors are known before their data.
///
/// The file grows as `NAME.part` and gets its name in [`Writer::finish`]; a writer that is dropped
/// before removes the part. Tensors may be written in any order.
pub struct Writer {
    planned: Planned,
}

impl Writer {
    /// Writes the header of a new file. Metadata may be that of another file; its
    /// `general.alignment` is heeded.
    ///
    /// # Errors
    /// When a tensor cannot be stored (name longer than 63 bytes, more than four sizes, a size of
    /// zero, rows that are not whole blocks, two of one name), or the file cannot be made.
    pub fn create(
        path: impl AsRef<Path>,
        metadata: &Metadata,
        tensors: &[TensorInfo],
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let Layout { header, starts, total_bytes } = layout(path, metadata, tensors)?;
        let planned = Planned::create(path, &header, tensors, &starts, total_bytes)?;
        Ok(Self { planned })
    }

    /// Goes on with a part that [`Writer::keep_part`] left behind. Tensors that are complete must
    /// be named with [`Writer::skip`]; the others are written from their start.
    ///
    /// # Errors
    /// When there is no part, or one that was begun with other metadata or tensors.
    pub fn resume(
        path: impl AsRef<Path>,
        metadata: &Metadata,
        tensors: &[TensorInfo],
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        let Layout { header, starts, total_bytes } = layout(path, metadata, tensors)?;
        let planned = Planned::resume(path, &header, tensors, &starts, total_bytes)?;
        Ok(Self { planned })
    }

    /// The size of the finished file in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.planned.total_bytes()
    }

    /// Writes the next bytes of a tensor, whole or a piece; pieces of one tensor come in order.
    ///
    /// # Errors
    /// When the tensor is not in the plan or has fewer bytes left, or writing fails.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.planned.append(name, bytes)
    }

    /// Takes a tensor as written: the part that is resumed has its bytes.
    ///
    /// # Errors
    /// When the tensor is not in the plan.
    pub fn skip(&mut self, name: &str) -> Result<(), Error> {
        self.planned.skip(name)
    }

    /// Whether the part stays when this writer is dropped unfinished.
    pub fn keep_part(&mut self, keep: bool) {
        self.planned.keep_part(keep);
    }

    /// Puts the whole file in its place.
    ///
    /// # Errors
    /// When a tensor lacks bytes, or the file cannot be synced or renamed.
    pub fn finish(self) -> Result<(), Error> {
        self.planned.finish()
    }
}

struct Layout {
    header: Vec<u8>,
    starts: Vec<u64>,
    total_bytes: u64,
}

fn layout(path: &Path, metadata: &Metadata, tensors: &[TensorInfo]) -> Result<Layout, Error> {
    let alignment = metadata.usize(ALIGNMENT_KEY)?.unwrap_or(ALIGNMENT_DEFAULT) as u64;
    // ggml wants a power of two, the format's own text a multiple of eight.
    if !alignment.is_power_of_two() || alignment < 8 {
        return Err(Error::plan(path, format!("alignment {alignment} is not possible")));
    }
    let mut header = Vec::from(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata.iter() {
        put_str(&mut header, key);
        value.write(&mut header);
    }
    let mut offsets = Vec::new();
    let mut end = 0;
    for info in tensors {
        check(path, info)?;
        offsets.push(end);
        put_entry(&mut header, info, end);
        let bytes = data_bytes(path, info)?;
        end = u64::checked_add(end, bytes)
            .and_then(|end| end.checked_next_multiple_of(alignment))
            .ok_or_else(|| Error::plan(path, "the tensors are too large for a file"))?;
    }
    let start = (header.len() as u64).next_multiple_of(alignment);
    header.resize(start as usize, 0);
    let total_bytes = start
        .checked_add(end)
        .ok_or_else(|| Error::plan(path, "the tensors are too large for a file"))?;
    let starts = offsets.iter().map(|offset| start + offset).collect();
    Ok(Layout { header, starts, total_bytes })
}

fn check(path: &Path, info: &TensorInfo) -> Result<(), Error> {
    let TensorInfo { name, shape, .. } = info;
    let problem = if name.is_empty() || name.len() > TENSOR_NAME_BYTES_MAX {
        format!("tensor name `{name}` does not have 1 to {TENSOR_NAME_BYTES_MAX} bytes")
    } else if shape.is_empty() || shape.len() > 4 || shape.contains(&0) {
        format!("tensor `{name}` has sizes {shape:?}; GGUF holds one to four, none zero")
    } else {
        return Ok(());
    };
    Err(Error::plan(path, problem))
}

fn put_entry(header: &mut Vec<u8>, info: &TensorInfo, offset: u64) {
    put_str(header, &info.name);
    header.extend((info.shape.len() as u32).to_le_bytes());
    for &size in info.shape.iter().rev() {
        header.extend((size as u64).to_le_bytes());
    }
    header.extend(type_id::id_of(info.dtype).to_le_bytes());
    header.extend(offset.to_le_bytes());
}

fn put_str(header: &mut Vec<u8>, text: &str) {
    header.extend((text.len() as u64).to_le_bytes());
    header.extend(text.as_bytes());
}
