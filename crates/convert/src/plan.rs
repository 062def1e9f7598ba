//! A GGUF file that is to be made: metadata, and for each tensor its encoding and its source.

use phial_formats::gguf::Metadata;
use phial_formats::{Gguf, TensorInfo, WeightSource};
use phial_model::{Config, RopeScaling};
use phial_tensor::DType;
use phial_text::Tokenizer;

use crate::error::Error;
use crate::recipe::{Recipe, Role};
use crate::side_files::SideFiles;
use crate::vocabulary::vocabulary_into;

/// Version of ggml's block layouts.
const QUANTIZATION_VERSION: u32 = 2;

/// Order of the rows of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// As in the source.
    Same,
    /// Each head's halves interleaved: `llama` files rotate neighbours where Hugging Face rotates
    /// halves.
    Interleaved {
        /// Rows per head.
        head_dim: usize,
    },
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// Name, encoding and shape in the new file.
    pub info: TensorInfo,
    /// Name in the source; `None` for values that are in the plan.
    pub source: Option<String>,
    pub(crate) values: Vec<f32>,
    pub(crate) order: RowOrder,
}

/// A GGUF file that is to be made.
pub struct Plan {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its tensors, in order.
    pub tensors: Vec<PlannedTensor>,
}

impl Plan {
    /// What the file will say of its tensors.
    pub fn infos(&self) -> Vec<TensorInfo> {
        self.tensors.iter().map(|tensor| tensor.info.clone()).collect()
    }

    /// From another GGUF file: the same metadata and names, other encodings.
    ///
    /// # Errors
    /// Metadata that cannot be read.
    pub fn from_gguf(file: &Gguf, recipe: &Recipe) -> Result<Self, Error> {
        let mut metadata = file.metadata().clone();
        let architecture = metadata.str("general.architecture")?.unwrap_or_default().to_owned();
        let layers = metadata.usize(&format!("{architecture}.block_count"))?.unwrap_or(0);
        // The new file is one file, whatever the old one was split into.
        metadata.retain(|key| !key.starts_with("split."));
        describe_encoding(&mut metadata, recipe);
        let tied = file.tensors().iter().all(|tensor| tensor.name != "output.weight");
        let tensors = file.tensors().iter().map(|info| {
            let dtype = encoding(&info.name, &info.shape, info.dtype, (recipe, layers, tied));
            PlannedTensor {
                info: TensorInfo { dtype, ..info.clone() },
                source: Some(info.name.clone()),
                values: Vec::new(),
                order: RowOrder::Same,
            }
        });
        Ok(Self { tensors: tensors.collect(), metadata })
    }

    /// From safetensors: `tensors` as their headers say, and the files beside them.
    ///
    /// # Errors
    /// A configuration or tokenizer that is broken, or a tensor that the architecture does not
    /// have.
    pub fn from_safetensors(
        tensors: &[TensorInfo],
        files: &SideFiles,
        name: &str,
        recipe: &Recipe,
    ) -> Result<Self, Error> {
        let text = files.config.as_deref().ok_or_else(|| {
            Error::Other("config.json is missing beside the safetensors".to_owned())
        })?;
        let config = Config::from_json(text, "config.json")?;
        let mut metadata = describe(&config, name);
        describe_encoding(&mut metadata, recipe);
        describe_text(&mut metadata, &config, files)?;
        let mut planned = rope_tensors(&config);
        for info in tensors {
            if config.tied && info.name == "lm_head.weight" {
                continue;
            }
            let Some(new_name) = gguf_name(&info.name, &config) else {
                return Err(Error::Other(format!(
                    "tensor {:?} has no place in a {} file",
                    info.name, config.architecture
                )));
            };
            let dtype =
                encoding(&new_name, &info.shape, DType::F32, (recipe, config.layers, config.tied));
            let interleaved = config.architecture == "llama"
                && (new_name.ends_with("attn_q.weight") || new_name.ends_with("attn_k.weight"));
            let order = match interleaved {
                true => RowOrder::Interleaved { head_dim: config.head_dim },
                false => RowOrder::Same,
            };
            planned.push(PlannedTensor {
                info: TensorInfo { name: new_name, dtype, shape: info.shape.clone() },
                source: Some(info.name.clone()),
                values: Vec::new(),
                order,
            });
        }
        planned.sort_by_key(|tensor| file_order(&tensor.info.name));
        Ok(Self { metadata, tensors: planned })
    }
}

/// Global tensors first, then layer by layer, then the head.
fn file_order(name: &str) -> (usize, usize) {
    let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match (name, layer) {
        (_, Some((layer, _))) => (1, layer.parse().unwrap_or(usize::MAX)),
        ("output_norm.weight" | "output.weight", _) => (2, 0),
        _ => (0, 0),
    }
}

