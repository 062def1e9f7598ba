//! One text on its way.

use std::sync::Arc;

use phial_engine::{TokenId, TokenLogprobs};
use phial_openai::{CompletionLogprobs, FinishReason};
use phial_text::Tokenizer;

use super::legacy_logprobs::LegacyLogprobs;
use crate::api_error::ApiError;
use crate::engine_thread::Update;
use crate::finish_reason::finish_reason;
use crate::logprobs::LogprobQueue;
use crate::server::ServedModel;

/// A prompt that its text begins with.
pub(super) struct Echo {
    pub text: String,
    pub tokens: Vec<TokenId>,
}

/// What an update adds to a text.
pub(super) struct Piece {
    pub text: String,
    pub logprobs: Option<CompletionLogprobs>,
    pub finish_reason: Option<FinishReason>,
    /// Tokens generated, once it is finished.
    pub generated_tokens: usize,
}

/// A text as far as it has come.
pub(super) struct Choice {
    tokenizer: Arc<Tokenizer>,
    /// Until it was sent.
    echo: Option<Echo>,
    prompt_logprobs: Vec<TokenLogprobs>,
    logprobs: Option<(LogprobQueue, LegacyLogprobs)>,
}

impl Choice {
    pub fn new(model: &ServedModel, echo: Option<Echo>, wants_logprobs: bool) -> Self {
        Self {
            tokenizer: Arc::clone(&model.tokenizer),
            echo,
            prompt_logprobs: Vec::new(),
            logprobs: wants_logprobs.then(|| (LogprobQueue::new(model), LegacyLogprobs::new())),
        }
    }

    /// What `update` adds, if anything.
    pub fn take(&mut self, update: Update) -> Result<Option<Piece>, ApiError> {
        let (text, finish) = match update {
            Update::PromptLogprobs(logprobs) => {
                self.prompt_logprobs.extend(logprobs);
                return Ok(None);
            }
            // Not asked for.
            Update::PromptHidden(_) => return Ok(None),
            Update::Token { token, text, logprobs } => {
                if let (Some((queue, _)), Some(logprobs)) = (&mut self.logprobs, &logprobs) {
                    queue.push(token, logprobs);
                }
                (text, None)
            }
            Update::Finished { reason, text, usage } => {
                (text, Some((finish_reason(&reason), usage.generated_tokens)))
            }
            Update::Rejected(rejected) => return Err(ApiError::from(&rejected)),
        };
        let (mut piece, mut logprobs) = self.take_echo();
        if let Some((queue, legacy)) = &mut self.logprobs
            && !text.is_empty()
        {
            let more = legacy.generated(&queue.take(&text));
            logprobs.get_or_insert_default().extend(more);
        }
        piece.push_str(&text);
        if piece.is_empty() && finish.is_none() {
            return Ok(None);
        }
        Ok(Some(Piece {
            text: piece,
            logprobs,
            finish_reason: finish.map(|(reason, _)| reason),
            generated_tokens: finish.map_or(0, |(_, tokens)| tokens),
        }))
    }

    /// The prompt, the first time.
    fn take_echo(&mut self) -> (String, Option<CompletionLogprobs>) {
        let Some(Echo { text, tokens }) = self.echo.take() else { return (String::new(), None) };
        let reported = std::mem::take(&mut self.prompt_logprobs);
        let logprobs = self
            .logprobs
            .as_mut()
            .map(|(_, legacy)| legacy.prompt(&self.tokenizer, &tokens, &reported));
        (text, logprobs)
    }
}
