//! The text of one sequence as it grows.

use std::sync::Arc;

use phial_model::TokenId;
use phial_text::{TextStream, Tokenizer};

use crate::stop_strings::{Matched, StopMatcher};

/// Turns generated tokens into text that may be shown; empty text without a tokenizer.
#[derive(Debug)]
pub(crate) struct Transcript {
    stream: Option<TextStream>,
    stops: StopMatcher,
}

impl Transcript {
    pub fn new(tokenizer: Option<&Arc<Tokenizer>>, stop_strings: Vec<String>) -> Self {
        Self {
            stream: tokenizer.map(|tokenizer| TextStream::new(Arc::clone(tokenizer))),
            stops: StopMatcher::new(stop_strings),
        }
    }

    pub fn push(&mut self, token: TokenId) -> Matched {
        let piece = self.stream.as_mut().and_then(|stream| stream.push(token));
        self.stops.push(piece.as_deref().unwrap_or_default())
    }

    /// Ends the text: gives what was held back. A character that was cut off may still complete a
    /// stop string.
    pub fn finish(&mut self) -> Matched {
        let piece = self.stream.as_mut().and_then(TextStream::finish);
        match self.stops.push(piece.as_deref().unwrap_or_default()) {
            Matched::Text(text) => Matched::Text(text + &self.stops.finish()),
            stop @ Matched::Stop { .. } => stop,
        }
    }
}
