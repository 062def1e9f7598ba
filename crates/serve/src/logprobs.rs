//! Log-probabilities in step with the text.

use std::collections::VecDeque;
use std::sync::Arc;

use phial_engine::{TokenId, TokenLogprobs};
use phial_openai::{ChoiceLogprobs, TokenLogprob, TopLogprob};
use phial_text::Tokenizer;

use crate::server::ServedModel;

/// JSON has no infinity; the official API gives this for what cannot happen.
const LOGPROB_MIN: f32 = -9999.0;

/// A log-probability that JSON can hold.
pub(crate) fn finite(logprob: f32) -> f32 {
    logprob.max(LOGPROB_MIN)
}

/// Tokens whose text the engine still holds back, of one choice. A token is reported with the
/// piece of text in which its first character begins, so that the tokens reported and the text
/// sent always match, and what a stop string cuts off is not reported.
pub(crate) struct LogprobQueue {
    tokenizer: Arc<Tokenizer>,
    /// The engine leaves their text out.
    stop_tokens: Vec<TokenId>,
    waiting: VecDeque<Waiting>,
    /// Bytes of tokens whose text has not been sent.
    bytes: Vec<u8>,
}

struct Waiting {
    /// Index of its first byte in `bytes`.
    start: usize,
    entry: TokenLogprob,
}

impl LogprobQueue {
    pub(crate) fn new(model: &ServedModel) -> Self {
        let tokenizer = Arc::clone(&model.tokenizer);
        let stop_tokens = model.stop_tokens.clone();
        Self { tokenizer, stop_tokens, waiting: VecDeque::new(), bytes: Vec::new() }
    }

    /// A token was generated.
    pub(crate) fn push(&mut self, token: TokenId, logprobs: &TokenLogprobs) {
        // They have no text to go with.
        if self.tokenizer.is_control(token) || self.stop_tokens.contains(&token) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(self.tokenizer.token_bytes(token).unwrap_or_default());
        let (text, bytes) = self.spell(token);
        let logprob = finite(logprobs.chosen.logprob);
        let top_logprobs = logprobs
            .top
            .iter()
            .map(|top| {
                let (token, bytes) = self.spell(top.token);
                TopLogprob { token, logprob: finite(top.logprob), bytes }
            })
            .collect();
        let entry = TokenLogprob { token: text, logprob, bytes, top_logprobs };
        self.waiting.push_back(Waiting { start, entry });
    }

    /// The tokens that begin in `text`, which is the next piece of the choice.
    pub(crate) fn take(&mut self, text: &str) -> ChoiceLogprobs {
        let end = raw_length(&self.bytes, text.len());
        let mut content = Vec::new();
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.start < end) {
            content.push(waiting.entry);
        }
        self.bytes.drain(..end);
        for waiting in &mut self.waiting {
            waiting.start -= end;
        }
        ChoiceLogprobs { content, refusal: None }
    }

    fn spell(&self, token: TokenId) -> (String, Vec<u8>) {
        let bytes = self.tokenizer.token_bytes(token).unwrap_or_default();
        (String::from_utf8_lossy(bytes).into_owned(), bytes.to_vec())
    }
}

/// How many of `raw` make the first `text_length` bytes of its text, in which U+FFFD stands for
/// what is no character.
fn raw_length(raw: &[u8], text_length: usize) -> usize {
    let mut length = 0;
    let mut left = text_length;
    for chunk in raw.utf8_chunks() {
        let valid = chunk.valid().len();
        if left <= valid {
            return length + left;
        }
        length += valid + chunk.invalid().len();
        left = (left - valid).saturating_sub(char::REPLACEMENT_CHARACTER.len_utf8());
    }
    length
}

#[cfg(test)]
mod tests {
    use super::raw_length;

    #[test]
    fn text_is_measured_in_raw_bytes() {
        assert_eq!(raw_length(b"abc", 0), 0);
        assert_eq!(raw_length(b"abc", 2), 2);
        assert_eq!(raw_length(b"abc", 9), 3);
        // A lone byte that is no character takes three bytes of text.
        assert_eq!(raw_length(b"a\xffbc", 4), 2);
        assert_eq!(raw_length(b"a\xffbc", 5), 3);
        assert_eq!(raw_length("aäb".as_bytes(), 3), 3);
    }
}
