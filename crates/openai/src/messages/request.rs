//! What a request for a message asks for.

use serde_json::Value;

use super::content::{read_messages, read_text};
use crate::answer_format::AnswerFormat;
use crate::chat::message::{Message, Role};
use crate::chat::tools::{FunctionTool, ToolChoice, Tools};
use crate::error::InvalidRequest;
use crate::fields::{Fields, check_name, type_name};
use crate::sampling::{SamplingFields, read_top_k};

/// A request for a message, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct MessagesRequest {
    /// The model asked for.
    pub model: String,
    /// The system's turn, if there is one, and the conversation.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Tools,
    /// Most tokens to generate, at least 1. Not given to count tokens.
    pub tokens_max: Option<usize>,
    /// What the text must be.
    pub format: Option<AnswerFormat>,
    /// How tokens are chosen.
    pub sampling: SamplingFields,
    /// Answer piece by piece.
    pub stream: bool,
}

/// Fields of a request for a message, and of one that counts tokens.
const NAMES: &[&str] = &[
    "messages",
    "model",
    "output_config",
    "output_format",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

/// Fields of a request for a message only.
const ANSWER_NAMES: &[&str] = &[
    "max_tokens",
    "metadata",
    "service_tier",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
];

impl MessagesRequest {
    /// The most stop sequences of a request.
    pub const STOP_SEQUENCES_MAX: usize = 16;

    /// Reads the body of `POST /v1/messages`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.known(&[NAMES, ANSWER_NAMES])?;
        let mut request = Self::read(&fields)?;
        fields.required("max_tokens")?;
        let tokens_max = fields.integer("max_tokens", 1..=i64::from(u32::MAX))?;
        request.tokens_max = tokens_max.map(|tokens| tokens as usize);
        request.sampling = SamplingFields {
            temperature: fields.decimal("temperature", 0.0..=1.0)?,
            top_p: fields.decimal("top_p", 0.0..=1.0)?,
            top_k: read_top_k(&fields)?,
            stop: read_stop(&fields)?,
            ..SamplingFields::default()
        };
        request.stream = fields.boolean("stream")?.unwrap_or(false);
        // A label of the client.
        if let Some(metadata) = fields.object("metadata")? {
            metadata.known(&[&["user_id"]])?;
            metadata.string("user_id")?;
        }
        match fields.string("service_tier")? {
            None | Some("auto" | "standard_only") => Ok(request),
            Some(_) => Err(InvalidRequest::unsupported("service_tier")),
        }
    }

    /// Reads the body of `POST /v1/messages/count_tokens`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json_to_count(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.known(&[NAMES])?;
        Self::read(&fields)
    }

    fn read(fields: &Fields<'_>) -> Result<Self, InvalidRequest> {
        fields.required("model")?;
        let model = fields.string("model")?.unwrap_or_default().to_owned();
        let mut messages = Vec::new();
        if let Some(content) = read_text(fields, "system")?.filter(|text| !text.is_empty()) {
            let (tool_calls, tool_call_id) = (Vec::new(), None);
            messages.push(Message { role: Role::System, content, tool_calls, tool_call_id });
        }
        messages.extend(read_messages(fields)?);
        check_thinking(fields)?;
        Ok(Self {
            model,
            messages,
            tools: read_tools(fields)?,
            tokens_max: None,
            format: AnswerFormat::of_message(fields)?,
            sampling: SamplingFields::default(),
            stream: false,
        })
    }
}

/// A model that never thinks aloud does as it is told where it may or may not, and not where it
/// must.
fn check_thinking(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    let Some(thinking) = fields.object("thinking")? else { return Ok(()) };
    thinking.required("type")?;
    match thinking.string("type")?.unwrap_or_default() {
        "disabled" | "adaptive" => Ok(()),
        _ => Err(InvalidRequest::unsupported_beyond(
            thinking.path("type"),
            "'disabled' and 'adaptive'",
        )),
    }
}

