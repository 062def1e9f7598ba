//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: the dialect of Anthropic's API.

mod plain;
mod streamed;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use phial_openai::{InvalidRequest, MessagesErrorBody, MessagesRequest, StopReason, TokenCount};

use crate::answer::{self, Ask, End, Input, Prepared};
use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::chat;
use crate::exchange::Exchange;
use crate::measure::Measure;
use crate::sampling::sampling_options;
use crate::server::Server;

/// An error in the shape of this dialect.
pub(crate) struct MessagesFailure(ApiError);

impl From<ApiError> for MessagesFailure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for MessagesFailure {
    fn into_response(self) -> Response {
        let body = error_body(&self.0);
        self.0.respond_with(Json(body))
    }
}

fn error_body(error: &ApiError) -> MessagesErrorBody {
    MessagesErrorBody::new(error.status().as_u16(), error.to_string())
}

/// What all parts of an answer share.
struct Head {
    id: String,
    model: String,
    prompt_tokens: usize,
}

/// Answers with a message.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, MessagesFailure> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let (prepared, stream) = blocking(move || prepare(&for_task, &body)).await?;
    let head = Head {
        id: server.ids().next("msg_"),
        model: server.model().id.clone(),
        prompt_tokens: prepared.prompt_tokens(),
    };
    exchange.answers(&head.model, &head.id, stream, head.prompt_tokens);
    let answer = prepared.start(&server, &exchange)?;
    if stream {
        return Ok(streamed::respond(&server, head, answer));
    }
    Ok(plain::respond(head, answer).await?.into_response())
}

fn prepare(server: &Server, body: &[u8]) -> Result<(Prepared, bool), ApiError> {
    let asked = MessagesRequest::from_json(body)?;
    check(server, &asked)?;
    let stream = asked.stream;
    let ask = Ask {
        sampling: sampling_options(&asked.sampling),
        tokens_max: asked.tokens_max,
        choices: 1,
        stop: asked.sampling.stop.clone(),
        logprobs: None,
        format: asked.format.clone(),
        ignore_eos: false,
        prediction: String::new(),
        input_field: "messages",
        input: input(asked),
    };
    Ok((answer::prepare(server, ask)?, stream))
}

/// The most that a message can take.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    Ok(prepare(server, body)?.0.measure())
}

fn check(server: &Server, asked: &MessagesRequest) -> Result<(), ApiError> {
    server.check_model(&asked.model)?;
    let most = server.options().limits.messages_max;
    if asked.messages.len() > most {
        let problem = format_args!("{} turns. Expected at most {most}.", asked.messages.len());
        return Err(InvalidRequest::value("messages", problem).into());
    }
    Ok(())
}

fn input(asked: MessagesRequest) -> Input {
    let messages = asked.messages.into_iter().map(chat::message).collect();
    Input::Chat { messages, tools: chat::tools(asked.tools) }
}

/// Counts what a request would read.
pub(crate) async fn count_tokens(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<TokenCount>, MessagesFailure> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let count = blocking(move || {
        let asked = MessagesRequest::from_json_to_count(&body).map_err(ApiError::from)?;
        check(&server, &asked)?;
        answer::count_tokens(&server, &input(asked), "messages")
    });
    Ok(Json(TokenCount { input_tokens: count.await? }))
}

/// Why a message ends, in the words of this dialect, and the stop sequence that came up.
fn stop_reason(end: End) -> (StopReason, Option<String>) {
    match end {
        End::Turn => (StopReason::EndTurn, None),
        End::Calls => (StopReason::ToolUse, None),
        End::StopString(stop) => (StopReason::StopSequence, Some(stop)),
        End::Length => (StopReason::MaxTokens, None),
    }
}
