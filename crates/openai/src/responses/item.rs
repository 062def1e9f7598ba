//! Items: what conversations in this dialect are made of.

use serde::Serialize;
use serde_json::Value;

use super::mcp::{self, McpCallStatus, McpListedTool};
use crate::chat::logprobs::TokenLogprob;
use crate::chat::message::{Message, Role};
use crate::chat::tools::ToolCall;
use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// An item of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// Something said.
    Message {
        /// `msg_…`
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// Who says it: `user`, `system`, `developer` or `assistant`.
        role: &'static str,
        /// What.
        content: Vec<ItemContent>,
    },
    /// A call of a tool.
    FunctionCall {
        /// `fc_…`
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// By which the result refers to it.
        call_id: String,
        /// The tool.
        name: String,
        /// JSON as text.
        arguments: String,
    },
    /// What a call gave.
    FunctionCallOutput {
        /// `fco_…`
        id: String,
        /// How far it is.
        status: ItemStatus,
        /// The call.
        call_id: String,
        /// What it gave.
        output: String,
    },
    /// The tools of a server that the model may call.
    McpListTools {
        /// `mcpl_…`
        id: String,
        /// The server.
        server_label: String,
        /// Its tools.
        tools: Vec<McpListedTool>,
        /// Always `None`: without a list there is no response.
        error: Option<String>,
    },
    /// A call of such a tool, which this server ran.
    McpCall {
        /// `mcp_…`
        id: String,
        /// How far it is.
        status: McpCallStatus,
        /// The server of the tool.
        server_label: String,
        /// The tool.
        name: String,
        /// JSON as text.
        arguments: String,
        /// What it gave.
        output: Option<String>,
        /// Why it gave nothing.
        error: Option<Value>,
        /// Always `None`: nobody is asked.
        approval_request_id: Option<String>,
    },
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemStatus {
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut.
    Incomplete,
}

/// A part of something said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ItemContent {
    /// By anybody but the model.
    InputText {
        /// The text.
        text: String,
    },
    /// By the model.
    OutputText {
        /// The text.
        text: String,
        /// Always empty.
        annotations: [(); 0],
        /// Of its tokens; empty unless asked for.
        logprobs: Vec<TokenLogprob>,
    },
}

impl ItemContent {
    /// Text of the model.
    pub fn output(text: String, logprobs: Vec<TokenLogprob>) -> Self {
        Self::OutputText { text, annotations: [], logprobs }
    }

    fn text(&self) -> &str {
        match self {
            Self::InputText { text } | Self::OutputText { text, .. } => text,
        }
    }
}

impl Item {
    /// Something that a user says.
    pub(crate) fn user(text: String) -> Self {
        let content = vec![ItemContent::InputText { text }];
        Self::Message { id: String::new(), status: ItemStatus::Completed, role: "user", content }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::FunctionCallOutput { id, .. }
            | Self::McpListTools { id, .. }
            | Self::McpCall { id, .. } => id,
        }
    }

    /// Names it by what `name` makes of the beginning of such names, unless it has a name.
    pub fn name_by(&mut self, name: impl FnOnce(&str) -> String) {
        let (prefix, id) = match self {
            Self::Message { id, .. } => ("msg_", id),
            Self::FunctionCall { id, .. } => ("fc_", id),
            Self::FunctionCallOutput { id, .. } => ("fco_", id),
            Self::McpListTools { id, .. } => ("mcpl_", id),
            Self::McpCall { id, .. } => ("mcp_", id),
        };
        if id.is_empty() {
            *id = name(prefix);
        }
    }

    /// Reads the item found at `path`; `None` for one that no model reads again.
    pub(crate) fn read(value: &Value, path: String) -> Result<Option<Self>, InvalidRequest> {
        let fields = Fields::of(value, path)?;
        let id = fields.string("id")?.unwrap_or_default().to_owned();
        let status = ItemStatus::Completed;
        match fields.string("type")?.unwrap_or("message") {
            "message" => {
                fields.known(&[&["content", "id", "phase", "role", "status", "type"]])?;
                let (role, content) = read_message(&fields)?;
                Ok(Some(Self::Message { id, status, role, content }))
            }
            "function_call" => {
                fields.known(&[&["arguments", "call_id", "id", "name", "status", "type"]])?;
                Ok(Some(Self::FunctionCall {
                    id,
                    status,
                    call_id: required_text(&fields, "call_id")?,
                    name: required_text(&fields, "name")?,
                    arguments: required_text(&fields, "arguments")?,
                }))
            }
            "function_call_output" => {
                fields.known(&[&["call_id", "id", "output", "status", "type"]])?;
                fields.required("output")?;
                let (call_id, output) =
                    (required_text(&fields, "call_id")?, read_texts(&fields, "output")?.join("\n"));
                Ok(Some(Self::FunctionCallOutput { id, status, call_id, output }))
            }
            "mcp_list_tools" => mcp::read_list(&fields, id).map(Some),
            "mcp_call" => mcp::read_call(&fields, id).map(Some),
            // Thoughts of an earlier turn.
            "reasoning" => Ok(None),
            other => Err(InvalidRequest::value(
                fields.path("type"),
                format_args!(
                    "'{other}'. Supported values are: 'message', 'function_call', \
                     'function_call_output', 'mcp_list_tools', 'mcp_call' and 'reasoning'."
                ),
            )),
        }
    }
}

