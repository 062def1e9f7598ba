//! What the choices of an answer took together.

use phial_engine::Usage;

/// Sums up the choices of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UsageSum {
    generated_tokens: usize,
    /// The least of all choices: what none of them had to read. `None` before the first.
    cached_tokens: Option<usize>,
}

impl UsageSum {
    /// Adds a choice.
    pub(crate) fn add(&mut self, usage: &Usage) {
        self.generated_tokens += usage.generated_tokens;
        let cached = self.cached_tokens.unwrap_or(usize::MAX).min(usage.cached_tokens);
        self.cached_tokens = Some(cached);
    }

    /// In the words of the API. The prompt counts once.
    pub(crate) fn of_prompt(&self, prompt_tokens: usize) -> phial_openai::Usage {
        phial_openai::Usage::new(prompt_tokens, self.generated_tokens)
            .with_cached(self.cached_tokens.unwrap_or(0))
    }
}
