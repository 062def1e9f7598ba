//! The blueprint: sizes and constants of a decoder, from a `config.json` or from GGUF metadata.

mod gguf;
mod json;

use crate::batch::Regime;
use crate::error::Error;
use crate::kv::{F16_CACHE_BYTES_MAX, KvElement, KvLayout, KvPool};

pub(crate) use json::read as read_json;

/// Limits on what a file may claim; beyond them it is broken or hostile.
const LAYERS_MAX: usize = 1024;
const WIDTH_MAX: usize = 1 << 20;
const CONTEXT_MAX: usize = 1 << 24;

/// The names under which a file keeps its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Hugging Face safetensors.
    HuggingFace,
    /// GGUF.
    Gguf,
}

/// How rotated elements pair up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// `(i, i + n/2)`: Hugging Face models and `phi3` GGUF files.
    Halves,
    /// `(2i, 2i + 1)`: `llama` GGUF files, whose rows are permuted for it.
    Neighbours,
}

/// What divides the rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Nothing.
    None,
    /// One factor per frequency, for every length.
    Factors(Vec<f32>),
    /// LongRoPE (arXiv 2402.13753): one set up to the original context, another beyond.
    Long {
        /// Up to `original_context` tokens.
        short: Vec<f32>,
        /// Beyond.
        long: Vec<f32>,
        /// In tokens.
        original_context: usize,
        /// Multiplies cosine and sine at every length.
        attention_factor: f32,
    },
}

/// Rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Rotated elements of each head: the first `dims`, an even number.
    pub dims: usize,
    /// Base of the frequencies.
    pub theta: f32,
    /// How elements pair up.
    pub pairs: RopePairs,
    /// What divides the frequencies.
    pub scaling: RopeScaling,
}

/// Sizes and constants of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `phi3` or `llama`.
    pub architecture: String,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements per head.
    pub head_dim: usize,
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Longest sequence, in tokens.
    pub context_max: usize,
    /// Added to the mean square in RMSNorm.
    pub norm_epsilon: f32,
    /// Whether the head is the embedding.
    pub tied: bool,
    /// Rotary embedding.
    pub rope: Rope,
}

impl Config {
    /// From the metadata of a GGUF file.
    ///
    /// # Errors
    /// An architecture other than `phi3` and `llama`, or sizes that make no sense.
    pub fn from_gguf(file: &phial_formats::Gguf, origin: &str) -> Result<Self, Error> {
        gguf::read(file, origin)?.checked(origin)
    }

    /// From the text of a `config.json`.
    ///
    /// # Errors
    /// As [`Config::from_gguf`].
    pub fn from_json(text: &str, origin: &str) -> Result<Self, Error> {
        read_json(text, origin)?.checked(origin)
    }

    /// Rows of the fused query, key and value projection.
    pub fn qkv_rows(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// How keys and values are stored when nobody decides: in f16 while so many tokens stay within
    /// [`F16_CACHE_BYTES_MAX`], then in 8 bits.
    pub fn default_kv(&self, context_tokens: usize) -> KvLayout {
        let Self { layers, kv_heads, head_dim, .. } = *self;
        let halves = KvLayout { layers, kv_heads, head_dim, element: KvElement::F16 };
        let blocks = context_tokens.div_ceil(KvPool::BLOCK_TOKENS);
        let long = blocks.saturating_mul(halves.block_bytes()) > F16_CACHE_BYTES_MAX;
        let codes = long && KvElement::Int8.fits(head_dim);
        let element = if codes { KvElement::Int8 } else { KvElement::F16 };
        KvLayout { element, ..halves }
    }

    /// The regime of a sequence of `total_tokens`.
    pub fn regime(&self, total_tokens: usize) -> Regime {
        match &self.rope.scaling {
            RopeScaling::Long { original_context, .. } if total_tokens > *original_context => {
                Regime::Long
            }
            _ => Regime::Short,
        }
    }

    /// Parameters, counted once where the head is tied.
    pub fn parameters(&self) -> u64 {
        let (hidden, wide) = (self.hidden as u64, self.intermediate as u64);
        let attention = hidden * (self.qkv_rows() + self.heads * self.head_dim) as u64;
        let layer = attention + 3 * hidden * wide + 2 * hidden;
        let embeddings = if self.tied { 1 } else { 2 };
        embeddings * self.vocabulary as u64 * hidden + self.layers as u64 * layer + hidden
    }

    fn checked(self, origin: &str) -> Result<Self, Error> {
        let within = [
            ("layers", self.layers, LAYERS_MAX),
            ("hidden size", self.hidden, WIDTH_MAX),
            ("intermediate size", self.intermediate, WIDTH_MAX),
            ("attention heads", self.heads, WIDTH_MAX),
            ("key/value heads", self.kv_heads, self.heads),
            ("head size", self.head_dim, phial_kernels::attention::HEAD_DIM_MAX),
            ("vocabulary", self.vocabulary, CONTEXT_MAX),
            ("context length", self.context_max, CONTEXT_MAX),
        ];
        for (name, value, limit) in within {
            if value == 0 || value > limit {
                let problem = format!("{name} is {value}; supported are 1 to {limit}");
                return Err(Error::config(origin, problem));
            }
        }
        let mut problem = None;
        if !self.heads.is_multiple_of(self.kv_heads) {
            problem = Some(format!("{} heads do not share {}", self.heads, self.kv_heads));
        } else if !self.head_dim.is_multiple_of(16) {
            problem = Some(format!("head size {} is not a multiple of 16", self.head_dim));
        } else if !self.norm_epsilon.is_finite() || self.norm_epsilon < 0.0 {
            problem = Some(format!("norm epsilon {} is not a small number", self.norm_epsilon));
        } else if let Some(wrong) = self.rope.problem(self.head_dim) {
            problem = Some(wrong);
        }
        problem.map_or(Ok(self), |problem| Err(Error::config(origin, problem)))
    }
}

impl Rope {
    fn problem(&self, head_dim: usize) -> Option<String> {
        let pairs = self.dims / 2;
        if self.dims == 0 || !self.dims.is_multiple_of(2) || self.dims > head_dim {
            return Some(format!("{} rotary dimensions of a head of {head_dim}", self.dims));
        }
        if !(self.theta.is_finite() && self.theta > 0.0) {
            return Some(format!("rotary base {} is not a positive number", self.theta));
        }
        let wrong = |name: &str, factors: &[f32]| {
            if factors.len() != pairs {
                return Some(format!("{name} has {} factors, expected {pairs}", factors.len()));
            }
            let bad = factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0));
            bad.map(|factor| format!("{name} holds {factor}, expected positive numbers"))
        };
        match &self.scaling {
            RopeScaling::None => None,
            RopeScaling::Factors(factors) => wrong("rope factors", factors),
            RopeScaling::Long { short, long, attention_factor, .. } => {
                let factor = !(attention_factor.is_finite() && *attention_factor > 0.0);
                wrong("short_factor", short)
                    .or_else(|| wrong("long_factor", long))
                    .or_else(|| factor.then(|| format!("attention factor {attention_factor}")))
            }
        }
    }
}

/// LongRoPE's attention factor where the file gives none: `sqrt(1 + ln(scale) / ln(original))`
/// with `scale = context / original` (1 when the context was not extended).
fn attention_factor(context: usize, original: usize) -> f32 {
    if context <= original || original < 2 {
        return 1.0;
    }
    let scale = context as f64 / original as f64;
    (1.0 + scale.ln() / (original as f64).ln()).sqrt() as f32
}
