//! What a request can take at most, without running it.

use crate::server::Server;

/// The most that a request can take. Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Of the prompt, exactly; of all prompts, if there are several.
    pub prompt_tokens: u64,
    /// Generated at most, by all choices together.
    pub generated_tokens_max: u64,
}

impl Measure {
    /// Of a request that `server` runs tools for. Each further round reads what the rounds before
    /// it have become: at most a whole context.
    pub(crate) fn of_all_rounds(self, server: &Server) -> Self {
        let rounds = 1 + server.options().limits.external_rounds_max as u64;
        let context = server.context_tokens() as u64;
        Self {
            prompt_tokens: rounds * context,
            generated_tokens_max: rounds * self.generated_tokens_max.max(context),
        }
    }
}
