//! GGUF metadata of the architectures `phi3` and `llama`.

use phial_formats::gguf::Metadata;
use phial_formats::{Gguf, WeightSource};

use super::{Config, Rope, RopePairs, RopeScaling, attention_factor};
use crate::error::Error;

/// Reads a configuration; its values are not checked yet.
pub(super) fn read(file: &Gguf, origin: &str) -> Result<Config, Error> {
    let metadata = file.metadata();
    let architecture = metadata.str("general.architecture")?.unwrap_or_default().to_owned();
    if !["phi3", "llama"].contains(&architecture.as_str()) {
        return Err(Error::config(
            origin,
            format!(
                "architecture {architecture:?} is not supported; supported are \"phi3\" and \
                 \"llama\""
            ),
        ));
    }
    let key = |name: &str| format!("{architecture}.{name}");
    let size = |name: &str| -> Result<usize, Error> {
        let key = key(name);
        Ok(metadata.required(&key, Metadata::usize)?)
    };
    let hidden = size("embedding_length")?;
    let heads = size("attention.head_count")?;
    let head_dim = match metadata.usize(&key("attention.key_length"))? {
        Some(value) => value,
        None => hidden.checked_div(heads).unwrap_or(0),
    };
    let embedding = file.tensors().iter().find(|tensor| tensor.name == "token_embd.weight");
    let context_max = size("context_length")?;
    Ok(Config {
        hidden,
        intermediate: size("feed_forward_length")?,
        layers: size("block_count")?,
        heads,
        kv_heads: metadata.usize(&key("attention.head_count_kv"))?.unwrap_or(heads),
        head_dim,
        vocabulary: embedding.and_then(|tensor| tensor.shape.first().copied()).unwrap_or(0),
        context_max,
        norm_epsilon: metadata.f32(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-5),
        tied: file.tensors().iter().all(|tensor| tensor.name != "output.weight"),
        rope: rope(file, &architecture, head_dim, context_max)?,
        architecture,
    })
}

fn rope(file: &Gguf, architecture: &str, head_dim: usize, context: usize) -> Result<Rope, Error> {
    let metadata = file.metadata();
    let key = |name: &str| format!("{architecture}.rope.{name}");
    let factors = |name: &str| file.tensor(name).map(|tensor| tensor.to_f32());
    let long = factors("rope_factors_long.weight");
    let short = factors("rope_factors_short.weight");
    let given = metadata.usize(&key("dimension_count"))?.unwrap_or(head_dim);
    // Some converters write the head size here although fewer dimensions rotate; where there are
    // factors, their number is the truth.
    let dims = long.as_ref().map_or(given, |long| 2 * long.len());
    let scaling = match (short, long, factors("rope_freqs.weight")) {
        (Some(short), Some(long), _) => {
            let original =
                metadata.usize(&key("scaling.original_context_length"))?.unwrap_or(context);
            let given = metadata.f32(&key("scaling.attn_factor"))?;
            let attention_factor = given.unwrap_or_else(|| attention_factor(context, original));
            RopeScaling::Long { short, long, original_context: original, attention_factor }
        }
        (_, _, Some(factors)) => RopeScaling::Factors(factors),
        _ => linear(metadata.f32(&key("scaling.factor"))?, dims),
    };
    Ok(Rope {
        dims,
        theta: metadata.f32(&key("freq_base"))?.unwrap_or(10_000.0),
        pairs: if architecture == "llama" { RopePairs::Neighbours } else { RopePairs::Halves },
        scaling,
    })
}

fn linear(factor: Option<f32>, dims: usize) -> RopeScaling {
    match factor {
        Some(factor) if factor != 0.0 && factor != 1.0 => {
            RopeScaling::Factors(vec![factor; dims / 2])
        }
        _ => RopeScaling::None,
    }
}
