//! A message in one piece.

use axum::Json;
use phial_openai::{ContentBlock, MessageObject, MessagesUsage};

use super::{Head, stop_reason};
use crate::answer::{Answer, Event};
use crate::api_error::ApiError;

/// Waits for the whole message.
pub(super) async fn respond(
    head: Head,
    mut answer: Answer,
) -> Result<Json<MessageObject>, ApiError> {
    let mut message = MessageObject::new(head.id, head.model, MessagesUsage::default());
    let mut call: Option<(String, String, String)> = None;
    while let Some((_, event)) = answer.next().await? {
        match event {
            Event::Text { text: more, .. } => match message.content.last_mut() {
                Some(ContentBlock::Text { text }) => text.push_str(&more),
                _ => message.content.push(ContentBlock::Text { text: more }),
            },
            Event::CallBegin { id, name } => call = Some((id, name, String::new())),
            Event::CallArguments(more) => {
                if let Some((_, _, arguments)) = &mut call {
                    arguments.push_str(&more);
                }
            }
            // A call that was cut short has no arguments to call with, and is left out.
            Event::CallEnd => {
                if let Some((id, name, arguments)) = call.take()
                    && let Ok(input) = serde_json::from_str(&arguments)
                {
                    message.content.push(ContentBlock::ToolUse { id, name, input });
                }
            }
            Event::Finished { end, usage } => {
                (message.stop_reason, message.stop_sequence) = {
                    let (reason, sequence) = stop_reason(end);
                    (Some(reason), sequence)
                };
                message.usage = MessagesUsage::new(
                    head.prompt_tokens,
                    usage.cached_tokens,
                    usage.generated_tokens,
                );
            }
        }
    }
    Ok(Json(message))
}
