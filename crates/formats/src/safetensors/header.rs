use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use phial_tensor::DType;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::HEADER_BYTES_MAX;
use crate::{Error, TensorInfo};

/// Bytes before the JSON: its length.
pub(super) const LENGTH_BYTES: usize = 8;

/// The header of one file: which tensors it holds and where.
#[derive(Clone, Debug)]
pub struct Header {
    /// Tensors in the order of their data.
    pub tensors: Vec<Entry>,
    /// Tensors of whole numbers (I32, I64, BOOL): buffers that come along, never weights.
    pub integers: Vec<IntegerEntry>,
    /// Free text of the writer (`__metadata__`).
    pub metadata: Vec<(String, String)>,
    /// Size of the whole file in bytes.
    pub file_bytes: usize,
}

/// One tensor of a [`Header`].
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name, type and shape.
    pub info: TensorInfo,
    /// Where its bytes are, from the start of the file.
    pub range: Range<usize>,
}

/// One tensor of whole numbers of a [`Header`].
#[derive(Clone, Debug)]
pub struct IntegerEntry {
    /// The name in the file.
    pub name: String,
    /// Bytes of one element: 1 (BOOL), 4 (I32) or 8 (I64).
    pub width: usize,
    /// Where its bytes are, from the start of the file.
    pub range: Range<usize>,
}

/// How many bytes of a file [`header_of`] needs, told by its first eight.
///
/// # Errors
/// When there are fewer than eight bytes, or the header is larger than [`HEADER_BYTES_MAX`].
pub fn header_bytes(prefix: &[u8], name: &str) -> Result<usize, Error> {
    let path = Path::new(name);
    let Some(length) = prefix.first_chunk::<LENGTH_BYTES>() else {
        return Err(Error::damaged(path, "offset 0", "the file has fewer than 8 bytes"));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX as u64 {
        let problem = format!("a header of {length} bytes is over the limit of {HEADER_BYTES_MAX}");
        return Err(Error::damaged(path, "offset 0", problem));
    }
    Ok(LENGTH_BYTES + length as usize)
}

/// Reads the header from the first bytes of a file, such as a download that has just begun;
/// `name` stands for its path in messages. Bytes behind the header are not looked at.
///
/// # Errors
/// When `prefix` is shorter than [`header_bytes`] says, the JSON is not as it should be, a tensor
/// has another type than F32, F16, BF16, I32, I64 and BOOL, or the ranges are not a gapless row
/// from the start.
pub fn header_of(prefix: &[u8], name: &str) -> Result<Header, Error> {
    let path = Path::new(name);
    let end = header_bytes(prefix, name)?;
    let Some(text) = prefix.get(LENGTH_BYTES..end) else {
        let problem = format!("the header needs {end} bytes and {} are there", prefix.len());
        return Err(Error::damaged(path, "offset 0", problem));
    };
    let mut raw: RawHeader = serde_json::from_slice(text)
        .map_err(|cause| Error::damaged(path, "header", cause.to_string()))?;
    raw.tensors.sort_by_key(|(_, tensor)| tensor.data_offsets);
    let mut header = Header {
        tensors: Vec::new(),
        integers: Vec::new(),
        metadata: raw.metadata,
        file_bytes: end,
    };
    for (name, tensor) in raw.tensors {
        let place = format!("tensor `{name}`");
        let range = range(&tensor, end).map_err(|why| Error::damaged(path, &place, why))?;
        if range.start != header.file_bytes {
            let (start, before) = (range.start, header.file_bytes);
            let problem =
                format!("starts at byte {start}, but the data before it ends at {before}");
            return Err(Error::damaged(path, place, problem));
        }
        header.file_bytes = range.end;
        let bytes = match element(&tensor.dtype) {
            Some(Element::Weight(dtype)) => {
                let info = TensorInfo { name, dtype, shape: tensor.shape.clone() };
                let bytes = info.data_bytes();
                header.tensors.push(Entry { info, range: range.clone() });
                bytes
            }
            Some(Element::Integer(width)) => {
                let count = tensor.shape.iter().try_fold(width, |n, &size| n.checked_mul(size));
                header.integers.push(IntegerEntry { name, width, range: range.clone() });
                count
            }
            None => {
                let problem = format!(
                    "type {} is not supported, get the model in BF16, F16 or F32",
                    tensor.dtype
                );
                return Err(Error::unsupported(path, place, problem));
            }
        };
        if bytes != Some(range.len()) {
            let problem = format!("{} bytes do not fit the shape {:?}", range.len(), tensor.shape);
            return Err(Error::damaged(path, place, problem));
        }
    }
    Ok(header)
}

enum Element {
    Weight(DType),
    /// Bytes of one element.
    Integer(usize),
}

fn element(name: &str) -> Option<Element> {
    Some(match name {
        "F32" => Element::Weight(DType::F32),
        "F16" => Element::Weight(DType::F16),
        "BF16" => Element::Weight(DType::BF16),
        "BOOL" => Element::Integer(1),
        "I32" => Element::Integer(4),
        "I64" => Element::Integer(8),
        _ => return None,
    })
}

/// The bytes of a tensor from the start of the file.
fn range(tensor: &RawTensor, data_start: usize) -> Result<Range<usize>, String> {
    let (start, end) = tensor.data_offsets;
    match (start.checked_add(data_start), end.checked_add(data_start)) {
        (Some(first), Some(behind)) if start <= end => Ok(first..behind),
        _ => Err(format!("bytes {start}..{end} are not possible")),
    }
}

/// The JSON as it stands. Read by hand, because a map type would swallow a repeated name.
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut header = RawHeader { tensors: Vec::new(), metadata: Vec::new() };
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("`{name}` appears twice")));
                    }
                    if name == super::METADATA_KEY {
                        header.metadata = map.next_value::<Texts>()?.0;
                    } else {
                        header.tensors.push((name, map.next_value()?));
                    }
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

/// A JSON object whose values are strings, in order; `null` counts as empty.
pub(super) struct Texts(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextsVisitor;

        impl<'de> Visitor<'de> for TextsVisitor {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_unit<E>(self) -> Result<Texts, E> {
                Ok(Texts(Vec::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    texts.push(entry);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(TextsVisitor)
    }
}
