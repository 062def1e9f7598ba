//! One request under way: its tokens and what the cache holds of them.

use std::time::Duration;

use phial_model::{AdapterId, Regime, TokenId};

use crate::blocks::{BlockAllocator, BlockTable};
use crate::prompt_report::Reporting;
use crate::request::RequestId;
use crate::sampler::SamplerState;
use crate::transcript::Transcript;

/// A prompt and what was generated so far. All of it but the cache survives a preemption.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub id: RequestId,
    /// Prompt, then generated tokens.
    pub tokens: Vec<TokenId>,
    pub prompt_tokens: usize,
    /// `tokens` never grows beyond this: the end of the request's own wish or of the context.
    pub tokens_max: usize,
    pub adapter: Option<AdapterId>,
    pub stop_tokens: Vec<TokenId>,
    pub ignore_stop_tokens: bool,
    /// Top alternatives to report.
    pub logprobs: Option<usize>,
    pub report: Reporting,
    pub sampler: SamplerState,
    pub transcript: Transcript,
    pub submitted: Duration,
    /// Start of the first step that worked on it.
    pub started: Option<Duration>,
    pub cache: SequenceCache,
}

/// What the key/value pool holds of a sequence: its first `tokens` tokens, all of them read with
/// `regime`.
#[derive(Debug)]
pub(crate) struct SequenceCache {
    pub tokens: usize,
    pub regime: Regime,
    pub table: BlockTable,
}

impl SequenceCache {
    pub fn empty() -> Self {
        Self { tokens: 0, regime: Regime::Short, table: BlockTable::default() }
    }

    /// Forgets everything and gives the blocks back.
    pub fn release(&mut self, allocator: &mut BlockAllocator) {
        self.tokens = 0;
        self.table.release(allocator);
    }

    /// Pins the regime for the tokens read next. Keys made under another are void, so all tokens
    /// are read again; the blocks stay, to be overwritten.
    pub fn pin(&mut self, regime: Regime) {
        if regime != self.regime {
            self.regime = regime;
            self.tokens = 0;
        }
    }
}

impl Sequence {
    /// Tokens that the model has yet to read before the next one can be chosen; never 0.
    pub fn unread(&self) -> usize {
        self.tokens.len() - self.cache.tokens
    }

    /// Whether each token that is read next needs its logits.
    pub fn wants_logits(&self) -> bool {
        self.report.wants_logits(self.prompt_tokens)
    }

    pub fn generated(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }
}
