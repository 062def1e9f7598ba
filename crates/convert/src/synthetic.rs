//! Files of a real model's shape with random weights: for capacity planning, benchmarks and tests
//! without a download.

use std::path::Path;

use phial_formats::TensorInfo;
use phial_formats::gguf::Writer;
use phial_kernels::Pool;
use phial_model::{Config, Rope, RopePairs, RopeScaling};
use phial_tensor::{DType, quant};
use phial_text::{Tokenizer, Vocabulary};

use crate::error::Error;
use crate::plan::{
    Plan, PlannedTensor, RowOrder, describe, describe_encoding, encoding, rope_tensors,
};
use crate::recipe::Recipe;
use crate::vocabulary::vocabulary_into;
use crate::write::write_tensor;

/// The factors of Phi-4-mini beyond 4,096 tokens (its published `config.json`).
const LONG_FACTORS: [f32; 48] = [
    1.0,
    1.118_320_7,
    1.250_641_1,
    1.398_617_9,
    1.564_103_2,
    1.749_169,
    1.956_131_8,
    2.187_582_7,
    2.446_419,
    2.735_880_9,
    3.059_592,
    3.421_605,
    3.826_451_8,
    4.279_2,
    4.785_518,
    5.351_743_7,
    5.984_965_3,
    6.693_110_5,
    7.485_044,
    8.370_679,
    9.361_104,
    10.468_716,
    11.707_381,
    13.092_607,
    14.641_733,
    16.374_153,
    18.311_552,
    20.478_188,
    22.901_182,
    25.610_865,
    28.641_16,
    32.03,
    32.1,
    32.13,
    32.23,
    32.6,
    32.61,
    32.64,
    32.66,
    32.7,
    32.71,
    32.93,
    32.97,
    33.28,
    33.49,
    33.5,
    44.16,
    47.77,
];

/// Tokens of the nano vocabulary before the control tokens.
const NANO_TOKENS: usize = 8000;

/// Blocks that the random weights of a large tensor are drawn from.
const BLOCKS: usize = 1024;

/// A tensor of at most so many blocks draws none twice: rows of the nano embedding are one block
/// each, and two equal rows would be two tokens that no logit tells apart.
const OWN_BLOCKS_MAX: usize = 16_384;

/// The published chat template.
const TEMPLATE: &str = "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}";

/// A shape to fill with random weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Phi-4-mini's own shape and vocabulary.
    Phi4Mini,
    /// The same family in a few megabytes: 4 narrow layers, the first 8,000 tokens of the
    /// vocabulary and its control tokens.
    Phi4MiniNano,
}

impl Preset {
    /// The preset of that name.
    ///
    /// # Errors
    /// When there is none; the message lists them.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "phi-4-mini" => Ok(Self::Phi4Mini),
            "phi-4-mini-nano" => Ok(Self::Phi4MiniNano),
            _ => Err(Error::Other(format!(
                "no preset is named {name:?}; there are phi-4-mini, phi-4-mini-nano"
            ))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Phi4Mini => "phi-4-mini, random weights",
            Self::Phi4MiniNano => "phi-4-mini-nano, random weights",
        }
    }

    fn vocabulary(self) -> Vocabulary {
        let full = Tokenizer::phi4().to_vocabulary(200_064);
        match self {
            Self::Phi4Mini => full,
            Self::Phi4MiniNano => first_tokens(full),
        }
    }

    fn config(self, vocabulary: usize) -> Config {
        let (hidden, intermediate, layers, heads, kv_heads, head_dim) = match self {
            Self::Phi4Mini => (3072, 8192, 32, 24, 8, 128),
            Self::Phi4MiniNano => (256, 512, 4, 4, 2, 64),
        };
        let dims = head_dim * 3 / 4;
        let long = (0..dims / 2).map(|i| LONG_FACTORS[i * 96 / dims]).collect();
        Config {
            architecture: "phi3".to_owned(),
            hidden,
            intermediate,
            layers,
            heads,
            kv_heads,
            head_dim,
            vocabulary,
            context_max: 131_072,
            norm_epsilon: 1e-5,
            tied: true,
            rope: Rope {
                dims,
                theta: 10_000.0,
                pairs: RopePairs::Halves,
                scaling: RopeScaling::Long {
                    short: vec![1.0; dims / 2],
                    long,
                    original_context: 4096,
                    attention_factor: 1.190_238,
                },
            },
        }
    }
}

/// Ordinary tokens up to a limit, then all control tokens, with new ids.
fn first_tokens(full: Vocabulary) -> Vocabulary {
    let is_added = |kind: &i32| *kind == 3 || *kind == 4;
    let mut tokens: Vec<String> = full.tokens[..NANO_TOKENS].to_vec();
    let mut token_types = full.token_types[..NANO_TOKENS].to_vec();
    let mut end_of_text = None;
    for (id, (token, kind)) in full.tokens.iter().zip(&full.token_types).enumerate() {
        if id >= NANO_TOKENS && is_added(kind) {
            if full.eos == Some(id as u32) {
                end_of_text = Some(tokens.len() as u32);
            }
            tokens.push(token.clone());
            token_types.push(*kind);
        }
    }
    // Merge number i makes token 256 + i.
    let merges = full.merges[..NANO_TOKENS - 256].to_vec();
    let id = end_of_text;
    Vocabulary { tokens, token_types, merges, bos: id, eos: id, unknown: id, padding: id, ..full }
}

