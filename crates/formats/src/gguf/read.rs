use std::ops::Range;
use std::path::Path;

use phial_tensor::SharedBytes;

use super::metadata::Metadata;
use super::value::{ARRAY_ID, Array, Kind, Value};
use super::{ALIGNMENT_DEFAULT, ALIGNMENT_KEY, MAGIC, type_id};
use crate::catalog::Catalog;
use crate::{Error, TensorInfo};

/// No model has more metadata keys; real ones have some forty.
const ENTRIES_MAX: u64 = 1 << 16;

/// No model has more tensors in a file; the largest known have some ten thousand.
const TENSORS_MAX: u64 = 1 << 20;

/// As in ggml.
const DIMENSIONS_MAX: u32 = 4;

/// Longest key or tensor name in bytes, as in ggml for keys.
const NAME_BYTES_MAX: usize = 65_535;

/// What the header of one file says of one tensor.
struct Entry {
    info: TensorInfo,
    /// From the start of the data.
    range: Range<usize>,
}

/// Reads one file. Nothing is allocated on the word of a count: every loop ends with the bytes.
pub(super) fn read(bytes: &SharedBytes, path: &Path) -> Result<(Metadata, Catalog), Error> {
    let mut cursor = Cursor { bytes, at: 0, path };
    let magic = cursor.take(4, "magic")?;
    if magic != MAGIC {
        return Err(cursor.damaged_at(0, "does not start with GGUF"));
    }
    check_version(&mut cursor)?;
    let tensor_count = cursor.u64("tensor count")?;
    let entry_count = cursor.u64("metadata count")?;
    if tensor_count > TENSORS_MAX || entry_count > ENTRIES_MAX {
        let problem =
            format!("{tensor_count} tensors and {entry_count} metadata keys are too many");
        return Err(cursor.damaged_at(8, problem));
    }
    let metadata = read_metadata(&mut cursor, entry_count)?;
    let alignment = alignment(&metadata, path)?;
    let mut entries = Vec::new();
    for _ in 0..tensor_count {
        entries.push(read_entry(&mut cursor, alignment)?);
    }
    let start = cursor.at.checked_next_multiple_of(alignment);
    let start = start.filter(|&start| start <= bytes.len()).unwrap_or(bytes.len());
    check_overlap(&entries, path)?;
    let mut catalog = Catalog::default();
    for Entry { info, range } in entries {
        let place = format!("tensor `{}`", info.name);
        let bounds = range.start.checked_add(start).zip(range.end.checked_add(start));
        let Some(data) = bounds.and_then(|(start, end)| bytes.slice(start..end)) else {
            let problem = format!(
                "bytes {}..{} of the data are behind the end of the file ({} bytes of data)",
                range.start,
                range.end,
                bytes.len() - start
            );
            return Err(Error::damaged(path, place, problem));
        };
        if !catalog.add(info, data) {
            return Err(Error::damaged(path, place, "appears twice"));
        }
    }
    Ok((metadata, catalog))
}

fn check_version(cursor: &mut Cursor) -> Result<(), Error> {
    let problem = match cursor.u32("version")? {
        2 | 3 => return Ok(()),
        1 => "GGUF version 1 is too old, convert the model again".to_owned(),
        version if version.swap_bytes() <= 3 => {
            "this is a big-endian file, convert the model for little-endian machines".to_owned()
        }
        version => format!("GGUF version {version} is not known here (2 and 3 are)"),
    };
    Err(Error::unsupported(cursor.path, "offset 4", problem))
}

fn read_metadata(cursor: &mut Cursor, count: u64) -> Result<Metadata, Error> {
    let mut metadata = Metadata::of_file(cursor.path);
    for _ in 0..count {
        let at = cursor.at;
        let key = cursor.name("metadata key")?;
        if metadata.get(key).is_some() {
            return Err(cursor.damaged_at(at, format!("metadata key `{key}` appears twice")));
        }
        let value = read_value(cursor, key)?;
        metadata.set(key, value);
    }
    Ok(metadata)
}

fn read_value(cursor: &mut Cursor, key: &str) -> Result<Value, Error> {
    let at = cursor.at;
    let id = cursor.u32("value type")?;
    if id == ARRAY_ID {
        return read_array(cursor, key).map(Value::Array);
    }
    let Some(kind) = Kind::from_id(id) else {
        return Err(cursor.damaged_at(at, format!("metadata key `{key}` has value type {id}")));
    };
    let Some(width) = kind.width() else {
        return cursor.str(usize::MAX, key).map(Value::from);
    };
    let at = cursor.at;
    let bytes = cursor.take(width, key)?;
    Value::from_bytes(kind, bytes).ok_or_else(|| {
        cursor.damaged_at(at, format!("metadata key `{key}` is neither true nor false"))
    })
}

