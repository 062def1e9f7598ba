//! What each model would need and do on this machine, by quantisation.

use std::collections::HashMap;

use anyhow::Result;
use phial_convert::{Plan, Recipe, SideFiles};
use phial_formats::TensorInfo;
use phial_kernels::Pool;
use phial_kernels::packed::PackedMatrix;
use phial_model::{Config, KvElement, KvLayout, KvPool};
use phial_tensor::{DType, Tensor};
use serde_json::{Value, json};

use crate::commands::ceilings::{Ceilings, Place, Work, place};

/// Context that memory is counted for, in tokens.
pub const CONTEXT_TOKENS: usize = 4096;

/// Prompt that reading is counted for, in tokens.
pub const PROMPT_TOKENS: usize = 512;

/// Rows that are packed to see how many bytes the kernels make of a row: one panel.
const SAMPLE_ROWS: usize = 16;

const RECIPES: [&str; 5] = ["q4_0", "q4_k_m", "q6_k", "q8_0", "bf16"];

/// A model at one quantisation.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub model: &'static str,
    pub recipe: &'static str,
    /// Of the weights in the file.
    pub file_bytes: u64,
    /// In memory: packed weights, and keys and values of [`CONTEXT_TOKENS`].
    pub memory_bytes: u64,
    /// Tokens per second at best, the first ones of a sequence.
    pub decode_ceiling: f64,
    /// Tokens per second at best, of a prompt of [`PROMPT_TOKENS`].
    pub prefill_ceiling: f64,
}

/// A model that has a short name.
struct Known {
    name: &'static str,
    /// Its `config.json`, as far as sizes go.
    config: Value,
    /// What its publisher gives, where that is none of [`RECIPES`].
    as_it_comes: Option<&'static str>,
}

fn known() -> [Known; 2] {
    let starter = json!({
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
        "vocab_size": 49_152, "max_position_embeddings": 8192, "tie_word_embeddings": true,
    });
    let phi = json!({
        "model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 24, "num_key_value_heads": 8,
        "vocab_size": 200_064, "max_position_embeddings": 131_072, "tie_word_embeddings": true,
        "partial_rotary_factor": 0.75,
    });
    [
        Known { name: "starter", config: starter, as_it_comes: Some("q4_1") },
        Known { name: "phi-4-mini", config: phi, as_it_comes: None },
    ]
}

/// The table: every model at every quantisation.
pub fn expectations(ceilings: &Ceilings) -> Result<Vec<Expectation>> {
    let mut rows = Vec::new();
    let mut packing = Packing { pool: Pool::new(1), panel_bytes: HashMap::new() };
    for known in known() {
        for recipe in known.as_it_comes.into_iter().chain(RECIPES) {
            rows.push(expect(&known, recipe, ceilings, &mut packing)?);
        }
    }
    Ok(rows)
}

fn expect(
    known: &Known,
    recipe: &'static str,
    ceilings: &Ceilings,
    packing: &mut Packing,
) -> Result<Expectation> {
    let text = known.config.to_string();
    let config = Config::from_json(&text, known.name)?;
    let files = SideFiles { config: Some(text), ..SideFiles::default() };
    let shapes = tensors(&config);
    // The very plan that a pull of this type would follow.
    let plan = Plan::from_safetensors(&shapes, &files, known.name, &Recipe::parse(recipe)?)?;
    let infos = plan.infos();
    let packed_bytes = packing.bytes(&infos, config.tied);
    let work = Work::of(&infos, config.tied);
    let kv = KvLayout {
        layers: config.layers,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        element: KvElement::F16,
    };
    let kv_bytes = kv.block_bytes() * CONTEXT_TOKENS.div_ceil(KvPool::BLOCK_TOKENS);
    Ok(Expectation {
        model: known.name,
        recipe,
        file_bytes: infos.iter().filter_map(TensorInfo::data_bytes).sum::<usize>() as u64,
        memory_bytes: packed_bytes + kv_bytes as u64,
        decode_ceiling: work.decode(ceilings, 1, packed_bytes as f64),
        prefill_ceiling: work.prefill(ceilings, PROMPT_TOKENS),
    })
}

