//! `phial bench`

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, ensure};
use phial_formats::{ModelFile, WeightSource};
use phial_model::{Batch, BlockId, Forward, KvPool, Model, Outputs, Precision, Scratch, Span};
use serde_json::json;

use super::ceilings::{Ceilings, Work};
use super::system;
use crate::bundle::Bundle;
use crate::locate::{Located, locate};
use crate::{cli, memory};

/// Tokens that are read at once.
const CHUNK_TOKENS: usize = 512;

/// Tokens that warm caches and the pool before anything is measured.
const WARM_UP_TOKENS: usize = 64;

/// Steps of generation that do the same for it.
const WARM_UP_STEPS: usize = 2;

pub fn run(arguments: &cli::Bench) -> Result<()> {
    let located = locate(arguments.model.model.as_deref(), arguments.model.offline)?;
    let start = Instant::now();
    let mut bundle = Bundle::load(&located.path, Precision::Auto, &arguments.model)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let tokens = arguments.depth.max(arguments.prompt) + arguments.generate;
    bundle.model.choose_kv(arguments.model.kv_element(), tokens)?;
    let model = &bundle.model;
    ensure!(arguments.streams >= 1, "--streams is 0; at least one sequence generates");
    ensure!(
        tokens <= model.context_max(),
        "{tokens} tokens, but the context ends at {}",
        model.context_max()
    );
    let compute = model.compute();
    let ceilings = Ceilings::measure(&compute.pool, compute.tier);
    let mut bench = Prepared::new(model, arguments.streams, tokens);
    bench.prefill(arguments.prompt.min(WARM_UP_TOKENS));
    let prefill =
        Speeds::measure(arguments.repeat, arguments.prompt, || bench.prefill(arguments.prompt));
    bench.fill(arguments.depth, arguments.prompt);
    bench.decode(arguments.depth, arguments.generate.min(WARM_UP_STEPS));
    let generated = arguments.generate * arguments.streams;
    let decode = Speeds::measure(arguments.repeat, generated, || {
        bench.decode(arguments.depth, arguments.generate)
    });
    let work = Work::of(ModelFile::open(&located.path)?.tensors(), model.config().tied);
    let outcome = Outcome {
        located: &located,
        model,
        load_seconds,
        anonymous_bytes: anonymous_bytes(),
        kv_bytes: (bench.kv.block_count() * bench.kv.layout().block_bytes()) as u64,
        ceilings,
        prefill_ceiling: work.prefill(&ceilings, arguments.prompt),
        decode_ceiling: work.decode(&ceilings, arguments.streams, step_bytes(model, arguments)),
        prefill,
        decode,
    };
    let mut out = std::io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", outcome.json(arguments))?;
    } else {
        outcome.write(arguments, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// Bytes that one step of generation reads: all packed weights, and the keys and values of every
/// sequence, in the middle of the run.
fn step_bytes(model: &Model, arguments: &cli::Bench) -> f64 {
    let positions = arguments.depth as f64 + (arguments.generate as f64 + 1.0) / 2.0;
    let position_bytes = model.kv_layout().block_bytes() as f64 / KvPool::BLOCK_TOKENS as f64;
    model.packed_bytes() as f64 + arguments.streams as f64 * positions * position_bytes
}

/// Resident memory that belongs to no file. `None` where the system does not tell. Pages of mapped
/// files count for nobody: they can be given back.
fn anonymous_bytes() -> Option<u64> {
    system::bytes_of(&system::read("/proc/self/status")?, "RssAnon:")
}

/// Speeds of several runs of the same work, in tokens per second.
struct Speeds {
    runs: Vec<f64>,
    sorted: Vec<f64>,
}

impl Speeds {
    /// Runs `work` as often as `repeat` says; it returns the seconds that `tokens` took.
    fn measure(repeat: u16, tokens: usize, mut work: impl FnMut() -> f64) -> Self {
        let speed = |seconds: f64| if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
        Self::of((0..repeat.max(1)).map(|_| speed(work())).collect())
    }

    fn of(runs: Vec<f64>) -> Self {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        Self { runs, sorted }
    }

    fn minimum(&self) -> f64 {
        self.sorted[0]
    }

    fn maximum(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    fn median(&self) -> f64 {
        let (last, half) = (self.sorted.len() - 1, self.sorted.len() / 2);
        f64::midpoint(self.sorted[last - half], self.sorted[half])
    }

    /// The median's share of `ceiling`; `None` when nothing was measured.
    fn share(&self, ceiling: f64) -> Option<f64> {
        let share = self.median() / ceiling;
        (share > 0.0 && share.is_finite()).then_some(share)
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "minimum": self.minimum(),
            "median": self.median(),
            "maximum": self.maximum(),
            "each": self.runs,
        })
    }
}

/// What was measured.
struct Outcome<'a> {
    located: &'a Located,
    model: &'a Model,
    load_seconds: f64,
    anonymous_bytes: Option<u64>,
    /// Memory of keys and values.
    kv_bytes: u64,
    ceilings: Ceilings,
    /// Tokens per second.
    prefill_ceiling: f64,
    /// Tokens per second.
    decode_ceiling: f64,
    prefill: Speeds,
    decode: Speeds,
}