fn required_text(fields: &Fields<'_>, name: &str) -> Result<String, InvalidRequest> {
    fields.required(name)?;
    Ok(fields.string(name)?.unwrap_or_default().to_owned())
}

fn read_message(fields: &Fields<'_>) -> Result<(&'static str, Vec<ItemContent>), InvalidRequest> {
    fields.required("role")?;
    let given = fields.string("role")?.unwrap_or_default();
    let known = ["user", "system", "developer", "assistant"];
    let Some(role) = known.into_iter().find(|role| *role == given) else {
        let problem = format_args!(
            "'{given}'. Supported values are: 'user', 'system', 'developer' and 'assistant'."
        );
        return Err(InvalidRequest::value(fields.path("role"), problem));
    };
    fields.required("content")?;
    let part = |text| match role {
        "assistant" => ItemContent::output(text, Vec::new()),
        _ => ItemContent::InputText { text },
    };
    Ok((role, read_texts(fields, "content")?.into_iter().map(part).collect()))
}

/// The texts of a field that is a text or a list of parts.
fn read_texts(fields: &Fields<'_>, name: &str) -> Result<Vec<String>, InvalidRequest> {
    let path = fields.path(name);
    let parts = match fields.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![text.clone()]),
        Some(Value::Array(parts)) => parts,
        Some(other) => {
            let expected = "a string or an array of content parts";
            return Err(InvalidRequest::wrong_type(path, expected, type_name(other)));
        }
    };
    let read = |(index, part): (usize, &Value)| {
        let part = Fields::of(part, format!("{path}[{index}]"))?;
        part.required("type")?;
        match part.string("type")?.unwrap_or_default() {
            "input_text" | "output_text" | "text" => required_text(&part, "text"),
            "refusal" => required_text(&part, "refusal"),
            other => Err(InvalidRequest {
                message: format!(
                    "Invalid content: parts of type '{other}' are not supported by this model; it \
                     reads text only."
                ),
                param: Some(part.path("type")),
                code: Some("unsupported_content_type"),
            }),
        }
    };
    parts.iter().enumerate().map(read).collect()
}

/// The conversation that `items` make. What the model says and calls in one go is one turn.
///
/// # Errors
/// If a result belongs to no call; named as the field `input`.
pub fn conversation<'a>(
    items: impl IntoIterator<Item = &'a Item>,
) -> Result<Vec<Message>, InvalidRequest> {
    let mut messages: Vec<Message> = Vec::new();
    let turn =
        |role, content| Message { role, content, tool_calls: Vec::new(), tool_call_id: None };
    for item in items {
        match item {
            Item::Message { role, content, .. } => {
                let texts: Vec<&str> = content.iter().map(ItemContent::text).collect();
                let role = match *role {
                    "user" => Role::User,
                    "assistant" => Role::Assistant,
                    _ => Role::System,
                };
                messages.push(turn(role, texts.join("\n")));
            }
            Item::FunctionCall { call_id, name, arguments, .. } => {
                let call = ToolCall::new(call_id.clone(), name.clone(), arguments.clone());
                push_call(&mut messages, call);
            }
            // The model is told anew what it may call.
            Item::McpListTools { .. } => {}
            Item::McpCall { id, name, arguments, output, error, .. } => {
                let call = ToolCall::new(id.clone(), name.clone(), arguments.clone());
                push_call(&mut messages, call);
                let result = turn(Role::Tool, mcp::result(output.as_ref(), error.as_ref()));
                messages.push(Message { tool_call_id: Some(id.clone()), ..result });
            }
            Item::FunctionCallOutput { call_id, output, .. } => {
                let mut calls = messages.iter().flat_map(|message| &message.tool_calls);
                if !calls.any(|call| call.id == *call_id) {
                    let problem = format_args!(
                        "No tool call found for function call output with call_id {call_id}."
                    );
                    return Err(InvalidRequest::value("input", problem));
                }
                let result = turn(Role::Tool, output.clone());
                messages.push(Message { tool_call_id: Some(call_id.clone()), ..result });
            }
        }
    }
    Ok(messages)
}

/// Adds a call to the turn of the model, which begins with it if the last turn is another's.
fn push_call(messages: &mut Vec<Message>, call: ToolCall) {
    match messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.tool_calls.push(call),
        _ => messages.push(Message {
            role: Role::Assistant,
            content: String::new(),
            tool_calls: vec![call],
            tool_call_id: None,
        }),
    }
}
