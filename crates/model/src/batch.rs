//! The contract between a model and whoever runs it.

use crate::kv::{BlockId, KvLayout, KvPool};
use crate::scratch::Scratch;

/// An index into the vocabulary.
pub type TokenId = u32;

/// A LoRA adapter that the model has loaded; applied to a whole sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdapterId(pub usize);

/// Which set of LongRoPE factors a sequence is run with. A property of the whole sequence: keys
/// made under one regime are void under the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Regime {
    /// Up to the original context (and every model without LongRoPE).
    Short,
    /// Beyond the original context.
    Long,
}

/// What a span asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// None: a chunk of a prompt that is not its last.
    None,
    /// Logits of the last `n` positions of the span (`1 <= n <= tokens.len()`).
    Last(usize),
    /// No logits, but the final hidden state of every position of the span: what the head would
    /// read, after the last norm. They are in [`Scratch::hidden`] afterwards, span after span.
    /// Only where [`Forward::hidden_size`] is not 0.
    Hidden,
}

/// New tokens of one sequence: consecutive positions from `start`.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Never empty.
    pub tokens: &'a [TokenId],
    /// Position of the first token = tokens already in the cache.
    pub start: usize,
    /// The sequence's blocks in order; they hold at least `start + tokens.len()` positions.
    pub blocks: &'a [BlockId],
    /// The regime that every key of this sequence was and is made with.
    pub regime: Regime,
    /// The sequence's adapter.
    pub adapter: Option<AdapterId>,
    /// What is wanted of which positions.
    pub outputs: Outputs,
}

/// The work of one step: any number of sequences, prompt chunks and single tokens mixed.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Different sequences (no two spans share a block that either writes).
    pub spans: &'a [Span<'a>],
}

/// Logits of a step, row-major `[rows, vocabulary]`; rows in the order of the spans.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'s> {
    /// `[rows * vocabulary]`
    pub values: &'s [f32],
    /// Entries per row.
    pub vocabulary: usize,
}

impl<'s> Logits<'s> {
    /// Row `index`.
    pub fn row(&self, index: usize) -> &'s [f32] {
        &self.values[index * self.vocabulary..(index + 1) * self.vocabulary]
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.vocabulary).unwrap_or(0)
    }
}

/// A model that can be run. Immutable: everything of a request is in the arguments.
pub trait Forward: Send + Sync {
    /// Entries of the vocabulary, and of a row of logits.
    fn vocabulary(&self) -> usize;

    /// Values of a hidden state; 0: this model gives none ([`Outputs::Hidden`]).
    fn hidden_size(&self) -> usize {
        0
    }

    /// The longest sequence that the model was made for, in tokens.
    fn context_max(&self) -> usize;

    /// The regime of a sequence of `total_tokens`.
    fn rope_regime(&self, total_tokens: usize) -> Regime;

    /// What a [`KvPool`] for this model holds per token.
    fn kv_layout(&self) -> KvLayout;

    /// Reads `batch`, appends keys and values to `kv`, returns the logits asked for.
    ///
    /// # Panics
    /// When the batch breaks the contract of [`Span`]: a mistake of the caller, never of a user.
    fn forward<'s>(
        &self,
        batch: &Batch<'_>,
        kv: &mut KvPool,
        scratch: &'s mut Scratch,
    ) -> Logits<'s>;
}
