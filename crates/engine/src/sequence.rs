//! One request under way: its tokens and what the cache holds of them.

use std::time::Duration;

use phial_model::{AdapterId, BlockId, KvPool, Regime, TokenId};

use crate::blocks::blocks_for;
use crate::prefix::{EntryId, Origin, Parent};
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
    pub prefix_salt: Option<[u8; 32]>,
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
    /// Tokens that were in the cache at some time: what is read again counts only once.
    pub reached: usize,
    /// Of the prompt, not read but found in the cache.
    pub cached_tokens: usize,
}

/// What the pool holds of a sequence: its first `tokens` tokens, all of them read with `regime`.
#[derive(Debug)]
pub(crate) struct SequenceCache {
    pub tokens: usize,
    pub regime: Regime,
    /// In order of position.
    pub blocks: Vec<BlockId>,
    /// Of the first blocks, which are full and may be shared: nothing is written there any more.
    pub entries: Vec<EntryId>,
}

impl SequenceCache {
    pub fn empty() -> Self {
        Self { tokens: 0, regime: Regime::Short, blocks: Vec::new(), entries: Vec::new() }
    }

    /// Blocks still missing for `tokens` positions.
    pub fn missing(&self, tokens: usize) -> usize {
        blocks_for(tokens).saturating_sub(self.blocks.len())
    }

    /// Positions in the blocks that may be shared.
    pub fn shared(&self) -> usize {
        self.entries.len() * KvPool::BLOCK_TOKENS
    }
}

impl Sequence {
    /// Tokens that the model has yet to read before the next one can be chosen; never 0.
    pub fn unread(&self) -> usize {
        self.tokens.len() - self.cache.tokens
    }

    /// Whether the model has to read its prompt, whatever the cache has of it.
    pub fn reads_prompt(&self) -> bool {
        self.report.reads(self.prompt_tokens)
    }

    /// Whether each token that is read next needs its logits.
    pub fn wants_logits(&self) -> bool {
        self.report.wants_logits(self.prompt_tokens)
    }

    pub fn generated(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// What comes before the first block that is not shared.
    pub fn parent(&self) -> Parent {
        match self.cache.entries.last() {
            Some(&entry) => Parent::Entry(entry),
            None => Parent::Origin(self.origin()),
        }
    }

    /// What comes before block `index`, if all before it may be shared.
    pub fn parent_of(&self, index: usize) -> Option<Parent> {
        match index.checked_sub(1) {
            Some(before) => self.cache.entries.get(before).map(|&entry| Parent::Entry(entry)),
            None => Some(Parent::Origin(self.origin())),
        }
    }

    fn origin(&self) -> Origin {
        Origin { regime: self.cache.regime, adapter: self.adapter, salt: self.prefix_salt }
    }

    /// The cache holds `tokens` tokens now.
    pub fn reach(&mut self, tokens: usize) {
        self.cache.tokens = tokens;
        self.reached = self.reached.max(tokens);
    }
}
