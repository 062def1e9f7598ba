//! An answer in one piece.

use axum::Json;
use phial_openai::{ChunkUsage, Completion, CompletionChoice, Usage};

use super::Answer;
use super::choice::Choice;
use crate::api_error::ApiError;
use crate::engine_thread::Submission;

/// Waits for all texts.
pub(super) async fn respond(
    answer: &Answer,
    mut choices: Vec<Choice>,
    mut submission: Submission,
) -> Result<Json<Completion>, ApiError> {
    let mut texts: Vec<CompletionChoice> = (0..choices.len())
        .map(|index| CompletionChoice {
            text: String::new(),
            index,
            logprobs: None,
            finish_reason: None,
        })
        .collect();
    let mut generated_tokens = 0;
    while !submission.is_done() {
        let (index, update) = submission.next().await?;
        let Some(piece) = choices[index].take(update)? else { continue };
        let text = &mut texts[index];
        text.text.push_str(&piece.text);
        if let Some(logprobs) = piece.logprobs {
            text.logprobs.get_or_insert_default().extend(logprobs);
        }
        text.finish_reason = piece.finish_reason;
        generated_tokens += piece.generated_tokens;
    }
    let usage = Usage::new(answer.prompt_tokens, generated_tokens);
    Ok(Json(answer.completion(texts, ChunkUsage::Known(usage))))
}
