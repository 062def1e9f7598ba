//! Log-probabilities of the tokens of a choice.

use serde::Serialize;

/// Of one choice, or of the part of it that a chunk carries.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChoiceLogprobs {
    /// The tokens of the content, in order.
    pub content: Vec<TokenLogprob>,
    /// Always `null`: there is no separate refusal.
    pub refusal: Option<Vec<TokenLogprob>>,
}

/// A token of the content.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenLogprob {
    /// Its text; bytes that are no whole character are shown as U+FFFD.
    pub token: String,
    /// Natural logarithm. Finite: JSON has no infinity.
    pub logprob: f32,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// The most probable tokens at this place, best first; empty unless asked for.
    pub top_logprobs: Vec<TopLogprob>,
}

/// A token that was probable at a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// Natural logarithm. Finite.
    pub logprob: f32,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}