/// The matrices of a model, under Hugging Face's names.
fn tensors(config: &Config) -> Vec<TensorInfo> {
    let (hidden, wide) = (config.hidden, config.intermediate);
    let (query, key) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    // phi3 files keep projections together that llama files keep apart.
    let projections: &[(&str, usize, usize)] = match config.architecture.as_str() {
        "phi3" => &[
            ("self_attn.qkv_proj", query + 2 * key, hidden),
            ("self_attn.o_proj", hidden, query),
            ("mlp.gate_up_proj", 2 * wide, hidden),
            ("mlp.down_proj", hidden, wide),
        ],
        _ => &[
            ("self_attn.q_proj", query, hidden),
            ("self_attn.k_proj", key, hidden),
            ("self_attn.v_proj", key, hidden),
            ("self_attn.o_proj", hidden, query),
            ("mlp.gate_proj", wide, hidden),
            ("mlp.up_proj", wide, hidden),
            ("mlp.down_proj", hidden, wide),
        ],
    };
    let info = |name: String, rows: usize, columns: usize| TensorInfo {
        name,
        dtype: DType::BF16,
        shape: vec![rows, columns],
    };
    let mut infos = vec![info("model.embed_tokens.weight".to_owned(), config.vocabulary, hidden)];
    for layer in 0..config.layers {
        for (part, rows, columns) in projections {
            infos.push(info(format!("model.layers.{layer}.{part}.weight"), *rows, *columns));
        }
    }
    infos
}

/// How many bytes the kernels make of weights: a few rows are packed to see it.
struct Packing {
    pool: Pool,
    panel_bytes: HashMap<(DType, usize), usize>,
}

impl Packing {
    fn bytes(&mut self, infos: &[TensorInfo], tied: bool) -> u64 {
        let mut bytes = 0;
        for info in infos {
            let [rows, columns] = info.shape[..] else { continue };
            if place(&info.name, tied) != Place::Unused {
                let panels = rows.div_ceil(SAMPLE_ROWS);
                bytes += panels * self.panel_bytes(info.dtype, columns);
            }
        }
        bytes as u64
    }

    fn panel_bytes(&mut self, dtype: DType, columns: usize) -> usize {
        let pool = &self.pool;
        *self.panel_bytes.entry((dtype, columns)).or_insert_with(|| {
            let len = dtype.row_bytes(columns).unwrap_or(0) * SAMPLE_ROWS;
            let shape = vec![SAMPLE_ROWS, columns];
            let sample = Tensor { dtype, shape, bytes: vec![0; len].into() };
            PackedMatrix::pack(&sample, 0..SAMPLE_ROWS, pool).bytes()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_real_models() {
        let ceilings = Ceilings { bandwidth: 45e9, bandwidth_of_one: 40e9, dot: 4e11, float: 1e11 };
        let rows = expectations(&ceilings).unwrap();
        let find = |model: &str, recipe: &str| {
            let row = rows.iter().find(|row| row.model == model && row.recipe == recipe);
            row.unwrap_or_else(|| panic!("{model} {recipe}"))
        };
        // The published files: weights and a few megabytes of vocabulary.
        for (model, recipe, bytes) in [
            ("starter", "q4_1", 98.4e6),
            ("phi-4-mini", "q4_0", 2.317e9),
            ("phi-4-mini", "q4_k_m", 2.49e9),
            ("phi-4-mini", "q8_0", 4.08e9),
            ("phi-4-mini", "bf16", 7.67e9),
        ] {
            let found = find(model, recipe).file_bytes as f64;
            assert!((found / bytes - 1.0).abs() < 0.07, "{model} {recipe}: {found}");
        }
        let row = find("phi-4-mini", "q4_0");
        // 45 GB/s through 2.3 GB, and 0.54 GB of keys and values beside the weights.
        assert!((17.0..21.0).contains(&row.decode_ceiling), "{}", row.decode_ceiling);
        assert!((110.0..130.0).contains(&row.prefill_ceiling), "{}", row.prefill_ceiling);
        let kv = row.memory_bytes as f64 - 45e9 / row.decode_ceiling;
        assert!((kv / 0.537e9 - 1.0).abs() < 0.01, "{kv}");
    }
}
