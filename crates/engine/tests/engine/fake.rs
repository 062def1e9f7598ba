//! A model made of a hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phial_engine::{
    AdapterId, Engine, Event, FinishReason, Limits, Progress, Request, RequestId, Sampling,
    SamplingOptions, TokenId,
};
use phial_model::{
    Batch, BlockId, Forward, KvElement, KvLayout, KvPool, Logits, Outputs, Regime, Scratch, Span,
};

pub const VOCABULARY: usize = 50;

/// What the cache holds at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    token: TokenId,
    position: usize,
    regime: Regime,
    adapter: Option<AdapterId>,
}

impl Entry {
    /// Bytes of an entry: what the layout keeps per position.
    const BYTES: usize = 8;

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let adapter = self.adapter.map_or(0, |adapter| adapter.0 as u64 + 1);
        let long = u64::from(self.regime == Regime::Long);
        let packed = u64::from(self.token) | (self.position as u64) << 32 | long << 56;
        (packed | adapter << 57).to_le_bytes()
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let packed = u64::from_le_bytes(bytes);
        Self {
            token: packed as u32,
            position: (packed >> 32 & 0xff_ffff) as usize,
            regime: if packed >> 56 & 1 == 1 { Regime::Long } else { Regime::Short },
            adapter: (packed >> 57).checked_sub(1).map(|adapter| AdapterId(adapter as usize)),
        }
    }
}

/// Its logits after a position depend on every token up to there, on the position and regime with
/// which each was written into the cache, and on the adapter.
pub struct Fake {
    /// Tokens that are still [`Regime::Short`].
    pub original: usize,
    pub context: usize,
    pub vocabulary: usize,
    /// If not empty: the tokens it prefers, after a prompt of one token.
    pub script: Vec<TokenId>,
    /// Tokens per span of each forward pass.
    pub steps: Mutex<Vec<Vec<usize>>>,
    /// Rows of logits of each forward pass.
    pub logits_rows: Mutex<Vec<usize>>,
}

impl Fake {
    pub fn new(original: usize, context: usize) -> Self {
        Self {
            original,
            context,
            vocabulary: VOCABULARY,
            script: Vec::new(),
            steps: Mutex::default(),
            logits_rows: Mutex::default(),
        }
    }

    fn regime(&self, total: usize) -> Regime {
        if total <= self.original { Regime::Short } else { Regime::Long }
    }

    /// Two values that depend on all that `entries` hold.
    fn hidden_of(&self, entries: &[Entry]) -> [f32; 2] {
        let mut row = vec![0.0; VOCABULARY];
        self.logits_of(entries, &mut row);
        [row[0], row[1]]
    }

    fn logits_of(&self, entries: &[Entry], row: &mut [f32]) {
        if let Some(&token) = entries.len().checked_sub(1).and_then(|at| self.script.get(at)) {
            row.fill(0.0);
            row[token as usize] = 1.0;
            return;
        }
        let mut hash = 1u64;
        for entry in entries {
            let adapter = entry.adapter.map_or(0, |adapter| adapter.0 as u64 + 1);
            for part in [
                u64::from(entry.token),
                entry.position as u64,
                u64::from(entry.regime == Regime::Long),
                adapter,
            ] {
                hash = (hash ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                hash ^= hash >> 29;
            }
        }
        for (index, logit) in row.iter_mut().enumerate() {
            let value = (hash ^ index as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *logit = ((value >> 40) as f32) / (1u32 << 22) as f32;
        }
    }

    /// The logits of a prefill of all `tokens` at once into an empty cache: what must be right.
    pub fn fresh(&self, tokens: &[TokenId], adapter: Option<AdapterId>) -> Vec<f32> {
        let regime = self.regime(tokens.len());
        let entries: Vec<Entry> = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| Entry { token, position, regime, adapter })
            .collect();
        let mut row = vec![0.0; self.vocabulary];
        self.logits_of(&entries, &mut row);
        row
    }

    /// The mean of the hidden states of `tokens`, read at once.
    pub fn mean_hidden(&self, tokens: &[TokenId]) -> Vec<f32> {
        let regime = self.regime(tokens.len());
        let entries: Vec<Entry> = tokens
            .iter()
            .enumerate()
            .map(|(position, &token)| Entry { token, position, regime, adapter: None })
            .collect();
        let mut sum = [0.0f64; 2];
        for end in 1..=entries.len() {
            let state = self.hidden_of(&entries[..end]);
            sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(value));
        }
        sum.iter().map(|sum| (sum / tokens.len() as f64) as f32).collect()
    }

    /// Greedy generation by a fresh prefill at every length.
    pub fn greedy(
        &self,
        prompt: &[TokenId],
        count: usize,
        adapter: Option<AdapterId>,
    ) -> Vec<TokenId> {
        let mut tokens = prompt.to_vec();
        for _ in 0..count {
            let row = self.fresh(&tokens, adapter);
            let best = (0..row.len()).rev().max_by(|&one, &two| row[one].total_cmp(&row[two]));
            tokens.push(best.unwrap() as TokenId);
        }
        tokens.split_off(prompt.len())
    }

    fn check_contract(&self, batch: &Batch<'_>, kv: &KvPool) {
        let mut users: HashMap<BlockId, usize> = HashMap::new();
        for span in batch.spans {
            let end = span.start + span.tokens.len();
            assert!(!span.tokens.is_empty());
            assert!(span.blocks.len() * KvPool::BLOCK_TOKENS >= end);
            assert!(end <= self.context);
            for block in span.blocks {
                assert!((block.0 as usize) < kv.block_count());
                *users.entry(*block).or_default() += 1;
            }
        }
        for span in batch.spans {
            for block in &span.blocks[span.start / KvPool::BLOCK_TOKENS..] {
                assert_eq!(users[block], 1, "a span writes what another one reads");
            }
        }
    }