impl Outcome<'_> {
    /// Resident memory beside packed weights, keys and values: program, vocabulary, buffers.
    fn overhead_bytes(&self) -> Option<u64> {
        let weights = self.model.packed_bytes() - self.model.mapped_bytes();
        self.anonymous_bytes?.checked_sub(weights as u64 + self.kv_bytes)
    }

    fn json(&self, arguments: &cli::Bench) -> serde_json::Value {
        let compute = self.model.compute();
        json!({
            "model": self.located.name,
            "threads": compute.pool.threads(),
            "tier": compute.tier.name(),
            "load_seconds": self.load_seconds,
            "packed_bytes": self.model.packed_bytes(),
            "overhead_bytes": self.overhead_bytes(),
            "anonymous_bytes": self.anonymous_bytes,
            "kv_bytes": self.kv_bytes,
            "mapped_bytes": self.model.mapped_bytes(),
            "prompt_tokens": arguments.prompt,
            "generated_tokens": arguments.generate,
            "depth": arguments.depth,
            "streams": arguments.streams,
            "bandwidth_bytes_per_second": self.ceilings.bandwidth,
            "dot_macs_per_second": self.ceilings.dot,
            "float_macs_per_second": self.ceilings.float,
            "decode_step_bytes": step_bytes(self.model, arguments),
            "prefill_ceiling_tokens_per_second": finite(self.prefill_ceiling),
            "decode_ceiling_tokens_per_second": finite(self.decode_ceiling),
            "prefill_tokens_per_second": self.prefill.median(),
            "decode_tokens_per_second": self.decode.median(),
            "prefill_share": self.prefill.share(self.prefill_ceiling),
            "decode_share": self.decode.share(self.decode_ceiling),
            "runs": { "prefill": self.prefill.json(), "decode": self.decode.json() },
        })
    }

    fn write(&self, arguments: &cli::Bench, out: &mut impl Write) -> Result<()> {
        let compute = self.model.compute();
        let (name, threads) = (&self.located.name, compute.pool.threads());
        writeln!(out, "{name} on {threads} threads, {}", compute.tier)?;
        writeln!(
            out,
            "machine  {:8.1} GB/s of memory, {:.0} G multiply-adds/s of codes, {:.0} G/s of floats",
            self.ceilings.bandwidth / 1e9,
            self.ceilings.dot / 1e9,
            self.ceilings.float / 1e9
        )?;
        let packed = memory::show(self.model.packed_bytes() as u64);
        let overhead = self.overhead_bytes().map_or_else(
            || "unknown beside them".to_owned(),
            |bytes| format!("{} beside them, keys and values", memory::show(bytes)),
        );
        writeln!(out, "load     {:8.2} s, {packed} of weights, {overhead}", self.load_seconds)?;
        let prompt = format!("{} tokens", arguments.prompt);
        write_speed(out, "prefill", &self.prefill, self.prefill_ceiling, &prompt)?;
        let streams = match arguments.streams {
            1 => String::new(),
            streams => format!(", {streams} at once"),
        };
        let generated = format!("{} tokens after {}{streams}", arguments.generate, arguments.depth);
        write_speed(out, "decode", &self.decode, self.decode_ceiling, &generated)?;
        writeln!(
            out,
            "Ceilings: products of the linear layers alone (no attention); bytes of weights, keys \
             and values per step. A model that fits into the caches can exceed the second."
        )?;
        Ok(())
    }
}

