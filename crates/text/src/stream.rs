//! Decoding token by token without ever showing half a character.

use crate::{TokenId, Tokenizer};
use std::sync::Arc;

/// Turns a growing sequence of ids into text, a whole number of characters at a time.
///
/// The pieces, joined, equal [`Tokenizer::decode`] of all ids without control tokens.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Arc<Tokenizer>,
    /// Start of a character that later tokens may complete; at most 3 bytes.
    pending: Vec<u8>,
}

impl TextStream {
    /// A stream at its beginning.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self { tokenizer, pending: Vec::new() }
    }

    /// Takes the next id; gives the text that is complete by now, if any. Control tokens
    /// and ids without text produce nothing.
    pub fn push(&mut self, id: TokenId) -> Option<String> {
        if self.tokenizer.is_control(id) {
            return None;
        }
        self.pending.extend_from_slice(self.tokenizer.token_bytes(id)?);
        let complete = complete_length(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        (!text.is_empty()).then_some(text)
    }

    /// Ends the stream: an incomplete character becomes U+FFFD.
    pub fn finish(&mut self) -> Option<String> {
        let tail = std::mem::take(&mut self.pending);
        (!tail.is_empty()).then(|| String::from_utf8_lossy(&tail).into_owned())
    }
}

/// Length of the bytes before a character that is cut off at the end.
fn complete_length(bytes: &[u8]) -> usize {
    let mut complete = 0;
    for chunk in bytes.utf8_chunks() {
        let end = complete + chunk.valid().len() + chunk.invalid().len();
        let cut_off = end == bytes.len()
            && std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        complete = if cut_off { end - chunk.invalid().len() } else { end };
    }
    complete
}
