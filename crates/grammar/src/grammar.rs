//! A compiled constraint.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::TokenParser;
use phial_text::TokenId;

use crate::matcher::Matcher;
use crate::refused::Refused;

/// A compiled constraint. Cheap to clone; one serves any number of texts, each with a
/// [`Matcher`] of its own.
#[derive(Clone)]
pub struct Grammar {
    shared: Arc<Shared>,
}

struct Shared {
    /// At the beginning of a text, never advanced.
    parser: Mutex<TokenParser>,
    /// Before this token everything is allowed, and the grammar begins behind it.
    trigger: Option<TokenId>,
    left_open: Vec<Refused>,
    vocabulary_size: usize,
}

impl Grammar {
    pub(crate) fn new(
        parser: TokenParser,
        trigger: Option<TokenId>,
        left_open: Vec<Refused>,
    ) -> Self {
        let vocabulary_size = parser.token_env.tok_trie().vocab_size();
        let parser = Mutex::new(parser);
        Self { shared: Arc::new(Shared { parser, trigger, left_open, vocabulary_size }) }
    }

    /// A matcher at the beginning of a text. What it learns while it works stays its own, so that
    /// no text changes what another one is allowed.
    pub fn matcher(&self) -> Matcher {
        let shared = &self.shared;
        let parser = shared.parser.lock().unwrap_or_else(PoisonError::into_inner).deep_clone();
        Matcher::new(parser, shared.trigger)
    }

    /// Ids of the tokenizer that it was compiled for: it allows none beyond.
    pub fn vocabulary_size(&self) -> usize {
        self.shared.vocabulary_size
    }

    /// Schemas of tools without `strict` that are not enforced: their arguments may be any JSON
    /// object. Empty for every other constraint.
    pub fn left_open(&self) -> &[Refused] {
        &self.shared.left_open
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Grammar")
            .field("trigger", &self.shared.trigger)
            .field("left_open", &self.shared.left_open)
            .finish_non_exhaustive()
    }
}
