//! How fast a model could be on this machine at best: what `bench` and `doctor` measure against.

use std::time::Instant;

use phial_formats::TensorInfo;
use phial_kernels::packed::Form;
use phial_kernels::probe::{self, Memory};
use phial_kernels::{Pool, Tier};

use crate::memory;

/// Memory that is read to find its bandwidth, in bytes: more than any cache holds.
const PROBE_BYTES: u64 = 512 << 20;

/// Where memory is short, one part of so many is taken.
const SHARE_OF_AVAILABLE: u64 = 4;

/// What the machine gives at best, measured.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Bytes per second that all threads read from memory.
    pub bandwidth: f64,
    /// Bytes per second that one thread alone reads.
    pub bandwidth_of_one: f64,
    /// Multiply-accumulates per second of quantised weights with 8-bit activations.
    pub dot: f64,
    /// Multiply-accumulates per second of 32-bit floats, for weights that are floats.
    pub float: f64,
}

impl Ceilings {
    /// Measures for about a second.
    pub fn measure(pool: &Pool, tier: Tier) -> Self {
        let start = Instant::now();
        let clock = || start.elapsed();
        let spare = memory::available_bytes().unwrap_or(u64::MAX) / SHARE_OF_AVAILABLE;
        let memory = Memory::touched(PROBE_BYTES.min(spare) as usize, pool);
        let bandwidth = memory.bandwidth(pool, tier, &clock);
        Self {
            bandwidth,
            bandwidth_of_one: match pool.threads() {
                1 => bandwidth,
                _ => memory.bandwidth(&Pool::new(1), tier, &clock),
            },
            dot: probe::dot_peak(pool, tier, &clock),
            float: probe::float_peak(pool, tier, &clock),
        }
    }

    /// Seconds that so many multiply-accumulates take at least.
    fn seconds(&self, macs: Macs, times: f64) -> f64 {
        times * (macs.dot as f64 / self.dot + macs.float as f64 / self.float)
    }
}

/// Multiply-accumulates, by what makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macs {
    /// With quantised weights.
    pub dot: u64,
    /// With weights that are floats.
    pub float: u64,
}

impl Macs {
    fn add(&mut self, quantized: bool, count: u64) {
        if quantized {
            self.dot += count;
        } else {
            self.float += count;
        }
    }
}

/// What a token costs: each weight is multiplied once. Attention is not counted, and neither is
/// that some projections take 16-bit activations, two products for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// For every token.
    pub layers: Macs,
    /// For every token whose logits are wanted: the last of a prompt, and all generated ones.
    pub head: Macs,
}

impl Work {
    /// Of a model with these tensors, under the names of either layout. `tied`: the head is the
    /// embedding.
    pub fn of<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>, tied: bool) -> Self {
        let mut work = Self::default();
        for info in tensors {
            let [rows, columns] = info.shape[..] else { continue };
            let macs = match place(&info.name, tied) {
                Place::Layer => &mut work.layers,
                Place::Head => &mut work.head,
                Place::Unused => continue,
            };
            macs.add(Form::of(info.dtype).span().is_some(), (rows * columns) as u64);
        }
        work
    }

    /// Tokens per second that a prompt of `tokens` is read with at best.
    pub fn prefill(&self, ceilings: &Ceilings, tokens: usize) -> f64 {
        let seconds =
            ceilings.seconds(self.layers, tokens as f64) + ceilings.seconds(self.head, 1.0);
        tokens as f64 / seconds
    }

    /// Tokens per second that `streams` sequences generate together at best, when a step reads
    /// `bytes`: memory is the limit, or with many sequences the products are.
    pub fn decode(&self, ceilings: &Ceilings, streams: usize, bytes: f64) -> f64 {
        let streams = streams as f64;
        let products =
            ceilings.seconds(self.layers, streams) + ceilings.seconds(self.head, streams);
        streams / products.max(bytes / ceilings.bandwidth)
    }
}

/// What a matrix is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Layer,
    Head,
    /// The embedding of a model with a head of its own: one row is read, none multiplied; or a
    /// head that is stored although the embedding is used.
    Unused,
}

/// The place of a matrix under its name in either layout.
pub fn place(name: &str, tied: bool) -> Place {
    match name {
        "token_embd.weight" | "model.embed_tokens.weight" if tied => Place::Head,
        "output.weight" | "lm_head.weight" if !tied => Place::Head,
        "token_embd.weight" | "model.embed_tokens.weight" | "output.weight" | "lm_head.weight" => {
            Place::Unused
        }
        _ => Place::Layer,
    }
}

#[cfg(test)]
mod tests {
    use phial_tensor::DType;

    use super::*;

    const CEILINGS: Ceilings =
        Ceilings { bandwidth: 1e9, bandwidth_of_one: 1e9, dot: 1e9, float: 1e8 };

    fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.to_owned(), dtype, shape: shape.to_vec() }
    }

    #[test]
    fn weights_count_where_they_are_multiplied() {
        let tensors = [
            info("token_embd.weight", DType::Q6_K, &[100, 256]),
            info("blk.0.attn_norm.weight", DType::F32, &[256]),
            info("blk.0.ffn_up.weight", DType::Q4_K, &[10, 256]),
            info("blk.0.ffn_down.weight", DType::BF16, &[20, 256]),
        ];
        let work = Work::of(&tensors, true);
        assert_eq!(work.layers, Macs { dot: 2560, float: 5120 });
        assert_eq!(work.head, Macs { dot: 25_600, float: 0 });
        let work = Work::of(&tensors, false);
        assert_eq!(work.head, Macs::default());
        assert_eq!(place("lm_head.weight", false), Place::Head);
        assert_eq!(place("lm_head.weight", true), Place::Unused);
    }

    #[test]
    fn a_prompt_needs_the_head_once_and_generation_always() {
        let work = Work {
            layers: Macs { dot: 1_000_000, float: 0 },
            head: Macs { dot: 0, float: 1_000_000 },
        };
        // 10 ms for the layers of ten tokens, 10 ms for one head.
        assert!((work.prefill(&CEILINGS, 10) - 500.0).abs() < 1e-6);
        // A step of 11 ms of products against one of 20 ms of reading.
        assert!((work.decode(&CEILINGS, 1, 20e6) - 50.0).abs() < 1e-6);
        assert!((work.decode(&CEILINGS, 1, 1e6) - 1000.0 / 11.0).abs() < 1e-6);
        assert!((work.decode(&CEILINGS, 4, 20e6) - 4000.0 / 44.0).abs() < 1e-6);
    }
}
