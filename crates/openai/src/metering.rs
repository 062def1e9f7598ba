//! What a request takes, told while it is being answered.
//!
//! Whoever bills puts a [`Meter`] into the extensions of a request; whoever answers it tells the
//! meter what was done **before** the client can see it, and drops every clone when nothing more
//! will be done. Between the two nothing else is known of each other.

use std::fmt;
use std::sync::Arc;

/// Tokens that a request took so far. Never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Of the prompt, those from a cache included.
    pub prompt_tokens: u64,
    /// Of the prompt, those that were not read because a cache had them.
    pub cached_tokens: u64,
    /// Generated, by all choices together.
    pub completion_tokens: u64,
}

impl TokenCounts {
    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.max(other.prompt_tokens),
            cached_tokens: self.cached_tokens.max(other.cached_tokens),
            completion_tokens: self.completion_tokens.max(other.completion_tokens),
        }
    }
}

/// Where a [`Meter`] leads. It is dropped with the last meter of its request, and takes that for
/// the end of it.
pub trait UsageSink: Send + Sync {
    /// Totals of the request. They may come late and out of order; a total never falls.
    fn report(&self, counts: TokenCounts);
}

/// Tells what a request takes. Clones tell of the same request, which is over when the last of
/// them is gone: at its end, or when it is cancelled or fails.
#[derive(Clone)]
pub struct Meter(Arc<dyn UsageSink>);

impl Meter {
    /// A meter that tells `sink`.
    pub fn new(sink: Arc<dyn UsageSink>) -> Self {
        Self(sink)
    }

    /// The totals so far. Cheap; to be called before the client can see what they stand for.
    pub fn report(&self, counts: TokenCounts) {
        self.0.report(counts);
    }

    /// The totals at the end, abort or disconnect. Other clones should be gone by then.
    pub fn finish(self, counts: TokenCounts) {
        self.0.report(counts);
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Meter").finish()
    }
}

/// By what whoever bills knows what to bill for later requests that a request leads to, such as
/// those of a batch: a word for the server to keep and to give back in their extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer(pub Arc<str>);

/// Whose a request is, in its extensions. What it leaves on the server (files, batches, stored
/// responses) can be seen by the same owner only; without this extension nobody else's is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner(pub Arc<str>);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<u64>>);

    impl UsageSink for Heard {
        fn report(&self, counts: TokenCounts) {
            self.0.lock().unwrap().push(counts.completion_tokens);
        }
    }

    #[test]
    fn the_sink_hears_everything_and_lives_as_long_as_the_last_meter() {
        let sink = Arc::new(Heard::default());
        let weak = Arc::downgrade(&sink);
        let meter = Meter::new(sink.clone());
        let counts = |completion_tokens| TokenCounts { completion_tokens, ..Default::default() };
        meter.report(counts(1));
        let other = meter.clone();
        meter.finish(counts(2));
        assert_eq!(*sink.0.lock().unwrap(), [1, 2]);
        drop(sink);
        assert!(weak.upgrade().is_some());
        drop(other);
        assert!(weak.upgrade().is_none());
    }

    #[test]
    fn the_greater_of_each_count_stays() {
        let one = TokenCounts { prompt_tokens: 5, cached_tokens: 1, completion_tokens: 9 };
        let two = TokenCounts { prompt_tokens: 4, cached_tokens: 2, completion_tokens: 9 };
        let both = TokenCounts { prompt_tokens: 5, cached_tokens: 2, completion_tokens: 9 };
        assert_eq!(one.max(two), both);
    }
}