fn write_speed(
    out: &mut impl Write,
    what: &str,
    speeds: &Speeds,
    ceiling: f64,
    of: &str,
) -> std::io::Result<()> {
    write!(out, "{what:8} {:8.1} tokens/s ({of})", speeds.median())?;
    if speeds.runs.len() > 1 {
        let (minimum, maximum) = (speeds.minimum(), speeds.maximum());
        write!(out, ", {minimum:.1} to {maximum:.1} in {} runs", speeds.runs.len())?;
    }
    match speeds.share(ceiling) {
        Some(share) => writeln!(out, ", {:.0} % of the ceiling of {ceiling:.1}", share * 100.0),
        None => writeln!(out),
    }
}

fn finite(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// Sequences with room for all tokens.
struct Prepared<'a> {
    model: &'a Model,
    kv: KvPool,
    scratch: Scratch,
    blocks: Vec<Vec<BlockId>>,
}

impl<'a> Prepared<'a> {
    fn new(model: &'a Model, streams: usize, tokens: usize) -> Self {
        let each = tokens.div_ceil(KvPool::BLOCK_TOKENS).max(1);
        let ids = |stream: usize| (stream * each..(stream + 1) * each).map(|id| BlockId(id as u32));
        Self {
            model,
            kv: KvPool::new(model.kv_layout(), streams * each),
            scratch: Scratch::new(),
            blocks: (0..streams).map(|stream| ids(stream).collect()).collect(),
        }
    }

    fn token(&self, position: usize) -> u32 {
        (position * 7919 % self.model.vocabulary()) as u32
    }

    /// Seconds that a prompt takes, with the logits of its last token.
    fn prefill(&mut self, tokens: usize) -> f64 {
        let start = Instant::now();
        self.read(0, tokens);
        start.elapsed().as_secs_f64()
    }

    /// Puts `depth` tokens into the cache of every sequence, after a prompt of `prompt` tokens was
    /// read into that of the first one.
    fn fill(&mut self, depth: usize, prompt: usize) {
        let is_there = prompt == depth;
        for stream in usize::from(is_there)..self.blocks.len() {
            self.read(stream, depth);
        }
    }

    fn read(&mut self, stream: usize, tokens: usize) {
        let ids: Vec<_> = (0..tokens).map(|position| self.token(position)).collect();
        for (index, chunk) in ids.chunks(CHUNK_TOKENS).enumerate() {
            let first = index * CHUNK_TOKENS;
            let last = first + chunk.len() == tokens;
            let span = Span {
                tokens: chunk,
                start: first,
                blocks: &self.blocks[stream],
                regime: self.model.rope_regime(tokens),
                adapter: None,
                outputs: if last { Outputs::Last(1) } else { Outputs::None },
            };
            self.model.forward(&Batch { spans: &[span] }, &mut self.kv, &mut self.scratch);
        }
    }

    /// Seconds that generating takes, all sequences one token a step, after `depth` tokens that
    /// are in the cache; what it adds there the next run overwrites.
    fn decode(&mut self, depth: usize, tokens: usize) -> f64 {
        let regime = self.model.rope_regime(depth + tokens);
        let start = Instant::now();
        for position in depth..depth + tokens {
            let token = [self.token(position)];
            let span = |blocks| Span {
                tokens: &token,
                start: position,
                blocks,
                regime,
                adapter: None,
                outputs: Outputs::Last(1),
            };
            let spans: Vec<_> = self.blocks.iter().map(|blocks| span(blocks)).collect();
            self.model.forward(&Batch { spans: &spans }, &mut self.kv, &mut self.scratch);
        }
        start.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_the_runs_is_told() {
        let odd = Speeds::of(vec![5.0, 1.0, 3.0]);
        assert_eq!((odd.minimum(), odd.median(), odd.maximum()), (1.0, 3.0, 5.0));
        assert_eq!(odd.share(6.0), Some(0.5));
        assert_eq!(Speeds::of(vec![4.0, 1.0, 2.0, 8.0]).median(), 3.0);
        assert_eq!(Speeds::of(vec![7.0]).median(), 7.0);
        assert_eq!(Speeds::of(vec![0.0]).share(f64::NAN), None);
    }
}
