//! One text on its way.

use std::sync::Arc;

use phial_engine::{TokenId, TokenLogprobs, Usage};
use phial_openai::{CompletionLogprobs, FinishReason};
use phial_text::Tokenizer;

use super::legacy_logprobs::LegacyLogprobs;
use crate::answer::Event;
use crate::chat::finish_reason;
use crate::server::ServedModel;

/// A prompt that its text begins with.
pub(super) struct Echo {
    pub text: String,
    pub tokens: Vec<TokenId>,
}

/// What an event adds to a text.
pub(super) struct Piece {
    pub text: String,
    pub logprobs: Option<CompletionLogprobs>,
    /// Why it ends and what it took, once it does.
    pub finish: Option<(FinishReason, Usage)>,
}

/// A text as far as it has come.
pub(super) struct Choice {
    tokenizer: Arc<Tokenizer>,
    /// Until it was sent.
    echo: Option<Echo>,
    logprobs: Option<LegacyLogprobs>,
}

impl Choice {
    pub fn new(model: &ServedModel, echo: Option<Echo>, wants_logprobs: bool) -> Self {
        Self {
            tokenizer: Arc::clone(&model.tokenizer),
            echo,
            logprobs: wants_logprobs.then(LegacyLogprobs::new),
        }
    }

    /// What `event` adds. `prompt` gives the log-probabilities of the prompt, when they are due.
    pub fn take(&mut self, event: Event, prompt: impl FnOnce() -> Vec<TokenLogprobs>) -> Piece {
        let (mut text, mut logprobs) = self.take_echo(prompt);
        let mut finish = None;
        match event {
            Event::Text { text: more, logprobs: entries } => {
                text.push_str(&more);
                if let Some(legacy) = &mut self.logprobs {
                    logprobs.get_or_insert_default().extend(legacy.generated(&entries));
                }
            }
            Event::Finished { end, usage } => {
                finish = Some((finish_reason(&end), usage));
            }
            // No tools are offered to a text.
            Event::CallBegin { .. } | Event::CallArguments(_) | Event::CallEnd => {}
        }
        Piece { text, logprobs, finish }
    }

    /// The prompt, the first time.
    fn take_echo(
        &mut self,
        prompt: impl FnOnce() -> Vec<TokenLogprobs>,
    ) -> (String, Option<CompletionLogprobs>) {
        let Some(Echo { text, tokens }) = self.echo.take() else { return (String::new(), None) };
        let reported = prompt();
        let logprobs =
            self.logprobs.as_mut().map(|legacy| legacy.prompt(&self.tokenizer, &tokens, &reported));
        (text, logprobs)
    }
}
