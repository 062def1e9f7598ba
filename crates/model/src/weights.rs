//! The weights of a decoder, found under the names of each file layout.

use phial_formats::WeightSource;
use phial_tensor::Tensor;

use crate::config::{Config, Layout};
use crate::error::Error;
use crate::linear::{Arithmetic, Compute, Linear};
use crate::packs::Packs;

/// Rows of embeddings: decoded one by one from the mapped file.
pub struct Embedding {
    table: Tensor,
}

impl Embedding {
    /// Decodes the row of `token` into `out` (`[hidden]`).
    pub(crate) fn row(&self, token: u32, out: &mut [f32]) {
        phial_tensor::quant::decode(self.table.dtype, self.table.row(token as usize), out);
    }
}

/// One decoder layer.
pub struct Layer {
    /// `[hidden]`
    pub(crate) attention_norm: Vec<f32>,
    /// `[(heads + 2 kv_heads) * head_dim, hidden]`: query, key, value.
    pub(crate) qkv: Linear,
    /// `[hidden, heads * head_dim]`
    pub(crate) output: Linear,
    /// `[hidden]`
    pub(crate) mlp_norm: Vec<f32>,
    /// `[2 * intermediate, hidden]`: gate, up.
    pub(crate) gate_up: Linear,
    /// `[hidden, intermediate]`
    pub(crate) down: Linear,
}

impl Layer {
    fn linears(&self) -> [&Linear; 4] {
        [&self.qkv, &self.output, &self.gate_up, &self.down]
    }
}

/// All weights.
pub struct Weights {
    pub(crate) embedding: Embedding,
    pub(crate) layers: Vec<Layer>,
    /// `[hidden]`
    pub(crate) norm: Vec<f32>,
    /// `[vocabulary, hidden]`; the embedding's rows where the head is tied.
    pub(crate) head: Linear,
}

impl Weights {
    /// Finds, checks and packs every tensor.
    pub(crate) fn load(from: &Origin<'_>, packs: &mut Packs) -> Result<Self, Error> {
        let Origin { config, layout, .. } = *from;
        let (in_attention, elsewhere) = arithmetic(config, from.precision);
        let mut finder = Finder { from, in_attention, elsewhere, packs };
        let (hidden, vocabulary) = (config.hidden, config.vocabulary);
        let [embedding_name, norm_name, head_name] = match layout {
            Layout::HuggingFace => {
                ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]
            }
            Layout::Gguf => ["token_embd.weight", "output_norm.weight", "output.weight"],
        };
        let table = finder.matrix(embedding_name, vocabulary, hidden)?;
        let norm = finder.vector(norm_name, hidden)?;
        let head = if config.tied {
            table.clone()
        } else {
            finder.matrix(head_name, vocabulary, hidden)?
        };
        let layers = (0..config.layers)
            .map(|layer| finder.layer(layer, config))
            .collect::<Result<_, _>>()?;
        let name = if config.tied { embedding_name } else { head_name };
        let head = Linear::pack(&[(name, head)], elsewhere, finder.packs, from.compute);
        Ok(Self { embedding: Embedding { table }, layers, norm, head })
    }

    /// Memory of packed weights, in bytes.
    pub fn packed_bytes(&self) -> usize {
        self.linears().map(Linear::bytes).sum()
    }

    /// What of them is in a mapped file, in bytes.
    pub fn mapped_bytes(&self) -> usize {
        self.linears().map(Linear::mapped_bytes).sum()
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(Layer::linears).chain([&self.head])
    }
}

/// How products are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Quantised weights with 8-bit activations (16 bits where a softmax follows, and everywhere in
    /// small models), keys and values in f16 or less.
    #[default]
    Auto,
    /// As [`Precision::Auto`] runs large models, whatever the size: to measure on a small model what
    /// a large one loses.
    Large,
    /// Weights decoded to f32, everything in f32: the numbers of the file, for comparisons.
    F32,
}

/// What weights are loaded from.
pub(crate) struct Origin<'a> {
    pub(crate) source: &'a dyn WeightSource,
    pub(crate) config: &'a Config,
    pub(crate) layout: Layout,
    /// The model, for messages.
    pub(crate) name: &'a str,
    pub(crate) precision: Precision,
    pub(crate) compute: &'a Compute,
}

struct Finder<'a> {
    from: &'a Origin<'a>,
    /// For the query, key and value projection.
    in_attention: Arithmetic,
    elsewhere: Arithmetic,
    packs: &'a mut Packs,
}

/// Models up to this width take 16-bit activations everywhere: they are quick anyway.
const SMALL_HIDDEN_MAX: usize = 1024;