/// Writes a file of `preset`'s shape. The weights come from `seed` and are the same on every
/// machine. `progress` hears of bytes written and of the whole.
///
/// # Errors
/// When the file cannot be written.
pub fn synthesise(
    path: &Path,
    preset: Preset,
    recipe: &Recipe,
    seed: u64,
    pool: &Pool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    let vocabulary = preset.vocabulary();
    let config = preset.config(vocabulary.tokens.len());
    let mut metadata = describe(&config, preset.name());
    describe_encoding(&mut metadata, recipe);
    vocabulary_into(&vocabulary, &mut metadata);
    metadata.set("tokenizer.chat_template", TEMPLATE);
    let mut tensors = rope_tensors(&config);
    tensors.extend(shapes(&config).into_iter().map(|(name, shape)| {
        let dtype = encoding(&name, &shape, DType::F32, (recipe, config.layers, true));
        PlannedTensor {
            info: TensorInfo { name, dtype, shape },
            source: None,
            values: Vec::new(),
            order: RowOrder::Same,
        }
    }));
    let plan = Plan { metadata, tensors };
    let mut writer = Writer::create(path, &plan.metadata, &plan.infos())?;
    let total = writer.total_bytes();
    let mut done = 0;
    for (index, tensor) in plan.tensors.iter().enumerate() {
        if tensor.values.is_empty() {
            fill(&mut writer, &tensor.info, seed.wrapping_add(index as u64), pool)?;
        } else {
            write_tensor(&mut writer, tensor, None, pool)?;
        }
        done += tensor.info.data_bytes().unwrap_or(0) as u64;
        progress(done, total);
    }
    Ok(writer.finish()?)
}

fn shapes(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (hidden, wide) = (config.hidden, config.intermediate);
    let query = config.heads * config.head_dim;
    let mut shapes = vec![("token_embd.weight".to_owned(), vec![config.vocabulary, hidden])];
    for layer in 0..config.layers {
        let parts: [(&str, Vec<usize>); 6] = [
            ("attn_norm", vec![hidden]),
            ("attn_qkv", vec![config.qkv_rows(), hidden]),
            ("attn_output", vec![hidden, query]),
            ("ffn_norm", vec![hidden]),
            ("ffn_up", vec![2 * wide, hidden]),
            ("ffn_down", vec![hidden, wide]),
        ];
        shapes.extend(parts.map(|(part, shape)| (format!("blk.{layer}.{part}.weight"), shape)));
    }
    shapes.push(("output_norm.weight".to_owned(), vec![hidden]));
    shapes
}

/// Random weights: norms of one, matrices of variance `1 / columns`, whose blocks are drawn from
/// a table of encoded ones.
fn fill(writer: &mut Writer, info: &TensorInfo, seed: u64, pool: &Pool) -> Result<(), Error> {
    let [rows, columns] = info.shape[..] else {
        let ones: Vec<u8> = (0..info.shape[0]).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
        return Ok(writer.append(&info.name, &ones)?);
    };
    let block_len = info.dtype.block_len().max(32);
    let block_bytes = info.dtype.row_bytes(block_len).expect("a block is a whole block");
    let deviation = (columns as f32).powf(-0.5);
    let mut random = Random(seed);
    let row_bytes = info.dtype.row_bytes(columns).expect("the recipe fits the rows");
    let whole = row_bytes / block_bytes * block_bytes;
    let total = rows * whole / block_bytes;
    let has_own = total <= OWN_BLOCKS_MAX;
    let blocks = if has_own { total.max(1) } else { BLOCKS };
    let values: Vec<f32> = (0..blocks * block_len).map(|_| random.normal() * deviation).collect();
    let mut table = vec![0; blocks * block_bytes];
    let parts: Vec<_> = table.chunks_mut(block_bytes).zip(values.chunks(block_len)).collect();
    pool.for_each(parts, |(out, values)| quant::encode(info.dtype, values, out));
    let mut piece = Vec::new();
    for row in 0..rows {
        let per_row = whole / block_bytes;
        for index in 0..per_row {
            let block =
                if has_own { row * per_row + index } else { random.next() as usize % blocks };
            piece.extend_from_slice(&table[block * block_bytes..][..block_bytes]);
        }
        piece.extend_from_slice(&table[..row_bytes - whole]);
        if piece.len() > 16 << 20 || row + 1 == rows {
            writer.append(&info.name, &piece)?;
            piece.clear();
        }
    }
    Ok(())
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Nearly normal: the sum of twelve uniform numbers less six.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32).sum::<f32>() - 6.0
    }
}
