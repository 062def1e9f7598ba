//! An answer in one piece.

use axum::Json;
use phial_openai::{ChunkUsage, Completion, CompletionChoice};

use super::choice::Choice;
use super::{Head, Usages};
use crate::answer::Answer;
use crate::api_error::ApiError;

/// Waits for all texts.
pub(super) async fn respond(
    head: &Head,
    mut choices: Vec<Choice>,
    mut running: Answer,
) -> Result<Json<Completion>, ApiError> {
    let mut texts: Vec<CompletionChoice> = (0..choices.len())
        .map(|index| CompletionChoice {
            text: String::new(),
            index,
            logprobs: None,
            finish_reason: None,
        })
        .collect();
    let mut usages = Usages::new(head, texts.len());
    while let Some((index, event)) = running.next().await? {
        let piece = choices[index].take(event, || running.take_prompt_logprobs(index));
        let text = &mut texts[index];
        text.text.push_str(&piece.text);
        if let Some(logprobs) = piece.logprobs {
            text.logprobs.get_or_insert_default().extend(logprobs);
        }
        if let Some((reason, usage)) = piece.finish {
            text.finish_reason = Some(reason);
            usages.add(index, &usage);
        }
    }
    let usage = usages.total(head.prompt_tokens);
    Ok(Json(head.completion(texts, ChunkUsage::Known(usage))))
}
