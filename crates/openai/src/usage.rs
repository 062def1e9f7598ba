//! What a request took.

use serde::Serialize;

/// Tokens read and written, all choices together; the prompt counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Their sum.
    pub total_tokens: usize,
    /// Of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
    /// Of what was generated.
    pub completion_tokens_details: CompletionTokensDetails,
}

impl Usage {
    /// Usage of a text request.
    pub fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            ..Self::default()
        }
    }

    /// With so many tokens of the prompt taken from a cache.
    #[must_use]
    pub fn with_cached(mut self, cached_tokens: usize) -> Self {
        self.prompt_tokens_details.cached_tokens = cached_tokens;
        self
    }
}

/// Kinds of prompt tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromptTokensDetails {
    /// Taken from a cache.
    pub cached_tokens: usize,
    /// Of audio input.
    pub audio_tokens: usize,
}

/// Kinds of generated tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CompletionTokensDetails {
    /// Of hidden reasoning.
    pub reasoning_tokens: usize,
    /// Of audio output.
    pub audio_tokens: usize,
    /// Of a prediction, kept.
    pub accepted_prediction_tokens: usize,
    /// Of a prediction, thrown away.
    pub rejected_prediction_tokens: usize,
}
