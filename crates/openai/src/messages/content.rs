//! Turns of a conversation and the blocks that they are made of.

use serde_json::Value;

use crate::chat::message::{Message, Role};
use crate::chat::tools::ToolCall;
use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// Fields that any block may have and that ask for nothing: prefixes are cached by themselves.
const HINTS: &[&str] = &["cache_control", "type"];

/// Reads the field `messages`; a turn with results becomes a turn per result.
pub(super) fn read_messages(fields: &Fields<'_>) -> Result<Vec<Message>, InvalidRequest> {
    fields.required("messages")?;
    let turns = fields.array("messages")?.map(Vec::as_slice).unwrap_or_default();
    if turns.is_empty() {
        let problem = "empty array. Expected an array with minimum length 1.";
        return Err(InvalidRequest::value("messages", problem));
    }
    let mut messages = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        let turn = Fields::of(turn, format!("messages[{index}]"))?;
        turn.known(&[&["content", "role"]])?;
        turn.required("role")?;
        match turn.string("role")?.unwrap_or_default() {
            "user" => read_user(&turn, &mut messages)?,
            "assistant" if index + 1 == turns.len() => {
                let problem = "this server does not go on with a turn of the assistant; the last \
                               turn must be the user's.";
                return Err(InvalidRequest::value(turn.path("role"), problem));
            }
            "assistant" => messages.push(read_assistant(&turn)?),
            other => {
                let problem =
                    format_args!("'{other}'. Supported values are: 'user' and 'assistant'.");
                return Err(InvalidRequest::value(turn.path("role"), problem));
            }
        }
    }
    Ok(messages)
}

/// Reads a text, or a list of blocks of text, found in the field `name`.
pub(super) fn read_text(fields: &Fields<'_>, name: &str) -> Result<Option<String>, InvalidRequest> {
    let Some(blocks) = blocks(fields, name)? else { return Ok(None) };
    let texts = blocks.iter().map(|block| match block.kind()? {
        "text" => block.text(),
        other => Err(block.unsupported(other)),
    });
    Ok(Some(texts.collect::<Result<Vec<_>, _>>()?.join("\n")))
}

fn read_user(turn: &Fields<'_>, messages: &mut Vec<Message>) -> Result<(), InvalidRequest> {
    let calls: Vec<String> = messages
        .last()
        .map(|message| message.tool_calls.iter().map(|call| call.id.clone()).collect())
        .unwrap_or_default();
    turn.required("content")?;
    let mut texts: Vec<String> = Vec::new();
    let say = |texts: &mut Vec<String>, messages: &mut Vec<Message>| {
        if !texts.is_empty() {
            messages.push(turn_of(Role::User, std::mem::take(texts).join("\n")));
        }
    };
    for block in blocks(turn, "content")?.unwrap_or_default() {
        match block.kind()? {
            "text" => texts.push(block.text()?),
            "tool_result" => {
                say(&mut texts, messages);
                messages.push(read_result(&block, &calls)?);
            }
            other => return Err(block.unsupported(other)),
        }
    }
    say(&mut texts, messages);
    Ok(())
}

fn turn_of(role: Role, content: String) -> Message {
    Message { role, content, tool_calls: Vec::new(), tool_call_id: None }
}

fn read_result(block: &Block<'_>, calls: &[String]) -> Result<Message, InvalidRequest> {
    let fields = &block.fields()?;
    fields.known(&[HINTS, &["content", "is_error", "tool_use_id"]])?;
    fields.required("tool_use_id")?;
    let id = fields.string("tool_use_id")?.unwrap_or_default();
    if !calls.iter().any(|call| call == id) {
        let problem =
            format_args!("'{id}' is no 'tool_use' of the turn of the assistant before it.");
        return Err(InvalidRequest::value(fields.path("tool_use_id"), problem));
    }
    let mut content = read_text(fields, "content")?.unwrap_or_default();
    if fields.boolean("is_error")? == Some(true) {
        content = format!("Error: {content}");
    }
    Ok(Message { tool_call_id: Some(id.to_owned()), ..turn_of(Role::Tool, content) })
}

fn read_assistant(turn: &Fields<'_>) -> Result<Message, InvalidRequest> {
    turn.required("content")?;
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for block in blocks(turn, "content")?.unwrap_or_default() {
        match block.kind()? {
            "text" => texts.push(block.text()?),
            "tool_use" => calls.push(read_call(&block)?),
            // Thoughts of an earlier turn are never read again.
            "thinking" | "redacted_thinking" => {}
            other => return Err(block.unsupported(other)),
        }
    }
    Ok(Message { tool_calls: calls, ..turn_of(Role::Assistant, texts.join("\n")) })
}

fn read_call(block: &Block<'_>) -> Result<ToolCall, InvalidRequest> {
    let fields = block.fields()?;
    fields.known(&[HINTS, &["caller", "id", "input", "name"]])?;
    fields.required("id")?;
    fields.required("name")?;
    let input = fields.required("input")?;
    Fields::of(input, fields.path("input"))?;
    let text = |name: &str| -> Result<String, InvalidRequest> {
        Ok(fields.string(name)?.unwrap_or_default().to_owned())
    };
    Ok(ToolCall::new(text("id")?, text("name")?, input.to_string()))
}

/// In place of the fields that a text does not have.
static NO_BLOCK: Value = Value::Null;

/// A block, or a text in place of one.
enum Block<'a> {
    Text(&'a str),
    Object { value: &'a Value, path: String },
}

fn blocks<'a>(fields: &Fields<'a>, name: &str) -> Result<Option<Vec<Block<'a>>>, InvalidRequest> {
    let path = fields.path(name);
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(vec![Block::Text(text)])),
        Some(Value::Array(list)) => {
            let block = |(index, value)| Block::Object { value, path: format!("{path}[{index}]") };
            Ok(Some(list.iter().enumerate().map(block).collect()))
        }
        Some(other) => Err(InvalidRequest::wrong_type(
            path,
            "a string or an array of content blocks",
            type_name(other),
        )),
    }
}

impl<'a> Block<'a> {
    fn fields(&self) -> Result<Fields<'a>, InvalidRequest> {
        match self {
            Self::Text(_) => Fields::of(&NO_BLOCK, "text"),
            Self::Object { value, path } => Fields::of(value, path.clone()),
        }
    }

    fn kind(&self) -> Result<&'a str, InvalidRequest> {
        if matches!(self, Self::Text(_)) {
            return Ok("text");
        }
        let fields = self.fields()?;
        fields.required("type")?;
        Ok(fields.string("type")?.unwrap_or_default())
    }

    fn text(&self) -> Result<String, InvalidRequest> {
        if let Self::Text(text) = self {
            return Ok((*text).to_owned());
        }
        let fields = self.fields()?;
        fields.known(&[HINTS, &["citations", "text"]])?;
        fields.required("text")?;
        Ok(fields.string("text")?.unwrap_or_default().to_owned())
    }

    fn unsupported(&self, kind: &str) -> InvalidRequest {
        let path = match self {
            Self::Text(_) => String::new(),
            Self::Object { path, .. } => path.clone(),
        };
        InvalidRequest {
            message: format!(
                "Invalid '{path}': blocks of type '{kind}' have no place here; this model reads \
                 text, calls of tools and their results."
            ),
            param: Some(path),
            code: Some("unsupported_content_type"),
        }
    }
}
