//! The messages of a chat.

use serde_json::Value;

use crate::chat::tools::ToolCall;
use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions; `developer` is another name for it.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a call of the model gave.
    Tool,
}

impl Role {
    /// The name that chat templates know.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What they say; text parts are joined by line breaks. An assistant may have said nothing.
    pub content: String,
    /// What the assistant called in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result this is: present in a tool's turn and in no other.
    pub tool_call_id: Option<String>,
}

/// Fields of a message. Clients send answers back as they read them: `annotations` and `mcp_calls`
/// say what came of an answer, `parsed` is what the official clients made of it.
const NAMES: &[&str] = &[
    "annotations",
    "audio",
    "content",
    "function_call",
    "mcp_calls",
    "name",
    "parsed",
    "refusal",
    "role",
    "tool_call_id",
    "tool_calls",
];

/// Fields of a part of a message. The last two say what is worth caching; everything is cached.
const PART_NAMES: &[&str] =
    &["refusal", "text", "type", "cache_control", "prompt_cache_breakpoint"];

impl Message {
    /// Reads the message found at `path`.
    pub(crate) fn read(value: &Value, path: String) -> Result<Self, InvalidRequest> {
        let fields = Fields::of(value, path)?;
        fields.required("role")?;
        fields.known(&[NAMES])?;
        let role = match fields.string("role")?.unwrap_or_default() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" => Role::Tool,
            "function" => {
                return Err(InvalidRequest::unsupported_beyond(
                    fields.path("role"),
                    "'system', 'developer', 'user', 'assistant' and 'tool'",
                ));
            }
            other => {
                return Err(InvalidRequest::value(
                    fields.path("role"),
                    format_args!(
                        "'{other}' is not a role. Supported values are: 'system', 'developer', \
                         'user', 'assistant' and 'tool'."
                    ),
                ));
            }
        };
        if fields.get("audio").is_some() {
            return Err(InvalidRequest::unsupported(fields.path("audio")));
        }
        if fields.get("function_call").is_some() {
            let path = fields.path("function_call");
            return Err(InvalidRequest::unsupported_instead(path, "tool_calls"));
        }
        let tool_calls = read_calls(&fields, role)?;
        let tool_call_id = match role {
            Role::Tool => {
                fields.required("tool_call_id")?;
                fields.string("tool_call_id")?.map(str::to_owned)
            }
            _ => None,
        };
        // Models of this family have no place for it in their prompt; it is checked all the same.
        fields.string("name")?;
        let content = match fields.get("content") {
            None if role == Role::Assistant => {
                fields.string("refusal")?.unwrap_or_default().to_owned()
            }
            None => return Err(InvalidRequest::missing(fields.path("content"))),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(parts)) => read_parts(parts, &fields.path("content"))?,
            Some(other) => {
                return Err(InvalidRequest::wrong_type(
                    fields.path("content"),
                    "a string or an array of content parts",
                    type_name(other),
                ));
            }
        };
        Ok(Self { role, content, tool_calls, tool_call_id })
    }
}

fn read_calls(fields: &Fields<'_>, role: Role) -> Result<Vec<ToolCall>, InvalidRequest> {
    let calls = fields.array("tool_calls")?.map(Vec::as_slice).unwrap_or_default();
    let path = fields.path("tool_calls");
    if role != Role::Assistant && !calls.is_empty() {
        return Err(InvalidRequest::value(path, "only messages of the assistant have calls."));
    }
    let mut read: Vec<ToolCall> = Vec::with_capacity(calls.len());
    for (index, call) in calls.iter().enumerate() {
        read.push(ToolCall::read(call, format!("{path}[{index}]"))?);
    }
    Ok(read)
}

/// Whether every result belongs to a call of the turn of the assistant before it.
pub(crate) fn check_results(messages: &[Message]) -> Result<(), InvalidRequest> {
    let mut calls: &[ToolCall] = &[];
    for (index, message) in messages.iter().enumerate() {
        let Some(id) = &message.tool_call_id else {
            calls = &message.tool_calls;
            continue;
        };
        if calls.is_empty() {
            return Err(InvalidRequest::value(
                format!("messages[{index}].role"),
                "messages with role 'tool' must be a response to a preceding message with \
                 'tool_calls'.",
            ));
        }
        if !calls.iter().any(|call| call.id == *id) {
            return Err(InvalidRequest::value(
                format!("messages[{index}].tool_call_id"),
                format_args!("'{id}' is not among the 'tool_calls' of the preceding message."),
            ));
        }
    }
    Ok(())
}

/// The texts of content parts, joined by line breaks.
pub(crate) fn read_parts(parts: &[Value], path: &str) -> Result<String, InvalidRequest> {
    let mut texts = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let fields = Fields::of(part, format!("{path}[{index}]"))?;
        fields.required("type")?;
        let kind = fields.string("type")?.unwrap_or_default();
        let name = match kind {
            "text" => "text",
            "refusal" => "refusal",
            "image_url" | "input_audio" | "file" => {
                return Err(InvalidRequest {
                    message: format!(
                        "Invalid content: parts of type '{kind}' are not supported by this model; \
                         it reads text only."
                    ),
                    param: Some(fields.path("type")),
                    code: Some("unsupported_content_type"),
                });
            }
            other => {
                return Err(InvalidRequest::value(
                    fields.path("type"),
                    format_args!("'{other}' is not a content part. Supported values are: 'text'."),
                ));
            }
        };
        fields.known(&[PART_NAMES])?;
        fields.required(name)?;
        texts.extend(fields.string(name)?);
    }
    Ok(texts.join("\n"))
}
