//! Log-probabilities in the shape of the older API.

use phial_engine::{TokenId, TokenLogprobs};
use phial_openai::{CompletionLogprobs, LegacyTopLogprobs, TokenLogprob};
use phial_text::Tokenizer;

use crate::answer::finite;

/// Makes them, and keeps count of the characters.
pub(super) struct LegacyLogprobs {
    /// Characters that began so far.
    offset: usize,
}

impl LegacyLogprobs {
    /// Of a text that has none yet.
    pub fn new() -> Self {
        Self { offset: 0 }
    }

    /// The tokens of a prompt; `reported` lacks the first.
    pub fn prompt(
        &mut self,
        tokenizer: &Tokenizer,
        tokens: &[TokenId],
        reported: &[TokenLogprobs],
    ) -> CompletionLogprobs {
        let mut legacy = CompletionLogprobs::default();
        let entries = std::iter::once(None).chain(reported.iter().map(Some));
        for (&token, entry) in tokens.iter().zip(entries) {
            let bytes = |token| tokenizer.token_bytes(token).unwrap_or_default();
            let logprob = entry.map(|entry| finite(entry.chosen.logprob));
            let top = entry.map(|entry| {
                let tokens = entry.top.iter().chain([&entry.chosen]);
                top(tokens.map(|top| (bytes(top.token), finite(top.logprob))))
            });
            self.push(&mut legacy, bytes(token), logprob, top);
        }
        legacy
    }

    /// Tokens that were generated.
    pub fn generated(&mut self, entries: &[TokenLogprob]) -> CompletionLogprobs {
        let mut legacy = CompletionLogprobs::default();
        for entry in entries {
            let alternatives = entry.top_logprobs.iter().map(|top| (&*top.bytes, top.logprob));
            let top = top(alternatives.chain([(&*entry.bytes, entry.logprob)]));
            self.push(&mut legacy, &entry.bytes, Some(entry.logprob), Some(top));
        }
        legacy
    }

    fn push(
        &mut self,
        legacy: &mut CompletionLogprobs,
        bytes: &[u8],
        logprob: Option<f32>,
        top: Option<LegacyTopLogprobs>,
    ) {
        legacy.text_offset.push(self.offset);
        legacy.token_logprobs.push(logprob);
        legacy.tokens.push(spell(bytes));
        legacy.top_logprobs.push(top);
        self.offset += bytes.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
    }
}

/// The alternatives, each once: the chosen token is often among the most probable.
fn top<'a>(tokens: impl Iterator<Item = (&'a [u8], f32)>) -> LegacyTopLogprobs {
    let mut top: Vec<(String, f32)> = Vec::new();
    for (bytes, logprob) in tokens {
        let text = spell(bytes);
        if !top.iter().any(|(known, _)| *known == text) {
            top.push((text, logprob));
        }
    }
    LegacyTopLogprobs(top)
}

/// The text of a token; where its bytes are no whole characters, the bytes, as the official API
/// writes them. So different tokens have different names.
fn spell(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let digits = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            format!("bytes:{}", digits.collect::<String>())
        }
    }
}
