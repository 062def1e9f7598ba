//! What a request takes, told to whoever put a [`Meter`] into it, by the engine's thread itself:
//! what the engine has made is told even when nobody is left to read it.

use std::sync::{Arc, Mutex, PoisonError};

use phial_engine::Usage;
use phial_openai::metering::{Meter, TokenCounts};

/// The sums of a request. They are those of the answer's own usage: a prompt counts once, however
/// many choices it has, and as cached counts what none of its choices had to read.
#[derive(Debug)]
pub(crate) struct Tally {
    meter: Meter,
    prompts: Mutex<Vec<Prompt>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Prompt {
    /// Choices that the engine has not begun with.
    to_begin: usize,
    tokens: usize,
    /// The least of all choices so far; `None` before the first.
    cached: Option<usize>,
    generated: usize,
}

/// What one choice adds to a tally. The tally ends when the last share does.
#[derive(Debug)]
pub(crate) struct Share {
    tally: Arc<Tally>,
    prompt: usize,
    has_begun: bool,
    generated: usize,
}

impl Tally {
    pub fn new(meter: Meter) -> Self {
        Self { meter, prompts: Mutex::default() }
    }

    /// Shares for choices, by the indices of their prompts: `[0, 0, 1]` are two choices of one
    /// prompt and one of another.
    pub fn shares(self: &Arc<Self>, prompts: &[usize]) -> Vec<Share> {
        let mut known = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        let first = known.len();
        let count = prompts.iter().max().map_or(0, |last| last + 1);
        known.resize(first + count, Prompt::default());
        for prompt in prompts {
            known[first + prompt].to_begin += 1;
        }
        let share = |prompt: &usize| Share {
            tally: Arc::clone(self),
            prompt: first + prompt,
            has_begun: false,
            generated: 0,
        };
        prompts.iter().map(share).collect()
    }

    fn change(&self, prompt: usize, change: impl FnOnce(&mut Prompt)) {
        let mut prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut prompts[prompt]);
        let sum = |of: fn(&Prompt) -> usize| prompts.iter().map(of).sum::<usize>() as u64;
        let counts = TokenCounts {
            prompt_tokens: sum(|prompt| prompt.tokens),
            // A choice that is yet to begin may have to read what the others had not.
            cached_tokens: sum(|prompt| match prompt.to_begin {
                0 => prompt.cached.unwrap_or(0),
                _ => 0,
            }),
            completion_tokens: sum(|prompt| prompt.generated),
        };
        // Under the lock, so that totals arrive in order.
        self.meter.report(counts);
    }
}

impl Share {
    /// The engine has begun with the choice: its prompt is read, or found.
    pub fn begun(&mut self, usage: &Usage) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        self.tally.change(self.prompt, |prompt| {
            prompt.to_begin = prompt.to_begin.saturating_sub(1);
            prompt.tokens = prompt.tokens.max(usage.prompt_tokens);
            let cached = prompt.cached.unwrap_or(usize::MAX).min(usage.cached_tokens);
            prompt.cached = Some(cached);
        });
    }

    /// A token was generated.
    pub fn token(&mut self) {
        self.generated += 1;
        self.tally.change(self.prompt, |prompt| prompt.generated += 1);
    }

    /// The choice is done, or was cancelled after it had begun.
    pub fn ended(&mut self, usage: &Usage) {
        self.begun(usage);
        let more = usage.generated_tokens.saturating_sub(self.generated);
        self.generated += more;
        self.tally.change(self.prompt, |prompt| prompt.generated += more);
    }
}

#[cfg(test)]
mod tests {
    use phial_openai::metering::UsageSink;

    use super::*;

    #[derive(Default)]
    struct Last(Mutex<TokenCounts>);

    impl UsageSink for Last {
        fn report(&self, counts: TokenCounts) {
            let mut last = self.0.lock().unwrap();
            *last = last.max(counts);
        }
    }

    fn usage(prompt_tokens: usize, cached_tokens: usize, generated_tokens: usize) -> Usage {
        Usage { prompt_tokens, cached_tokens, generated_tokens, ..Usage::default() }
    }

    fn counts(prompt_tokens: u64, cached_tokens: u64, completion_tokens: u64) -> TokenCounts {
        TokenCounts { prompt_tokens, cached_tokens, completion_tokens }
    }

    #[test]
    fn a_prompt_counts_once_and_cached_is_what_no_choice_read() {
        let last = Arc::new(Last::default());
        let tally = Arc::new(Tally::new(Meter::new(last.clone())));
        let heard = || *last.0.lock().unwrap();
        let [mut one, mut two, mut other] = tally.shares(&[0, 0, 1]).try_into().unwrap();
        one.begun(&usage(10, 8, 0));
        assert_eq!(heard(), counts(10, 0, 0), "the other choice may read it all");
        two.begun(&usage(10, 6, 0));
        assert_eq!(heard(), counts(10, 6, 0));
        one.token();
        one.token();
        two.token();
        assert_eq!(heard(), counts(10, 6, 3));
        // The stop token was generated too.
        one.ended(&usage(10, 8, 3));
        other.ended(&usage(5, 5, 1));
        assert_eq!(heard(), counts(15, 11, 5));
        // A later round has prompts of its own.
        let [mut later] = tally.shares(&[0]).try_into().unwrap();
        later.begun(&usage(20, 15, 0));
        assert_eq!(heard(), counts(35, 26, 5));
    }

    #[test]
    fn the_meter_lives_as_long_as_the_last_share() {
        let last = Arc::new(Last::default());
        let weak = Arc::downgrade(&last);
        let tally = Arc::new(Tally::new(Meter::new(last)));
        let share = tally.shares(&[0]).pop().unwrap();
        drop(tally);
        assert!(weak.upgrade().is_some());
        drop(share);
        assert!(weak.upgrade().is_none());
    }
}
