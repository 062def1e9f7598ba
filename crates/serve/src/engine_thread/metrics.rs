//! What the engine's thread counts.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use phial_engine::{Engine, FinishReason, Usage};
use phial_model::Forward;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Upper bounds in seconds of what takes as long as an answer.
const LONG: [f64; 16] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 2560.0,
];

/// Upper bounds in seconds of what takes as long as a token.
const SHORT: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5];

/// Upper bounds of numbers of tokens.
const TOKENS: [f64; 16] = [
    1.0, 8.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0, 32_768.0,
    65_536.0, 98_304.0, 131_072.0,
];

/// Why requests ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FinishLabels {
    /// `stop`, `length`, or `abort` for those whose client went away.
    pub finished_reason: &'static str,
}

/// Counts and times of the engine. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct EngineMetrics {
    pub requests_running: Gauge,
    pub requests_waiting: Gauge,
    /// Share of the blocks that requests hold.
    pub kv_usage: Gauge<f64, AtomicU64>,
    /// Bytes that keys and values may take.
    pub kv_limit: Gauge,
    pub prompt_tokens: Counter,
    /// Tokens of prompts of requests that ended, and those of them that were in the cache.
    pub prefix_queries: Counter,
    pub prefix_hits: Counter,
    pub generation_tokens: Counter,
    pub finished: Family<FinishLabels, Counter>,
    pub time_to_first_token: Histogram,
    pub inter_token_latency: Histogram,
    /// Mean of the times between the tokens of a request.
    pub time_per_output_token: Histogram,
    pub request_duration: Histogram,
    pub queue_time: Histogram,
    pub request_prompt_tokens: Histogram,
    pub request_generation_tokens: Histogram,
}

impl EngineMetrics {
    pub fn new() -> Self {
        Self {
            requests_running: Gauge::default(),
            requests_waiting: Gauge::default(),
            kv_usage: Gauge::default(),
            kv_limit: Gauge::default(),
            prompt_tokens: Counter::default(),
            prefix_queries: Counter::default(),
            prefix_hits: Counter::default(),
            generation_tokens: Counter::default(),
            finished: Family::default(),
            time_to_first_token: Histogram::new(LONG),
            inter_token_latency: Histogram::new(SHORT),
            time_per_output_token: Histogram::new(SHORT),
            request_duration: Histogram::new(LONG),
            queue_time: Histogram::new(LONG),
            request_prompt_tokens: Histogram::new(TOKENS),
            request_generation_tokens: Histogram::new(TOKENS),
        }
    }

    /// How the engine is between two steps.
    pub(super) fn observe<M: Forward + ?Sized>(&self, engine: &Engine<M>) {
        self.requests_running.set(engine.running() as i64);
        self.requests_waiting.set(engine.waiting() as i64);
        let block_bytes = engine.model().kv_layout().block_bytes();
        self.kv_limit.set((engine.total_blocks() * block_bytes) as i64);
        let total = engine.total_blocks().max(1) as f64;
        self.kv_usage.set(1.0 - engine.free_blocks() as f64 / total);
    }

    /// The engine is at its end and holds nothing.
    pub(super) fn clear(&self) {
        self.requests_running.set(0);
        self.requests_waiting.set(0);
        self.kv_usage.set(0.0);
    }

    pub(super) fn token(&self, timing: &mut Timing) {
        let now = Instant::now();
        match timing.last_token.replace(now) {
            Some(last) => self.inter_token_latency.observe((now - last).as_secs_f64()),
            None => {
                timing.first_token = Some(now);
                self.time_to_first_token.observe((now - timing.submitted).as_secs_f64());
                self.prompt_tokens.inc_by(timing.prompt_tokens as u64);
            }
        }
        timing.tokens += 1;
        self.generation_tokens.inc();
    }

    pub(super) fn finished(&self, timing: &Timing, reason: &FinishReason, usage: &Usage) {
        let finished_reason = match reason {
            FinishReason::StopToken | FinishReason::StopString(_) => "stop",
            FinishReason::Length | FinishReason::Constraint(_) => "length",
        };
        self.ended(timing, finished_reason, usage);
        self.queue_time.observe(usage.queued.as_secs_f64());
        if timing.first_token.is_none() {
            self.prompt_tokens.inc_by(timing.prompt_tokens as u64);
        }
        if let (Some(first), Some(last)) = (timing.first_token, timing.last_token)
            && timing.tokens > 1
        {
            let mean = (last - first).as_secs_f64() / (timing.tokens - 1) as f64;
            self.time_per_output_token.observe(mean);
        }
        self.prefix_queries.inc_by(usage.prompt_tokens as u64);
        self.prefix_hits.inc_by(usage.cached_tokens as u64);
        self.request_prompt_tokens.observe(usage.prompt_tokens as f64);
        self.request_generation_tokens.observe(usage.generated_tokens as f64);
    }

    pub(super) fn cancelled(&self, timing: &Timing, usage: &Usage) {
        self.ended(timing, "abort", usage);
    }

    fn ended(&self, timing: &Timing, finished_reason: &'static str, usage: &Usage) {
        self.finished.get_or_create(&FinishLabels { finished_reason }).inc();
        self.request_duration.observe(timing.submitted.elapsed().as_secs_f64());
        // A stop token is generated and not reported as a token.
        let rest = usage.generated_tokens.saturating_sub(timing.tokens);
        self.generation_tokens.inc_by(rest as u64);
    }
}

/// When things happened to a request.
#[derive(Debug)]
pub(super) struct Timing {
    submitted: Instant,
    first_token: Option<Instant>,
    last_token: Option<Instant>,
    tokens: usize,
    prompt_tokens: usize,
}

impl Timing {
    /// Of a request that is submitted now.
    pub fn new(prompt_tokens: usize) -> Self {
        Self {
            submitted: Instant::now(),
            first_token: None,
            last_token: None,
            tokens: 0,
            prompt_tokens,
        }
    }
}
