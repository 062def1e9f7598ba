//! The messages of a chat.

use serde_json::Value;

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
}

impl Role {
    /// The name that chat templates know.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
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
}

impl Message {
    /// Reads the message found at `path`.
    pub(crate) fn read(value: &Value, path: String) -> Result<Self, InvalidRequest> {
        let fields = Fields::of(value, path)?;
        fields.required("role")?;
        let role = match fields.string("role")?.unwrap_or_default() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "tool" | "function" => {
                return Err(InvalidRequest::unsupported_beyond(
                    fields.path("role"),
                    "'system', 'developer', 'user' and 'assistant'",
                ));
            }
            other => {
                return Err(InvalidRequest::value(
                    fields.path("role"),
                    format_args!(
                        "'{other}' is not a role. Supported values are: 'system', 'developer', \
                         'user' and 'assistant'."
                    ),
                ));
            }
        };
        for name in ["tool_calls", "function_call", "audio"] {
            if fields.get(name).is_some_and(|value| value.as_array().is_none_or(|v| !v.is_empty()))
            {
                return Err(InvalidRequest::unsupported(fields.path(name)));
            }
        }
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
        Ok(Self { role, content })
    }
}

fn read_parts(parts: &[Value], path: &str) -> Result<String, InvalidRequest> {
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
        fields.required(name)?;
        texts.extend(fields.string(name)?);
    }
    Ok(texts.join("\n"))
}
