//! What comes out of a step.

use std::time::Duration;

use phial_model::TokenId;

use crate::request::RequestId;

/// Something that happened to a request. The events of one request are in order: what
/// was asked of the prompt, any number of [`Event::Token`], then one [`Event::Finished`], then
/// nothing. A cancelled request has no
/// further events at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A part of the prompt was read by a request that wants its log-probabilities.
    PromptLogprobs {
        /// Whose.
        request: RequestId,
        /// Of the next tokens of the prompt, in order. The first token has none, so all events
        /// together have one entry less than the prompt has tokens.
        logprobs: Vec<TokenLogprobs>,
    },
    /// The whole prompt was read by a request that wants its hidden states.
    PromptHidden {
        /// Whose.
        request: RequestId,
        /// Their mean over all tokens.
        mean: Vec<f32>,
    },
    /// A token was generated.
    Token {
        /// Whose.
        request: RequestId,
        /// The token. A stop token that ends the request is not reported as a token.
        token: TokenId,
        /// Text that became certain with this token, often empty: characters come whole, and text
        /// that may be the beginning of a stop string is held back. Stop strings and stop tokens
        /// never appear in it. Always empty in an engine without a tokenizer.
        text: String,
        /// If the request asked for them.
        logprobs: Option<TokenLogprobs>,
    },
    /// The request is done and forgotten.
    Finished {
        /// Which.
        request: RequestId,
        /// Why.
        reason: FinishReason,
        /// The end of the text that was held back until now.
        text: String,
        /// What it took.
        usage: Usage,
    },
}

impl Event {
    /// The request that the event belongs to.
    pub fn request(&self) -> RequestId {
        match self {
            Self::PromptLogprobs { request, .. }
            | Self::PromptHidden { request, .. }
            | Self::Token { request, .. }
            | Self::Finished { request, .. } => *request,
        }
    }
}

/// Why a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model produced one of the request's stop tokens.
    StopToken,
    /// This stop string came up; the text ends before it.
    StopString(String),
    /// `tokens_max` or the context was reached.
    Length,
}

/// What a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, not read because the cache held them: the beginning of another request.
    pub cached_tokens: usize,
    /// Tokens sampled, a final stop token included.
    pub generated_tokens: usize,
    /// Time from submission to the start of the first step that worked on the request; 0 if none
    /// did.
    pub queued: Duration,
}

/// Log-probabilities at the place of one token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// The token that stands there.
    pub chosen: TokenLogprob,
    /// The most probable tokens, best first (ties: lowest id first); as many as the request asked
    /// for. The chosen one is among them only if it is that probable.
    pub top: Vec<TokenLogprob>,
}

/// A token and its natural log-probability under the model's own distribution: the log-softmax of
/// the raw logits, before bias, penalties, temperature and truncation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Which token.
    pub token: TokenId,
    /// `<= 0`; `-inf` if the model rules the token out.
    pub logprob: f32,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is no request; the next step is worth calling only after a submission.
    Idle,
    /// The model was run once.
    Worked {
        /// Tokens of prompts read, and tokens read again after a preemption or a change of regime.
        prefill_tokens: usize,
        /// Sequences that went on by one token from their cache.
        decode_tokens: usize,
    },
}