fn read_stop(fields: &Fields<'_>) -> Result<Vec<String>, InvalidRequest> {
    let list = fields.array("stop_sequences")?.map(Vec::as_slice).unwrap_or_default();
    if list.len() > MessagesRequest::STOP_SEQUENCES_MAX {
        let problem = format_args!(
            "{} stop sequences. Expected at most {}.",
            list.len(),
            MessagesRequest::STOP_SEQUENCES_MAX
        );
        return Err(InvalidRequest::value("stop_sequences", problem));
    }
    let read = |(index, value): (usize, &Value)| {
        let path = format!("stop_sequences[{index}]");
        match value.as_str() {
            Some("") => Err(InvalidRequest::value(path, "it is empty.")),
            Some(stop) => Ok(stop.to_owned()),
            None => Err(InvalidRequest::wrong_type(path, "a string", type_name(value))),
        }
    };
    list.iter().enumerate().map(read).collect()
}

fn read_tools(fields: &Fields<'_>) -> Result<Tools, InvalidRequest> {
    let given = fields.array("tools")?.map(Vec::as_slice).unwrap_or_default();
    if given.len() > Tools::COUNT_MAX {
        let problem = format_args!("{} tools. Expected at most {}.", given.len(), Tools::COUNT_MAX);
        return Err(InvalidRequest::value("tools", problem));
    }
    let mut list: Vec<FunctionTool> = Vec::with_capacity(given.len());
    for (index, tool) in given.iter().enumerate() {
        let fields = Fields::of(tool, format!("tools[{index}]"))?;
        let tool = read_tool(&fields)?;
        if list.iter().any(|other| other.name == tool.name) {
            let problem = format_args!("another tool is called '{}' as well.", tool.name);
            return Err(InvalidRequest::value(fields.path("name"), problem));
        }
        list.push(tool);
    }
    let (choice, parallel) = read_choice(fields, &list)?;
    Ok(Tools { list, servers: Vec::new(), choice, allowed: None, parallel })
}

fn read_tool(fields: &Fields<'_>) -> Result<FunctionTool, InvalidRequest> {
    if fields.string("type")?.is_some_and(|kind| kind != "custom") {
        return Err(InvalidRequest::unsupported_beyond(fields.path("type"), "'custom'"));
    }
    fields.known(&[&["cache_control", "description", "input_schema", "name", "strict", "type"]])?;
    fields.required("name")?;
    let name = fields.string("name")?.unwrap_or_default().to_owned();
    check_name(&name, fields.path("name"))?;
    let schema = fields.required("input_schema")?;
    Fields::of(schema, fields.path("input_schema"))?;
    Ok(FunctionTool {
        name,
        description: fields.string("description")?.map(str::to_owned),
        parameters: Some(schema.clone()),
        strict: fields.boolean("strict")?.unwrap_or(false),
    })
}

/// Whether to call, and whether more than once.
fn read_choice(
    fields: &Fields<'_>,
    list: &[FunctionTool],
) -> Result<(ToolChoice, bool), InvalidRequest> {
    let Some(choice) = fields.object("tool_choice")? else { return Ok((ToolChoice::Auto, true)) };
    choice.known(&[&["disable_parallel_tool_use", "name", "type"]])?;
    choice.required("type")?;
    let parallel = !choice.boolean("disable_parallel_tool_use")?.unwrap_or(false);
    let name = choice.string("name")?;
    let kind = match choice.string("type")?.unwrap_or_default() {
        "auto" => return Ok((ToolChoice::Auto, parallel)),
        "none" => return Ok((ToolChoice::None, parallel)),
        "any" => ToolChoice::Required,
        "tool" => {
            let name = name.ok_or_else(|| InvalidRequest::missing(choice.path("name")))?;
            if !list.iter().any(|tool| tool.name == name) {
                let problem = format_args!("no tool of this request is called '{name}'.");
                return Err(InvalidRequest::value(choice.path("name"), problem));
            }
            ToolChoice::Function(name.to_owned())
        }
        other => {
            let problem =
                format_args!("'{other}'. Supported values are: 'auto', 'any', 'tool' and 'none'.");
            return Err(InvalidRequest::value(choice.path("type"), problem));
        }
    };
    if list.is_empty() {
        return Err(InvalidRequest::value("tool_choice", "only allowed when 'tools' are given."));
    }
    Ok((kind, parallel))
}
