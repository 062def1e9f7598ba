//! `POST /v1/completions`

mod choice;
mod convert;
mod legacy_logprobs;
mod plain;
mod streamed;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use phial_openai::{ChunkUsage, Completion, CompletionChoice};

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
    prompt_tokens: usize,
}

impl Answer {
    fn completion(&self, choices: Vec<CompletionChoice>, usage: ChunkUsage) -> Completion {
        Completion {
            id: self.id.clone(),
            object: Completion::OBJECT,
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices,
            usage,
        }
    }
}

/// Goes on with texts.
pub(crate) async fn create(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let prepared = blocking(move || convert::prepare(&for_task, &body)).await?;
    let answer = Answer {
        id: server.ids().next("cmpl-"),
        created: unix_seconds(),
        model: server.model().id.clone(),
        fingerprint: server.fingerprint().to_owned(),
        prompt_tokens: prepared.prompt_tokens,
    };
    tracing::debug!(
        id = answer.id,
        prompt_tokens = answer.prompt_tokens,
        choices = prepared.choices.len(),
        streamed = prepared.stream.is_some(),
        "submitting"
    );
    let submission = server.engine().submit(prepared.requests)?;
    match prepared.stream {
        Some(options) => {
            Ok(streamed::respond(&server, answer, prepared.choices, submission, options))
        }
        None => Ok(plain::respond(&answer, prepared.choices, submission).await?.into_response()),
    }
}