/// Sizes and constants of an architecture, under GGUF's names.
pub(crate) fn describe(config: &Config, name: &str) -> Metadata {
    let mut metadata = Metadata::default();
    let architecture = config.architecture.as_str();
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    metadata.set("general.architecture", architecture);
    metadata.set("general.name", name);
    let sizes = [
        ("context_length", config.context_max),
        ("embedding_length", config.hidden),
        ("feed_forward_length", config.intermediate),
        ("block_count", config.layers),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("rope.dimension_count", config.rope.dims),
        ("vocab_size", config.vocabulary),
    ];
    for (key, value) in sizes {
        metadata.set(&format!("{architecture}.{key}"), number(value));
    }
    if config.head_dim * config.heads != config.hidden {
        metadata.set(&format!("{architecture}.attention.key_length"), number(config.head_dim));
        metadata.set(&format!("{architecture}.attention.value_length"), number(config.head_dim));
    }
    let epsilon = format!("{architecture}.attention.layer_norm_rms_epsilon");
    metadata.set(&epsilon, config.norm_epsilon);
    metadata.set(&format!("{architecture}.rope.freq_base"), config.rope.theta);
    if architecture == "phi3" {
        // llama.cpp asks for a window; one as long as the context changes nothing.
        metadata.set("phi3.attention.sliding_window", number(2 * config.context_max));
    }
    if let RopeScaling::Long { original_context, attention_factor, .. } = &config.rope.scaling {
        let key = format!("{architecture}.rope.scaling.original_context_length");
        metadata.set(&key, number(*original_context));
        metadata.set(&format!("{architecture}.rope.scaling.attn_factor"), *attention_factor);
    }
    metadata
}

pub(crate) fn describe_encoding(metadata: &mut Metadata, recipe: &Recipe) {
    metadata.set("general.quantization_version", QUANTIZATION_VERSION);
    metadata.set("general.file_type", recipe.file_type());
}

/// Tokenizer and template.
fn describe_text(metadata: &mut Metadata, config: &Config, files: &SideFiles) -> Result<(), Error> {
    if let Some(json) = &files.tokenizer {
        let tokenizer = Tokenizer::from_tokenizer_json(json.as_bytes())
            .map_err(|source| Error::Tokenizer { origin: "tokenizer.json".to_owned(), source })?;
        let mut vocabulary = tokenizer.to_vocabulary(config.vocabulary);
        let named = |key: &str| -> Option<u32> {
            let value: serde_json::Value =
                serde_json::from_str(files.tokenizer_config.as_deref()?).ok()?;
            let text = match value.get(key)? {
                serde_json::Value::String(text) => text.clone(),
                object => object.get("content")?.as_str()?.to_owned(),
            };
            tokenizer.token_id(&text)
        };
        vocabulary.bos = vocabulary.bos.or_else(|| named("bos_token"));
        vocabulary.eos = vocabulary.eos.or_else(|| named("eos_token"));
        vocabulary.unknown = vocabulary.unknown.or_else(|| named("unk_token"));
        vocabulary.padding = vocabulary.padding.or_else(|| named("pad_token"));
        vocabulary_into(&vocabulary, metadata);
    }
    if let Some(template) = files.chat_template() {
        metadata.set("tokenizer.chat_template", template);
    }
    Ok(())
}

/// The tensors that hold rotary factors.
pub(crate) fn rope_tensors(config: &Config) -> Vec<PlannedTensor> {
    let tensor = |name: &str, values: &[f32]| PlannedTensor {
        info: TensorInfo { name: name.to_owned(), dtype: DType::F32, shape: vec![values.len()] },
        source: None,
        values: values.to_vec(),
        order: RowOrder::Same,
    };
    match &config.rope.scaling {
        RopeScaling::None => Vec::new(),
        RopeScaling::Factors(factors) => vec![tensor("rope_freqs.weight", factors)],
        RopeScaling::Long { short, long, .. } => vec![
            tensor("rope_factors_long.weight", long),
            tensor("rope_factors_short.weight", short),
        ],
    }
}

/// The encoding of a tensor in the new file. Vectors stay exact.
pub(crate) fn encoding(
    name: &str,
    shape: &[usize],
    current: DType,
    (recipe, layers, tied): (&Recipe, usize, bool),
) -> DType {
    let [_, columns] = shape else {
        return if shape.len() < 2 { DType::F32 } else { current };
    };
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let role = match (name, parts) {
        ("output.weight", _) => Role::Head,
        ("token_embd.weight", _) => {
            if tied {
                Role::Head
            } else {
                Role::Embedding
            }
        }
        (_, Some((layer, part))) => {
            let layer = layer.parse().unwrap_or(0);
            match part {
                "attn_qkv.weight" | "attn_v.weight" => Role::QkvOrValue { layer },
                "ffn_down.weight" => Role::Down { layer },
                _ => Role::Matrix,
            }
        }
        _ => Role::Matrix,
    };
    recipe.dtype(role, *columns, layers)
}

/// GGUF's name for a tensor of a Hugging Face model.
fn gguf_name(name: &str, config: &Config) -> Option<String> {
    let global = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(global) = global {
        return Some(global.to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let layer: usize = layer.parse().ok().filter(|layer| *layer < config.layers)?;
    let part = match part.strip_suffix(".weight")? {
        "input_layernorm" => "attn_norm",
        "post_attention_layernorm" => "ffn_norm",
        "self_attn.qkv_proj" => "attn_qkv",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        // phi3 files keep gate and up together under the name of up.
        "mlp.gate_up_proj" | "mlp.up_proj" => "ffn_up",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.weight"))
}
