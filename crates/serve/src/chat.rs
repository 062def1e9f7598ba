//! `POST /v1/chat/completions`

mod convert;
mod plain;
mod streamed;

pub(crate) use convert::{ask, message, tools, wanted};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use phial_openai::{InvalidRequest, McpCall};

use crate::answer::{self, End, ExternalCall, Input, Offer, Rounds};
use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::measure::Measure;
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

/// Answers a chat.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let mut chat = blocking(move || convert::read(&for_task, &body)).await?;
    let Input::Chat { tools, .. } = &mut chat.ask.input else { return Err(ApiError::internal()) };
    let offer = Offer::gather(&server, &chat.wanted, tools).await?;
    if offer.is_some() && chat.ask.choices > 1 {
        return Err(InvalidRequest::value("n", "tools of servers go with one choice only.").into());
    }
    let external = offer.map(|offer| (offer, chat.ask.clone()));
    let (ask, for_task) = (chat.ask, server.clone());
    let prepared = blocking(move || answer::prepare(&for_task, ask)).await?;
    let head = Head {
        id: server.ids().next("chatcmpl-"),
        created: unix_seconds(),
        model: server.model().id.clone(),
        fingerprint: server.fingerprint().to_owned(),
        choices: prepared.choices(),
        prompt_tokens: prepared.prompt_tokens(),
        logprobs: chat.logprobs,
        tools: chat.tools,
    };
    exchange.answers(&head.model, &head.id, chat.stream.is_some(), head.prompt_tokens);
    let rounds = Rounds::start(&server, &exchange, prepared, external)?;
    match chat.stream {
        Some(options) => Ok(streamed::respond(&server, head, rounds, options)),
        None => Ok(plain::respond(head, rounds).await?.into_response()),
    }
}

/// The most that a chat can take.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    let chat = convert::read(server, body)?;
    let has_external = !chat.wanted.is_empty();
    let measure = answer::prepare(server, chat.ask)?.measure();
    Ok(if has_external { measure.of_all_rounds(server) } else { measure })
}

/// A call that the server ran, in the words of the API.
fn mcp_call(call: ExternalCall) -> McpCall {
    let (output, error) = match call.result {
        Ok(output) => (Some(output), None),
        Err(error) => (None, Some(error)),
    };
    McpCall {
        id: call.id,
        kind: McpCall::KIND,
        server_label: call.server,
        name: call.tool,
        arguments: call.arguments,
        output,
        error,
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
