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
struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
    prompt_tokens: usize,
}

impl Head {
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
    let completions = blocking(move || convert::prepare(&for_task, &body)).await?;
    let head = Head {
        id: server.ids().next("cmpl-"),
        created: unix_seconds(),
        model: server.model().id.clone(),
        fingerprint: server.fingerprint().to_owned(),
        prompt_tokens: completions.prepared.prompt_tokens(),
    };
    tracing::debug!(
        id = head.id,
        prompt_tokens = head.prompt_tokens,
        choices = completions.prepared.choices(),
        streamed = completions.stream.is_some(),
        "submitting"
    );
    let answer = completions.prepared.start(&server)?;
    let choices = completions.choices;
    match completions.stream {
        Some(options) => Ok(streamed::respond(&server, head, choices, answer, options)),
        None => Ok(plain::respond(&head, choices, answer).await?.into_response()),
    }
}
