//! What tells one model's keys and values from another's.

use std::path::Path;

use anyhow::Result;
use phial_formats::{ModelFile, WeightSource};
use phial_model::{Forward, Model};
use sha2::{Digest, Sha256};

/// Bytes that are looked at in three places of each tensor. Training moves every number a little,
/// so a few thousand of each tensor tell two models apart without a minute of reading.
const SAMPLE_BYTES: usize = 4096;

/// Stands for all that the keys and values of a prompt depend on beside its tokens: the weights in
/// the file at `path`, the configuration, how they are stored, and how this program computes them
/// on this machine, to the bit.
pub fn fingerprint(path: &Path, model: &Model) -> Result<[u8; 32]> {
    let file = ModelFile::open(path)?;
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(&phial_kernels::ARITHMETIC_VERSION.to_le_bytes());
    add(format!("{:?}", model.config()).as_bytes());
    add(format!("{:?}", model.kv_layout()).as_bytes());
    // Sums within attention round differently from tier to tier.
    add(model.compute().tier.name().as_bytes());
    for info in file.tensors() {
        add(info.name.as_bytes());
        add(info.dtype.name().as_bytes());
        add(format!("{:?}", info.shape).as_bytes());
        let Some(tensor) = file.tensor(&info.name) else { continue };
        let bytes: &[u8] = &tensor.bytes;
        let last = bytes.len().saturating_sub(SAMPLE_BYTES);
        for start in [0, last / 2, last] {
            add(&bytes[start..(start + SAMPLE_BYTES).min(bytes.len())]);
        }
    }
    Ok(hash.finalize().into())
}