/// How the query, key and value projection calculates, and how the others do. A softmax amplifies
/// what rounding does to queries and keys: half of all the error that 8-bit activations cause
/// comes from that one projection, a sixth of the work (measured in
/// `docs/decisions/activations.md`).
fn arithmetic(config: &Config, precision: Precision) -> (Arithmetic, Arithmetic) {
    match precision {
        Precision::F32 => (Arithmetic::Exact, Arithmetic::Exact),
        Precision::Auto if config.hidden <= SMALL_HIDDEN_MAX => {
            (Arithmetic::Fine, Arithmetic::Fine)
        }
        Precision::Auto | Precision::Large => (Arithmetic::Fine, Arithmetic::Fast),
    }
}

/// The names of a layer's projections: what may be stored fused, and its parts.
struct Names {
    norm: [&'static str; 2],
    qkv: (&'static str, [&'static str; 3]),
    output: &'static str,
    gate_up: (&'static str, [&'static str; 2]),
    down: &'static str,
}

const HUGGING_FACE: Names = Names {
    norm: ["input_layernorm", "post_attention_layernorm"],
    qkv: ("self_attn.qkv_proj", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    output: "self_attn.o_proj",
    gate_up: ("mlp.gate_up_proj", ["mlp.gate_proj", "mlp.up_proj"]),
    down: "mlp.down_proj",
};

/// `phi3` files keep gate and up together under the name of up.
const GGUF: Names = Names {
    norm: ["attn_norm", "ffn_norm"],
    qkv: ("attn_qkv", ["attn_q", "attn_k", "attn_v"]),
    output: "attn_output",
    gate_up: ("ffn_up", ["ffn_gate", "ffn_up"]),
    down: "ffn_down",
};

impl Finder<'_> {
    fn layer(&mut self, layer: usize, config: &Config) -> Result<Layer, Error> {
        let layout = self.from.layout;
        let names = match layout {
            Layout::HuggingFace => &HUGGING_FACE,
            Layout::Gguf => &GGUF,
        };
        let name = |part: &str| match layout {
            Layout::HuggingFace => format!("model.layers.{layer}.{part}.weight"),
            Layout::Gguf => format!("blk.{layer}.{part}.weight"),
        };
        for bias in [names.qkv.0, names.qkv.1[0], names.output] {
            let bias = name(bias).replace(".weight", ".bias");
            if self.from.source.tensor(&bias).is_some() {
                return Err(self.wrong(&bias, "is there; biases are not supported"));
            }
        }
        let (hidden, wide, dim) = (config.hidden, config.intermediate, config.head_dim);
        let (query, key) = (config.heads * dim, config.kv_heads * dim);
        let qkv = self.linear(
            &name(names.qkv.0),
            &names.qkv.1.map(&name),
            &[query, key, key],
            hidden,
            self.in_attention,
        )?;
        let gate_up = self.linear(
            &name(names.gate_up.0),
            &names.gate_up.1.map(&name),
            &[wide, wide],
            hidden,
            self.elsewhere,
        )?;
        let output = name(names.output);
        let down = name(names.down);
        Ok(Layer {
            attention_norm: self.vector(&name(names.norm[0]), hidden)?,
            qkv,
            output: self.linear(
                &output,
                std::slice::from_ref(&output),
                &[hidden],
                query,
                self.elsewhere,
            )?,
            mlp_norm: self.vector(&name(names.norm[1]), hidden)?,
            gate_up,
            down: self.linear(
                &down,
                std::slice::from_ref(&down),
                &[hidden],
                wide,
                self.elsewhere,
            )?,
        })
    }

    /// A projection stored as `fused`, or as `parts` when the first part is there.
    fn linear(
        &mut self,
        fused: &str,
        parts: &[String],
        rows: &[usize],
        columns: usize,
        arithmetic: Arithmetic,
    ) -> Result<Linear, Error> {
        let separate = self.from.source.tensor(&parts[0]).is_some();
        let tensors = if separate && parts.len() == rows.len() {
            let each = parts.iter().zip(rows);
            each.map(|(name, rows)| Ok((name.as_str(), self.matrix(name, *rows, columns)?)))
                .collect::<Result<Vec<_>, Error>>()?
        } else {
            vec![(fused, self.matrix(fused, rows.iter().sum(), columns)?)]
        };
        Ok(Linear::pack(&tensors, arithmetic, self.packs, self.from.compute))
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Tensor, Error> {
        self.find(name, &[rows, columns])
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        Ok(self.find(name, &[len])?.to_f32())
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let Some(tensor) = self.from.source.tensor(name) else {
            return Err(self.wrong(name, "is missing; is the download complete?"));
        };
        if tensor.shape != shape {
            let problem = format!(
                "has shape {:?}, the configuration says {shape:?}; do the files belong together?",
                tensor.shape
            );
            return Err(self.wrong(name, problem));
        }
        Ok(tensor)
    }

    fn wrong(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Tensor {
            origin: self.from.name.to_owned(),
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}