    /// Writes the span's entries and gives those of the whole sequence.
    fn entries(&self, span: &Span<'_>, kv: &mut KvPool) -> Vec<Entry> {
        let end = span.start + span.tokens.len();
        let place = |position: usize| {
            let block = span.blocks[position / KvPool::BLOCK_TOKENS];
            (block, position % KvPool::BLOCK_TOKENS * Entry::BYTES)
        };
        for (position, &token) in (span.start..end).zip(span.tokens) {
            let Span { regime, adapter, .. } = *span;
            let entry = Entry { token, position, regime, adapter };
            let (block, at) = place(position);
            kv.block_mut(0, block)[at..][..Entry::BYTES].copy_from_slice(&entry.to_bytes());
        }
        let read = |position: usize| {
            let (block, at) = place(position);
            let bytes = kv.block(0, block)[at..][..Entry::BYTES].try_into().unwrap();
            Entry::from_bytes(bytes)
        };
        (0..end).map(read).collect()
    }
}

impl Forward for Fake {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn hidden_size(&self) -> usize {
        2
    }

    fn context_max(&self) -> usize {
        self.context
    }

    fn rope_regime(&self, total_tokens: usize) -> Regime {
        self.regime(total_tokens)
    }

    fn kv_layout(&self) -> KvLayout {
        KvLayout { layers: 1, kv_heads: 1, head_dim: 1, element: KvElement::F32 }
    }

    fn forward<'s>(
        &self,
        batch: &Batch<'_>,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s> {
        self.check_contract(batch, kv);
        let counts = batch.spans.iter().map(|span| span.tokens.len()).collect();
        self.steps.lock().unwrap().push(counts);
        let (mut logits, mut hidden) = (Vec::new(), Vec::new());
        for span in batch.spans {
            let entries = self.entries(span, kv);
            let ends = |count: usize| entries.len() + 1 - count..=entries.len();
            match span.outputs {
                Outputs::None => {}
                Outputs::Last(count) => {
                    assert!(count <= span.tokens.len());
                    for end in ends(count) {
                        let row = logits.len();
                        logits.resize(row + self.vocabulary, 0.0);
                        self.logits_of(&entries[..end], &mut logits[row..]);
                    }
                }
                Outputs::Hidden => {
                    hidden.extend(
                        ends(span.tokens.len()).flat_map(|end| self.hidden_of(&entries[..end])),
                    );
                }
            }
        }
        self.logits_rows.lock().unwrap().push(logits.len() / self.vocabulary);
        scratch.hidden_mut(hidden.len()).copy_from_slice(&hidden);
        let values = scratch.logits_mut(logits.len() / self.vocabulary, self.vocabulary);
        values.copy_from_slice(&logits);
        Logits { values, vocabulary: self.vocabulary }
    }
}

/// Limits with `blocks` blocks for a [`Fake`].
pub fn limits(blocks: usize, running_max: usize, step_tokens_max: usize) -> Limits {
    let layout = Fake::new(0, 0).kv_layout();
    Limits {
        step_tokens_max,
        running_max,
        kv_bytes_max: blocks * layout.block_bytes(),
        adapters: 2,
        ..Limits::default()
    }
}

pub fn engine(model: &Arc<Fake>, limits: Limits) -> Engine<Fake> {
    Engine::new(Arc::clone(model), None, limits, 5).unwrap()
}

/// A prompt that differs from others of other `salt`.
pub fn prompt(length: usize, salt: usize) -> Vec<TokenId> {
    (0..length).map(|index| ((index * 31 + salt * 17 + index * salt) % VOCABULARY) as u32).collect()
}

pub fn greedy(prompt: Vec<TokenId>, tokens_max: usize) -> Request {
    Request { tokens_max: Some(tokens_max), ..Request::new(prompt) }
}

pub fn sampled(prompt: Vec<TokenId>, tokens_max: usize, seed: Option<u64>) -> Request {
    let options = SamplingOptions {
        seed,
        temperature: 0.8,
        top_p: 0.95,
        frequency_penalty: 0.3,
        repetition_penalty: 1.1,
        ..SamplingOptions::default()
    };
    let sampling = Sampling::new(options).unwrap();
    Request { sampling, ..greedy(prompt, tokens_max) }
}

/// Steps until nothing is left.
pub fn drain<M: Forward + ?Sized>(engine: &mut Engine<M>) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..100_000 {
        if engine.step(Duration::ZERO, &mut events) == Progress::Idle {
            return events;
        }
    }
    panic!("the engine does not come to rest");
}

/// Generated tokens and reason of each finished request.
pub fn outcomes(events: &[Event]) -> HashMap<RequestId, (Vec<TokenId>, Option<FinishReason>)> {
    let mut outcomes: HashMap<RequestId, (Vec<TokenId>, Option<FinishReason>)> = HashMap::new();
    for event in events {
        let (tokens, finished) = outcomes.entry(event.request()).or_default();
        assert_eq!(*finished, None, "an event after the end");
        match event {
            Event::PromptLogprobs { .. } | Event::PromptHidden { .. } => {}
            Event::Token { token, .. } => tokens.push(*token),
            Event::Finished { reason, usage, .. } => {
                assert!(usage.generated_tokens >= tokens.len());
                *finished = Some(reason.clone());
            }
        }
    }
    outcomes
}
