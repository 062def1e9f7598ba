//! `POST /v1/chat/completions`

mod convert;
mod logprobs;
mod plain;
mod streamed;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::body::read_json;
use crate::server::Server;

/// What all parts of an answer share.
struct Answer {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
    choices: usize,
    prompt_tokens: usize,
    logprobs: bool,
}

impl Answer {
    fn new(server: &Server, prepared: &convert::Prepared) -> Self {
        // A clock before the epoch is no reason to refuse work.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: server.ids().next("chatcmpl-"),
            created: now.as_secs(),
            model: server.model().id.clone(),
            fingerprint: server.fingerprint().to_owned(),
            choices: prepared.requests.len(),
            prompt_tokens: prepared.prompt_tokens,
            logprobs: prepared.logprobs,
        }
    }
}

/// Answers a chat.
pub(crate) async fn create(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    // A long text takes a while to become tokens; other answers must not wait for that.
    let for_task = server.clone();
    let prepared = tokio::task::spawn_blocking(move || convert::prepare(&for_task, &body))
        .await
        .map_err(|_| {
        tracing::error!("preparing a request panicked");
        ApiError::internal()
    })??;
    let answer = Answer::new(&server, &prepared);
    tracing::debug!(
        id = answer.id,
        prompt_tokens = answer.prompt_tokens,
        choices = answer.choices,
        streamed = prepared.stream.is_some(),
        "submitting"
    );
    let submission = server.engine().submit(prepared.requests)?;
    match prepared.stream {
        Some(options) => Ok(streamed::respond(&server, answer, submission, options)),
        None => Ok(plain::respond(&server, answer, submission).await?.into_response()),
    }
}

/// The engine's reason in the words of the API.
fn finish_reason(reason: &phial_engine::FinishReason) -> phial_openai::FinishReason {
    match reason {
        phial_engine::FinishReason::StopToken | phial_engine::FinishReason::StopString(_) => {
            phial_openai::FinishReason::Stop
        }
        phial_engine::FinishReason::Length => phial_openai::FinishReason::Length,
        // A limit was reached, and the text is not complete: what clients know as this reason.
        phial_engine::FinishReason::Constraint(reason) => {
            tracing::warn!(reason, "a constraint was given up");
            phial_openai::FinishReason::Length
        }
    }
}
