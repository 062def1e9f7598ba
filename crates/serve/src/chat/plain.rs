//! An answer in one piece.

use axum::Json;
use phial_openai::{
    AssistantMessage, ChatCompletion, Choice, ChoiceLogprobs, FinishReason, McpCall, ToolCall,
};

use super::{Head, finish_reason, mcp_call};
use crate::answer::{Event, Rounds, Step};
use crate::api_error::ApiError;
use crate::usage::UsageSum;

/// A choice as far as it has come.
struct Draft {
    text: String,
    calls: Vec<ToolCall>,
    mcp_calls: Vec<McpCall>,
    logprobs: Option<ChoiceLogprobs>,
    finish_reason: FinishReason,
}

/// Waits for all choices.
pub(super) async fn respond(
    head: Head,
    mut rounds: Rounds,
) -> Result<Json<ChatCompletion>, ApiError> {
    let mut drafts: Vec<Draft> = (0..head.choices)
        .map(|_| Draft {
            text: String::new(),
            calls: Vec::new(),
            mcp_calls: Vec::new(),
            logprobs: head.logprobs.then(ChoiceLogprobs::default),
            finish_reason: FinishReason::Length,
        })
        .collect();
    let mut sum = UsageSum::default();
    while let Some((index, step)) = rounds.next().await? {
        let draft = &mut drafts[index];
        let event = match step {
            Step::Event(event) => event,
            Step::ExternalBegin(_) => continue,
            Step::External(call) => {
                draft.mcp_calls.push(mcp_call(call));
                continue;
            }
        };
        match event {
            Event::Text { text, logprobs } => {
                draft.text.push_str(&text);
                if let Some(reported) = &mut draft.logprobs {
                    reported.content.extend(logprobs);
                }
            }
            Event::CallBegin { id, name } => {
                draft.calls.push(ToolCall::new(id, name, String::new()));
            }
            Event::CallArguments(arguments) => {
                if let Some(call) = draft.calls.last_mut() {
                    call.function.arguments.push_str(&arguments);
                }
            }
            Event::CallEnd => {}
            Event::Finished { end, usage } => {
                draft.finish_reason = finish_reason(&end);
                sum.add(&usage);
            }
        }
    }
    let choices = drafts.into_iter().enumerate().map(|(index, draft)| Choice {
        index,
        message: AssistantMessage {
            mcp_calls: draft.mcp_calls,
            ..AssistantMessage::new(draft.text, draft.calls)
        },
        logprobs: draft.logprobs,
        finish_reason: draft.finish_reason,
    });
    Ok(Json(ChatCompletion {
        id: head.id,
        object: ChatCompletion::OBJECT,
        created: head.created,
        model: head.model,
        choices: choices.collect(),
        usage: sum.of_prompt(head.prompt_tokens + rounds.later_prompt_tokens()),
        system_fingerprint: head.fingerprint,
    }))
}
