//! An answer in one piece.

use axum::Json;
use phial_openai::{AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, FinishReason};

use super::logprobs::LogprobQueue;
use super::{Answer, finish_reason};
use crate::api_error::ApiError;
use crate::engine_thread::{Submission, Update};
use crate::server::Server;
use crate::usage::UsageSum;

/// A choice as far as it has come.
struct Draft {
    text: String,
    logprobs: Option<(LogprobQueue, ChoiceLogprobs)>,
    finish_reason: FinishReason,
}

impl Draft {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some((queue, reported)) = &mut self.logprobs {
            reported.content.extend(queue.take(text).content);
        }
    }
}

/// Waits for all choices.
pub(super) async fn respond(
    server: &Server,
    answer: Answer,
    mut submission: Submission,
) -> Result<Json<ChatCompletion>, ApiError> {
    let mut drafts: Vec<Draft> = (0..answer.choices)
        .map(|_| Draft {
            text: String::new(),
            logprobs: answer
                .logprobs
                .then(|| (LogprobQueue::new(server.model()), ChoiceLogprobs::default())),
            finish_reason: FinishReason::Length,
        })
        .collect();
    let mut sum = UsageSum::default();
    while !submission.is_done() {
        let (index, update) = submission.next().await?;
        let draft = &mut drafts[index];
        match update {
            Update::Token { token, text, logprobs } => {
                if let (Some((queue, _)), Some(logprobs)) = (&mut draft.logprobs, &logprobs) {
                    queue.push(token, logprobs);
                }
                draft.push(&text);
            }
            Update::Finished { reason, text, usage } => {
                draft.push(&text);
                draft.finish_reason = finish_reason(&reason);
                sum.add(&usage);
            }
            Update::Rejected(rejected) => return Err(ApiError::from(&rejected)),
        }
    }
    let choices = drafts.into_iter().enumerate().map(|(index, draft)| Choice {
        index,
        message: AssistantMessage::text(draft.text),
        logprobs: draft.logprobs.map(|(_, reported)| reported),
        finish_reason: draft.finish_reason,
    });
    Ok(Json(ChatCompletion {
        id: answer.id,
        object: ChatCompletion::OBJECT,
        created: answer.created,
        model: answer.model,
        choices: choices.collect(),
        usage: sum.of_prompt(answer.prompt_tokens),
        system_fingerprint: answer.fingerprint,
    }))
}
