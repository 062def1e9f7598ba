//! From the engine's updates to events, for one choice.

use phial_engine::{FinishReason, TokenId, TokenLogprobs, Usage};
use phial_openai::{TokenLogprob, TopLogprob};

use super::alignment::Alignment;
use super::tools::Tools;
use super::{End, Event};
use crate::server::Server;

/// JSON has no infinity; the official API gives this for what cannot happen.
const LOGPROB_MIN: f32 = -9999.0;

/// A log-probability that JSON can hold.
pub(crate) fn finite(logprob: f32) -> f32 {
    logprob.max(LOGPROB_MIN)
}

/// Turns what the engine says about one choice into events.
pub(super) struct Reader {
    server: Server,
    /// Tokens with the text that they come with, as far as anything is to be said about them. A
    /// token is reported with the piece of text in which its first character begins, so that
    /// tokens and text always match, and what a stop string cuts off is not reported.
    tokens: Option<Alignment<TokenLogprob>>,
}

impl Reader {
    pub(super) fn new(server: &Server, _tools: Option<&Tools>, logprobs: bool) -> Self {
        Self { server: server.clone(), tokens: logprobs.then(Alignment::new) }
    }

    /// A token was generated.
    pub(super) fn token(&mut self, token: TokenId, logprobs: Option<&TokenLogprobs>) {
        let model = self.server.model();
        // They have no text to go with.
        if model.tokenizer.is_control(token) || model.stop_tokens.contains(&token) {
            return;
        }
        let (Some(tokens), Some(logprobs)) = (&mut self.tokens, logprobs) else { return };
        let spell = |token| {
            let bytes = model.tokenizer.token_bytes(token).unwrap_or_default();
            (String::from_utf8_lossy(bytes).into_owned(), bytes.to_vec())
        };
        let top = logprobs.top.iter().map(|top| {
            let (token, bytes) = spell(top.token);
            TopLogprob { token, logprob: finite(top.logprob), bytes }
        });
        let (text, bytes) = spell(token);
        let logprob = finite(logprobs.chosen.logprob);
        let top_logprobs = top.collect();
        let entry = TokenLogprob { token: text, logprob, bytes, top_logprobs };
        tokens.push(model.tokenizer.token_bytes(token).unwrap_or_default(), entry);
    }

    /// Text has become certain.
    pub(super) fn text(&mut self, text: &str) -> Vec<Event> {
        if text.is_empty() {
            return Vec::new();
        }
        let begun = self.tokens.as_mut().map(|tokens| tokens.take(text)).unwrap_or_default();
        let logprobs = begun.into_iter().map(|(_, logprob)| logprob).collect();
        vec![Event::Text { text: text.to_owned(), logprobs }]
    }

    /// The choice ends after `text`.
    pub(super) fn finish(&mut self, text: &str, reason: FinishReason, usage: Usage) -> Vec<Event> {
        let mut events = self.text(text);
        let end = match reason {
            FinishReason::StopToken => End::Turn,
            FinishReason::StopString(stop) => End::StopString(stop),
            FinishReason::Length => End::Length,
        };
        events.push(Event::Finished { end, usage });
        events
    }
}
