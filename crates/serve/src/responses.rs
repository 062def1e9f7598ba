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
    InvalidRequest, Item, McpListedTool, Message, ResponseObject, ResponsesRequest, Role,
    SamplingFields, conversation,
};

use crate::answer::{self, Ask, Input, Offer, Rounds, Wanted};
use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::chat;
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::external::ExternalTool;
use crate::measure::Measure;
use crate::response_store::{StoredResponse, Viewer};
use crate::sampling::sampling_options;
use crate::server::Server;
use draft::Draft;

pub(crate) use stored::{delete, input_items, show};

/// A response that is asked for.
struct Asked {
    ask: Ask,
    /// Servers whose tools are to be offered.
    wanted: Vec<Wanted>,
    /// Those of them whose tools the conversation lists already.
    listed: Vec<String>,
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
    let mut asked =
        blocking(move || read(&for_task, &body, Viewer::Owner(viewer.as_ref()))).await?;
    let Input::Chat { tools, .. } = &mut asked.ask.input else { return Err(ApiError::internal()) };
    let offer = Offer::gather(&server, &asked.wanted, tools).await?;
    let lists = offer.as_ref().map(|offer| lists(&server, offer, &asked.listed));
    let external = offer.map(|offer| (offer, asked.ask.clone()));
    let (ask, for_task) = (asked.ask, server.clone());
    let prepared = blocking(move || answer::prepare(&for_task, ask)).await?;
    let prompt_tokens = prepared.prompt_tokens();
    exchange.answers(&server.model().id, &asked.response.id, asked.stream, prompt_tokens);
    let mut draft = Draft::new(asked.response, prompt_tokens);
    let mut rounds = Rounds::start(&server, &exchange, prepared, external)?;
    let lists = lists.unwrap_or_default();
    if asked.stream {
        return Ok(streamed::respond(&server, (draft, lists), rounds, (asked.input, owner)));
    }
    draft.list(lists);
    while let Some((_, step)) = rounds.next().await? {
        draft.read_on(rounds.later_prompt_tokens());
        draft.step(&server, step);
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

/// Items that list the tools of servers, but for those that are `known`.
fn lists(server: &Server, offer: &Offer, known: &[String]) -> Vec<Item> {
    let new = offer.lists().iter().filter(|(label, _)| !known.contains(label));
    let item = |(label, tools): &(String, Vec<ExternalTool>)| Item::McpListTools {
        id: server.ids().next("mcpl_"),
        server_label: label.clone(),
        tools: tools.iter().map(listed).collect(),
        error: None,
    };
    new.map(item).collect()
}

fn listed(tool: &ExternalTool) -> McpListedTool {
    McpListedTool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        input_schema: tool.parameters.clone(),
        annotations: None,
    }
}

/// Reads and checks a body. Takes time in proportion to its length.
fn read(server: &Server, body: &[u8], viewer: Viewer<'_>) -> Result<Asked, ApiError> {
    let mut asked = ResponsesRequest::from_json(body)?;
    server.check_model(&asked.model)?;
    for item in &mut asked.input {
        item.name_by(|prefix| server.ids().next(prefix));
    }
    let (ask, listed) = ask(server, &asked, viewer)?;
    let wanted = asked.tools.servers.iter().map(chat::wanted).collect();
    let id = server.ids().next("resp_");
    let model = server.model().id.clone();
    Ok(Asked {
        ask,
        wanted,
        listed,
        response: ResponseObject::new(id, unix_seconds(), model, &asked),
        input: asked.store.then_some(asked.input),
        stream: asked.stream,
    })
}

/// The most that a response can take, whoever's the one is that it goes on from: whether it may is
/// found out when it is answered.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    let asked = read(server, body, Viewer::Anybody)?;
    let measure = answer::prepare(server, asked.ask)?.measure();
    Ok(if asked.wanted.is_empty() { measure } else { measure.of_all_rounds(server) })
}

/// What is asked of the model, and whose tools the conversation lists.
fn ask(
    server: &Server,
    asked: &ResponsesRequest,
    viewer: Viewer<'_>,
) -> Result<(Ask, Vec<String>), ApiError> {
    let earlier = match &asked.previous_response_id {
        None => Vec::new(),
        Some(id) => {
            let earlier = server.responses().conversation(viewer, id);
            earlier.map_err(|missing| ApiError::previous_response(&missing))?
        }
    };
    let mut messages = conversation(earlier.iter().chain(&asked.input))?;
    let listed = earlier.iter().chain(&asked.input).filter_map(|item| match item {
        Item::McpListTools { server_label, .. } => Some(server_label.clone()),
        _ => None,
    });
    let listed = listed.collect();
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
    let ask = Ask {
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
    };
    Ok((ask, listed))
}

fn system(content: String) -> Message {
    Message { role: Role::System, content, tool_calls: Vec::new(), tool_call_id: None }
}
