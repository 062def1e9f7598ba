use std::path::Path;

use phial_tensor::{DType, Tensor};
use serde_json::{Map, Value, json};

use super::METADATA_KEY;
use crate::planned::{Planned, data_bytes};
use crate::{Error, TensorInfo};

/// Writes a safetensors file whose tensors are known before their data.
///
/// The file grows as `NAME.part` and gets its name in [`Writer::finish`]; a writer that is dropped
/// before removes the part. Tensors may be written in any order.
pub struct Writer {
    planned: Planned,
}

impl Writer {
    /// Writes the header of a new file. `metadata` is free text, such as `("format", "pt")`.
    ///
    /// # Errors
    /// When a tensor has another type than F32, F16 and BF16, two have one name, or the file
    /// cannot be made.
    pub fn create(
        path: impl AsRef<Path>,
        metadata: &[(&str, &str)],
        tensors: &[TensorInfo],
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        // Wide types first, so that every tensor is aligned to its elements, as readers that
        // map the file like it.
        let mut sorted = tensors.to_vec();
        sorted.sort_by_key(|info| info.dtype != DType::F32);
        let mut entries = Map::new();
        if !metadata.is_empty() {
            let texts = metadata.iter().map(|&(key, text)| (key.to_owned(), Value::from(text)));
            entries.insert(METADATA_KEY.to_owned(), Value::Object(texts.collect()));
        }
        let mut offsets = Vec::new();
        let mut end = 0_u64;
        for info in &sorted {
            let start = end;
            end = end
                .checked_add(data_bytes(path, info)?)
                .ok_or_else(|| Error::plan(path, "the tensors are too large for a file"))?;
            offsets.push(start);
            let dtype = type_name(path, info)?;
            let entry = json!({"dtype": dtype, "shape": info.shape, "data_offsets": [start, end]});
            entries.insert(info.name.clone(), entry);
        }
        let mut text = Value::Object(entries).to_string().into_bytes();
        // Data starts on eight bytes; the format allows spaces at the end of the JSON.
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut header = Vec::from((text.len() as u64).to_le_bytes());
        header.extend(text);
        let data_start = header.len() as u64;
        let starts: Vec<u64> = offsets.iter().map(|offset| data_start + offset).collect();
        let planned = Planned::create(path, &header, &sorted, &starts, data_start + end)?;
        Ok(Self { planned })
    }

    /// Writes the next bytes of a tensor, whole or a piece; pieces of one tensor come in order.
    ///
    /// # Errors
    /// When the tensor is not in the plan or has fewer bytes left, or writing fails.
    pub fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.planned.append(name, bytes)
    }

    /// Puts the whole file in its place.
    ///
    /// # Errors
    /// When a tensor lacks bytes, or the file cannot be synced or renamed.
    pub fn finish(self) -> Result<(), Error> {
        self.planned.finish()
    }
}

/// Writes tensors that are in memory as one file.
///
/// # Errors
/// As [`Writer`].
pub fn write(
    path: impl AsRef<Path>,
    metadata: &[(&str, &str)],
    tensors: &[(&str, &Tensor)],
) -> Result<(), Error> {
    let infos: Vec<TensorInfo> = tensors
        .iter()
        .map(|(name, tensor)| TensorInfo {
            name: (*name).to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
        })
        .collect();
    let mut writer = Writer::create(path, metadata, &infos)?;
    for (name, tensor) in tensors {
        writer.append(name, &tensor.bytes)?;
    }
    writer.finish()
}

fn type_name(path: &Path, info: &TensorInfo) -> Result<&'static str, Error> {
    if info.name == METADATA_KEY {
        return Err(Error::plan(path, format!("no tensor may be named `{METADATA_KEY}`")));
    }
    match info.dtype {
        DType::F32 => Ok("F32"),
        DType::F16 => Ok("F16"),
        DType::BF16 => Ok("BF16"),
        other => {
            let problem =
                format!("safetensors cannot hold {} of tensor `{}`", other.name(), info.name);
            Err(Error::plan(path, problem))
        }
    }
}
