//! `POST /v1/chat/completions`

mod convert;
mod plain;
mod streamed;

pub(crate) use convert::render;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::clock::unix_seconds;
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
        Self {
            id: server.ids().next("chatcmpl-"),
            created: unix_seconds(),
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
    let for_task = server.clone();
    let prepared = blocking(move || convert::prepare(&for_task, &body)).await?;
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
