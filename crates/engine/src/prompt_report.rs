//! What a request learns of its prompt while the prompt is read.

use phial_model::{Outputs, TokenId};

use crate::event::TokenLogprobs;
use crate::logprobs::token_logprobs;
use crate::request::PromptReport;

/// How far the report of a sequence has come. It survives a preemption: what is read again is not
/// reported again.
#[derive(Debug)]
pub(crate) enum Reporting {
    Nothing,
    /// `next` is the place of the token that is reported next.
    Logprobs {
        top: usize,
        next: usize,
    },
    /// Sum over the first `read` tokens. In `f64` and in order, so that it does not depend on the
    /// chunks in which a prompt is read.
    MeanHidden {
        sum: Vec<f64>,
        read: usize,
    },
}

impl Reporting {
    pub fn new(wanted: PromptReport) -> Self {
        match wanted {
            PromptReport::Nothing => Self::Nothing,
            PromptReport::Logprobs(top) => Self::Logprobs { top, next: 1 },
            PromptReport::MeanHidden => Self::MeanHidden { sum: Vec::new(), read: 0 },
        }
    }

    /// What it needs of `count` tokens that are read next; `None` if nothing beyond the usual.
    pub fn outputs(&self, prompt_tokens: usize, count: usize) -> Option<Outputs> {
        match self {
            Self::Nothing => None,
            Self::Logprobs { .. } => {
                self.wants_logits(prompt_tokens).then_some(Outputs::Last(count))
            }
            Self::MeanHidden { .. } => Some(Outputs::Hidden),
        }
    }

    /// Whether anything of the prompt is yet to be reported.
    pub fn reads(&self, prompt_tokens: usize) -> bool {
        matches!(self, Self::MeanHidden { .. }) || self.wants_logits(prompt_tokens)
    }

    /// Whether it needs logits of every token that is read.
    pub fn wants_logits(&self, prompt_tokens: usize) -> bool {
        matches!(self, Self::Logprobs { next, .. } if *next < prompt_tokens)
    }

    /// Takes the logits of the positions from `start` on.
    pub fn take_logits<'a>(
        &mut self,
        prompt: &[TokenId],
        start: usize,
        rows: impl Iterator<Item = &'a [f32]>,
    ) -> Vec<TokenLogprobs> {
        let Self::Logprobs { top, next } = self else { return Vec::new() };
        let mut reported = Vec::new();
        for (position, row) in (start..).zip(rows) {
            if position + 1 == *next
                && let Some(&token) = prompt.get(*next)
            {
                reported.push(token_logprobs(row, token, *top));
                *next += 1;
            }
        }
        reported
    }

    /// Takes the hidden states, of `width` values each, of the positions from `start` on.
    pub fn take_hidden(&mut self, start: usize, states: &[f32], width: usize) {
        let Self::MeanHidden { sum, read } = self else { return };
        sum.resize(width, 0.0);
        for (position, state) in (start..).zip(states.chunks_exact(width)) {
            if position == *read {
                sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(*value));
                *read += 1;
            }
        }
    }

    /// The mean of the hidden states so far.
    pub fn mean_hidden(&self) -> Vec<f32> {
        let Self::MeanHidden { sum, read } = self else { return Vec::new() };
        let count = (*read).max(1) as f64;
        sum.iter().map(|sum| (sum / count) as f32).collect()
    }
}
