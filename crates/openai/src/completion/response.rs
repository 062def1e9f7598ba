//! Answers to a completion request: whole, or piece by piece in the same shape.

use serde::{Serialize, Serializer};

use crate::chat::response::{ChunkUsage, FinishReason};

/// A whole answer, or a piece of one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Completion {
    /// `cmpl-…`
    pub id: String,
    /// Always `text_completion`.
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: String,
    /// Choices of the first prompt, then those of the next.
    pub choices: Vec<CompletionChoice>,
    /// In pieces only if the request asked for it.
    #[serde(skip_serializing_if = "ChunkUsage::is_absent")]
    pub usage: ChunkUsage,
}

impl Completion {
    /// The value of `object`.
    pub const OBJECT: &'static str = "text_completion";
}

/// One text, or a piece of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CompletionChoice {
    /// The text.
    pub text: String,
    /// Which, from 0, over all prompts.
    pub index: usize,
    /// `null` unless asked for.
    pub logprobs: Option<CompletionLogprobs>,
    /// `null` but in the last piece.
    pub finish_reason: Option<FinishReason>,
}

/// Log-probabilities of tokens: four lists of the same length.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CompletionLogprobs {
    /// Where in the text the token begins, in characters.
    pub text_offset: Vec<usize>,
    /// Natural logarithms; `null` for the first token of a prompt.
    pub token_logprobs: Vec<Option<f32>>,
    /// Their text.
    pub tokens: Vec<String>,
    /// The most probable tokens at each place, and the one that stands there; `null` for the first
    /// token of a prompt.
    pub top_logprobs: Vec<Option<LegacyTopLogprobs>>,
}

impl CompletionLogprobs {
    /// Adds what comes after.
    pub fn extend(&mut self, more: Self) {
        self.text_offset.extend(more.text_offset);
        self.token_logprobs.extend(more.token_logprobs);
        self.tokens.extend(more.tokens);
        self.top_logprobs.extend(more.top_logprobs);
    }
}

/// Tokens with their log-probabilities, sent as an object; no token occurs twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LegacyTopLogprobs(pub Vec<(String, f32)>);

impl Serialize for LegacyTopLogprobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(token, logprob)| (token, logprob)))
    }
}
