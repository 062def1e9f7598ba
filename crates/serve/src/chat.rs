//! `POST /v1/chat/completions`

mod convert;
mod plain;
mod streamed;

pub(crate) use convert::{ask, message, tools};

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::answer::End;
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
    choices: usize,
    prompt_tokens: usize,
    logprobs: bool,
    /// Whether there may be calls.
    tools: bool,
}

impl Head {
    fn new(server: &Server, chat: &convert::PreparedChat) -> Self {
        Self {
            id: server.ids().next("chatcmpl-"),
            created: unix_seconds(),
            model: server.model().id.clone(),
            fingerprint: server.fingerprint().to_owned(),
            choices: chat.prepared.choices(),
            prompt_tokens: chat.prepared.prompt_tokens(),
            logprobs: chat.logprobs,
            tools: chat.tools,
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
    let chat = blocking(move || convert::prepare(&for_task, &body)).await?;
    let head = Head::new(&server, &chat);
    tracing::debug!(
        id = head.id,
        prompt_tokens = head.prompt_tokens,
        choices = head.choices,
        streamed = chat.stream.is_some(),
        "submitting"
    );
    let answer = chat.prepared.start(&server)?;
    match chat.stream {
        Some(options) => Ok(streamed::respond(&server, head, answer, options)),
        None => Ok(plain::respond(head, answer).await?.into_response()),
    }
}

/// Why a choice ends, in the words of the API.
pub(crate) fn finish_reason(end: &End) -> phial_openai::FinishReason {
    match end {
        End::Turn | End::StopString(_) => phial_openai::FinishReason::Stop,
        End::Calls => phial_openai::FinishReason::ToolCalls,
        End::Length => phial_openai::FinishReason::Length,
    }
}
