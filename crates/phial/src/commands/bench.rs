//! `phial bench`

use std::time::Instant;

use anyhow::{Result, ensure};
use phial_model::{Batch, BlockId, Forward, KvPool, Model, Outputs, Precision, Scratch, Span};

use crate::bundle::Bundle;
use crate::cli;
use crate::locate::locate;

/// Tokens that are read at once.
const CHUNK_TOKENS: usize = 512;

pub fn run(arguments: &cli::Bench) -> Result<()> {
    let located = locate(arguments.model.model.as_deref(), arguments.model.offline)?;
    let start = Instant::now();
    let bundle = Bundle::load(&located.path, Precision::Auto, arguments.model.threads)?;
    let load_seconds = start.elapsed().as_secs_f64();
    let model = &bundle.model;
    let tokens = arguments.depth.max(arguments.prompt) + arguments.generate;
    ensure!(arguments.streams >= 1, "--streams is 0; at least one sequence generates");
    ensure!(
        tokens <= model.context_max(),
        "{tokens} tokens, but the context ends at {}",
        model.context_max()
    );
    let mut bench = Prepared::new(model, arguments.streams, tokens);
    // The first run warms caches and the pool.
    bench.prefill(arguments.prompt.min(64));
    let prefill = bench.prefill(arguments.prompt);
    let decode = bench.decode(arguments.depth, arguments.generate);
    let speed =
        |tokens: usize, seconds: f64| if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    let prefill_speed = speed(arguments.prompt, prefill);
    let decode_speed = speed(arguments.generate * arguments.streams, decode);
    let compute = model.compute();
    if arguments.json {
        let report = serde_json::json!({
            "model": located.name,
            "threads": compute.pool.threads(),
            "tier": compute.tier.name(),
            "load_seconds": load_seconds,
            "packed_bytes": model.packed_bytes(),
            "prompt_tokens": arguments.prompt,
            "generated_tokens": arguments.generate,
            "depth": arguments.depth,
            "streams": arguments.streams,
            "prefill_tokens_per_second": prefill_speed,
            "decode_tokens_per_second": decode_speed,
        });
        println!("{report}");
    } else {
        println!("{} on {} threads, {}", located.name, compute.pool.threads(), compute.tier);
        println!("load     {load_seconds:8.2} s");
        println!("prefill  {prefill_speed:8.1} tokens/s ({} tokens)", arguments.prompt);
        println!(
            "decode   {decode_speed:8.1} tokens/s ({} tokens after {}, {} at once)",
            arguments.generate, arguments.depth, arguments.streams
        );
    }
    Ok(())
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

    /// Seconds that generating takes, all sequences one token a step, after `depth` tokens.
    fn decode(&mut self, depth: usize, tokens: usize) -> f64 {
        for stream in 0..self.blocks.len() {
            self.read(stream, depth);
        }
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
