//! `/v1/responses`

mod draft;
mod stored;
mod streamed;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use phial_openai::metering::Owner;
use phial_openai::{
    InvalidRequest, Item, Message, ResponseObject, ResponsesRequest, Role, SamplingFields,
    conversation,
};

use crate::answer::{self, Ask, Input, Prepared};
use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::chat;
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::measure::Measure;
use crate::response_store::{StoredResponse, Viewer};
use crate::sampling::sampling_options;
use crate::server::Server;
use draft::Draft;

pub(crate) use stored::{delete, input_items, show};

/// A response that the engine can take.
struct PreparedResponse {
    prepared: Prepared,
    response: ResponseObject,
    /// To be stored with it, if it is to be stored.
    input: Option<Vec<Item>>,
    stream: bool,
}

/// Answers with a response.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let owner = exchange.owner().cloned();
    let viewer = owner.clone();
    let asked = blocking(move || prepare(&for_task, &body, Viewer::Owner(viewer.as_ref()))).await?;
    exchange.answers(&server.model().id, &asked.response.id, asked.stream);
    let draft = Draft::new(asked.response, asked.prepared.prompt_tokens());
    let mut answer = asked.prepared.start(&server, &exchange)?;
    if asked.stream {
        return Ok(streamed::respond(&server, draft, answer, asked.input, owner));
    }
    let mut draft = draft;
    while let Some((_, event)) = answer.next().await? {
        draft.take(&server, event);
    }
    store(&server, draft.response(), asked.input, owner);
    Ok(Json(draft.into_response()).into_response())
}

/// Keeps a response with its input, if there is one to keep it with.
fn store(
    server: &Server,
    response: &ResponseObject,
    input: Option<Vec<Item>>,
    owner: Option<Owner>,
) {
    if let Some(input) = input {
        let response = response.clone();
        server.responses().add(StoredResponse { response, input, owner });
    }
}

/// Reads, checks and tokenises a body. Takes time in proportion to its length.
fn prepare(server: &Server, body: &[u8], viewer: Viewer<'_>) -> Result<PreparedResponse, ApiError> {
    let mut asked = ResponsesRequest::from_json(body)?;
    server.check_model(&asked.model)?;
    for item in &mut asked.input {
        item.name_by(|prefix| server.ids().next(prefix));
    }
    let ask = ask(server, &asked, viewer)?;
    let id = server.ids().next("resp_");
    let model = server.model().id.clone();
    Ok(PreparedResponse {
        prepared: answer::prepare(server, ask)?,
        response: ResponseObject::new(id, unix_seconds(), model, &asked),
        input: asked.store.then_some(asked.input),
        stream: asked.stream,
    })
}

/// The most that a response can take, whoever's the one is that it goes on from: whether it may is
/// found out when it is answered.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    Ok(prepare(server, body, Viewer::Anybody)?.prepared.measure())
}

fn ask(server: &Server, asked: &ResponsesRequest, viewer: Viewer<'_>) -> Result<Ask, ApiError> {
    let earlier = match &asked.previous_response_id {
        None => Vec::new(),
        Some(id) => {
            let earlier = server.responses().conversation(viewer, id);
            earlier.map_err(|missing| ApiError::previous_response(&missing))?
        }
    };
    let mut messages = conversation(earlier.iter().chain(&asked.input))?;
    if let Some(instructions) = &asked.instructions {
        messages.insert(0, system(instructions.clone()));
    }
    let most = server.options().limits.messages_max;
    if messages.len() > most {
        let problem =
            format_args!("the conversation has {} turns. Expected at most {most}.", messages.len());
        return Err(InvalidRequest::value("input", problem).into());
    }
    let sampling = SamplingFields {
        temperature: asked.temperature,
        top_p: asked.top_p,
        ..SamplingFields::default()
    };
    Ok(Ask {
        input: Input::Chat {
            messages: messages.into_iter().map(chat::message).collect(),
            tools: chat::tools(asked.tools.clone()),
        },
        input_field: "input",
        tokens_max: asked.tokens_max,
        sampling: sampling_options(&sampling),
        choices: 1,
        stop: Vec::new(),
        logprobs: asked.logprobs,
        format: asked.format.clone(),
        ignore_eos: false,
        prediction: String::new(),
    })
}

fn system(content: String) -> Message {
    Message { role: Role::System, content, tool_calls: Vec::new(), tool_call_id: None }
}
