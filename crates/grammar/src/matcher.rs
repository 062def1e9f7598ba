//! Following one text.

use std::fmt;

use llguidance::TokenParser;
use phial_text::TokenId;
use thiserror::Error;

use crate::mask::{Allowed, Mask};

/// Follows one text through a [`Grammar`](crate::Grammar): says what may come next, and takes what
/// came.
pub struct Matcher {
    /// Until this token comes everything is allowed.
    trigger: Option<TokenId>,
    inner: llguidance::Matcher,
}

/// A text cannot go on under its constraint. The matcher is of no further use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the constraint cannot be followed: {0}")]
pub struct MatcherError(String);

impl MatcherError {
    /// Of a text whose matcher was lost, by those who run it elsewhere.
    pub fn lost() -> Self {
        Self("whoever follows it is gone".to_owned())
    }
}

impl Matcher {
    pub(crate) fn new(parser: TokenParser, trigger: Option<TokenId>) -> Self {
        Self { trigger, inner: llguidance::Matcher::new(Ok(parser)) }
    }

    /// What may come next. Stop tokens are allowed only where the text may end; nothing else is
    /// once it [is complete](Self::is_complete).
    ///
    /// # Errors
    /// If the work for it exceeds the limits, or an earlier call failed.
    pub fn allowed(&mut self) -> Result<Allowed, MatcherError> {
        if self.trigger.is_some() {
            return Ok(Allowed::Any);
        }
        match self.inner.compute_mask_or_eos() {
            Ok(bits) => Ok(Allowed::Only(Mask::new(bits))),
            Err(error) => Err(failure(&error.to_string())),
        }
    }

    /// Takes the next token.
    ///
    /// # Errors
    /// If it is not allowed here, or an earlier call failed.
    pub fn accept(&mut self, token: TokenId) -> Result<(), MatcherError> {
        if let Some(trigger) = self.trigger {
            self.trigger = (token != trigger).then_some(trigger);
            return Ok(());
        }
        self.inner.consume_token(token).map_err(|error| failure(&error.to_string()))
    }

    /// The tokens that must come next, as the tokenizer writes them; none where there is a choice.
    /// They are still to be [accepted](Self::accept).
    ///
    /// # Errors
    /// If the work for it exceeds the limits, or an earlier call failed.
    pub fn forced(&mut self) -> Result<Vec<TokenId>, MatcherError> {
        if self.trigger.is_some() || self.is_complete() {
            return Ok(Vec::new());
        }
        let tokens = self.inner.compute_ff_tokens();
        match self.inner.get_error() {
            Some(error) => Err(failure(&error)),
            None => Ok(tokens),
        }
    }

    /// Whether the text may end here.
    pub fn may_stop(&mut self) -> bool {
        self.trigger.is_some() || self.is_complete() || self.inner.is_accepting().unwrap_or(false)
    }

    /// Whether the text must end here: it may, and nothing can follow.
    pub fn is_complete(&self) -> bool {
        self.trigger.is_none() && self.inner.is_stopped() && !self.inner.is_error()
    }
}

/// The first line: the rest is the state of the parser.
fn failure(error: &str) -> MatcherError {
    MatcherError(error.lines().next().unwrap_or_default().to_owned())
}

impl fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Matcher")
            .field("trigger", &self.trigger)
            .field("complete", &self.is_complete())
            .finish_non_exhaustive()
    }
}