fn read_array(cursor: &mut Cursor, key: &str) -> Result<Array, Error> {
    let at = cursor.at;
    let id = cursor.u32("element type")?;
    if id == ARRAY_ID {
        let problem = "arrays inside arrays are not supported";
        return Err(Error::unsupported(cursor.path, format!("metadata key `{key}`"), problem));
    }
    let Some(kind) = Kind::from_id(id) else {
        return Err(cursor.damaged_at(at, format!("metadata key `{key}` has element type {id}")));
    };
    let count = cursor.u64("element count")?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let start = cursor.at;
    match kind.width() {
        Some(width) => {
            let bytes = cursor.take(count.saturating_mul(width), key)?;
            if kind == Kind::Bool && bytes.iter().any(|&byte| byte > 1) {
                let problem = format!("metadata key `{key}` is neither true nor false");
                return Err(cursor.damaged_at(start, problem));
            }
        }
        None => {
            for _ in 0..count {
                let length = cursor.u64(key)?;
                cursor.take(usize::try_from(length).unwrap_or(usize::MAX), key)?;
            }
        }
    }
    let bytes = cursor.bytes.slice(start..cursor.at).expect("the cursor stays inside");
    Ok(Array::from_checked(kind, count, bytes))
}

/// Where tensors may start: the file's own alignment, or the usual one.
fn alignment(metadata: &Metadata, path: &Path) -> Result<usize, Error> {
    let alignment = metadata.usize(ALIGNMENT_KEY)?.unwrap_or(ALIGNMENT_DEFAULT);
    if !alignment.is_power_of_two() {
        let problem = format!("{alignment} is not a power of two");
        return Err(Error::damaged(path, format!("metadata key `{ALIGNMENT_KEY}`"), problem));
    }
    Ok(alignment)
}

fn read_entry(cursor: &mut Cursor, alignment: usize) -> Result<Entry, Error> {
    let path = cursor.path;
    let name = cursor.name("tensor name")?;
    let place = || format!("tensor `{name}`");
    let dimensions = cursor.u32("number of dimensions")?;
    if dimensions > DIMENSIONS_MAX {
        return Err(Error::damaged(path, place(), format!("{dimensions} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..dimensions {
        let size = cursor.u64("size")?;
        let size = usize::try_from(size).ok().filter(|&size| size > 0);
        shape.push(size.ok_or_else(|| Error::damaged(path, place(), "a size out of range"))?);
    }
    // In the file the innermost size comes first.
    shape.reverse();
    let id = cursor.u32("element type")?;
    let Some(dtype) = type_id::dtype_of(id) else {
        let problem = format!(
            "{} is not supported, take another quantisation of this model such as q4_k",
            type_id::describe(id)
        );
        return Err(Error::unsupported(path, place(), problem));
    };
    let start = usize::try_from(cursor.u64("offset")?).unwrap_or(usize::MAX);
    let info = TensorInfo { name: name.to_owned(), dtype, shape };
    let Some(data_bytes) = info.data_bytes() else {
        let problem = format!("sizes {:?} are no whole blocks of {}", info.shape, dtype.name());
        return Err(Error::damaged(path, place(), problem));
    };
    match start.checked_add(data_bytes) {
        Some(end) if start.is_multiple_of(alignment) => Ok(Entry { info, range: start..end }),
        _ => Err(Error::damaged(path, place(), format!("offset {start} is not possible"))),
    }
}

fn check_overlap(entries: &[Entry], path: &Path) -> Result<(), Error> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.range.start);
    for pair in sorted.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            let place = format!("tensor `{}`", pair[1].info.name);
            let problem = format!("shares bytes with tensor `{}`", pair[0].info.name);
            return Err(Error::damaged(path, place, problem));
        }
    }
    Ok(())
}

/// Reads forward and never past the end.
struct Cursor<'a> {
    bytes: &'a SharedBytes,
    at: usize,
    path: &'a Path,
}

impl<'a> Cursor<'a> {
    fn damaged_at(&self, at: usize, problem: impl Into<String>) -> Error {
        Error::damaged(self.path, format!("offset {at}"), problem)
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Error> {
        let bytes: &'a [u8] = self.bytes;
        match bytes[self.at..].get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => {
                let left = bytes.len() - self.at;
                let problem = format!("`{what}` needs {count} bytes and the file has {left} left");
                Err(self.damaged_at(self.at, problem))
            }
        }
    }

    fn u32(&mut self, what: &str) -> Result<u32, Error> {
        let bytes = self.take(4, what)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Error> {
        let bytes = self.take(8, what)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
    }

    fn str(&mut self, bytes_max: usize, what: &str) -> Result<&'a str, Error> {
        let at = self.at;
        let length = usize::try_from(self.u64(what)?).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(self.damaged_at(at, format!("`{what}` has {length} bytes")));
        }
        let bytes = self.take(length, what)?;
        str::from_utf8(bytes).map_err(|_| self.damaged_at(at, format!("`{what}` is not UTF-8")))
    }

    fn name(&mut self, what: &str) -> Result<&'a str, Error> {
        let at = self.at;
        let name = self.str(NAME_BYTES_MAX, what)?;
        if name.is_empty() {
            return Err(self.damaged_at(at, format!("an empty {what}")));
        }
        Ok(name)
    }
}
