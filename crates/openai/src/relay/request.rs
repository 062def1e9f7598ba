//! Requests on their way to another server.

use serde_json::{Map, Value};

use super::members::Members;
use crate::error::InvalidRequest;

/// What decides where a request goes and how its answer is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayedRequest {
    /// The model that is asked for.
    pub model: String,
    /// Whether the answer comes as events.
    pub stream: bool,
    /// Whether the client wants to see the usage at the end of a stream (`stream_options`).
    pub include_usage: bool,
    /// A field that rests on what the other server keeps, and could be another user's.
    pub stored_reference: Option<&'static str>,
    /// What the request says about keeping its answer.
    pub store: Option<bool>,
}

impl RelayedRequest {
    /// Reads the outermost members of a body.
    ///
    /// # Errors
    /// No JSON object, a member given twice, no model, or `stream` of another type.
    pub fn read(body: &[u8]) -> Result<Self, InvalidRequest> {
        let members = members(body)?;
        let model = match members.raw("model") {
            None => return Err(InvalidRequest::missing("model")),
            Some(raw) => serde_json::from_str(raw)
                .map_err(|_| InvalidRequest::value("model", "expected a string."))?,
        };
        let stream = members.get::<Option<bool>>("stream").map(Option::unwrap_or_default);
        let stream = match members.raw("stream") {
            None => false,
            Some(_) => {
                stream.ok_or_else(|| InvalidRequest::value("stream", "expected a boolean."))?
            }
        };
        let is_given = |name: &&str| members.raw(name).is_some_and(|raw| raw.trim() != "null");
        Ok(Self {
            model,
            stream,
            include_usage: wants_usage(&members),
            stored_reference: STORED_REFERENCES.into_iter().find(is_given),
            store: members.get("store"),
        })
    }
}

/// Fields by which a request goes on from what an earlier one left behind.
const STORED_REFERENCES: [&str; 3] = ["previous_response_id", "conversation", "background"];

fn wants_usage(members: &Members<'_>) -> bool {
    let options: Option<Map<String, Value>> = members.get("stream_options");
    options.is_some_and(|options| options.get("include_usage") == Some(&Value::Bool(true)))
}

fn members(body: &[u8]) -> Result<Members<'_>, InvalidRequest> {
    Members::read(body).map_err(|error| {
        if error.is_data() {
            return InvalidRequest {
                message: format!("Invalid body: {error}."),
                param: None,
                code: Some("invalid_value"),
            };
        }
        InvalidRequest::syntax(&error)
    })
}

/// What a relay changes in a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestChanges<'a> {
    /// The name that the other server has for the model.
    pub model: Option<&'a str>,
    /// Ask for the usage at the end of a stream.
    pub include_usage: bool,
    /// Ask for the usage in every event (an extension of other servers).
    pub continuous_usage: bool,
    /// Ask that the answer is not kept.
    pub forbid_storing: bool,
}

impl RequestChanges<'_> {
    /// The body with these changes.
    ///
    /// # Errors
    /// As [`RelayedRequest::read`].
    pub fn apply(&self, body: &[u8]) -> Result<Vec<u8>, InvalidRequest> {
        let members = members(body)?;
        let mut changes = Vec::new();
        if let Some(model) = self.model {
            changes.push(("model", Some(Value::from(model).to_string())));
        }
        if self.include_usage || self.continuous_usage {
            let mut options: Map<String, Value> = members.get("stream_options").unwrap_or_default();
            options.insert("include_usage".into(), Value::Bool(true));
            if self.continuous_usage {
                options.insert("continuous_usage_stats".into(), Value::Bool(true));
            }
            changes.push(("stream_options", Some(Value::Object(options).to_string())));
        }
        if self.forbid_storing {
            changes.push(("store", Some("false".into())));
        }
        Ok(members.with(&changes))
    }
}

/// The most that a request can take, as far as its text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBounds {
    /// No tokenizer makes more tokens than bytes of the text, and what a prompt format adds to a
    /// message is shorter than the JSON around it. `None` when the body names things whose size it
    /// does not show: images, files, stored conversations.
    pub prompt_tokens: Option<usize>,
    /// The longest answer that is asked for, in tokens; `None` when the request leaves it open.
    pub completion_tokens: Option<usize>,
    /// Answers that are asked for, at least 1.
    pub choices: usize,
}

/// What prompt formats add on their own: a system message by default, marks of beginning and end.
const FORMAT_TOKENS_MAX: usize = 256;

impl RequestBounds {
    /// Reads a body.
    ///
    /// # Errors
    /// As [`RelayedRequest::read`].
    pub fn read(body: &[u8]) -> Result<Self, InvalidRequest> {
        let members = members(body)?;
        let number = |name: &str| members.get::<usize>(name);
        let limit = ["max_completion_tokens", "max_tokens", "max_output_tokens"];
        let prompts = match members.get::<Vec<Value>>("prompt") {
            Some(prompts) if !prompts.iter().any(Value::is_number) => prompts.len().max(1),
            _ => 1,
        };
        let choices = number("n").max(number("best_of")).unwrap_or(1).max(1);
        Ok(Self {
            prompt_tokens: is_text(&members).then_some(body.len() + FORMAT_TOKENS_MAX),
            completion_tokens: limit.into_iter().filter_map(number).max(),
            choices: choices.saturating_mul(prompts),
        })
    }
}

/// Whether all that a prompt is made of stands in the body, as text.
fn is_text(members: &Members<'_>) -> bool {
    let mut values = ["messages", "input", "system"].into_iter().filter_map(|n| members.get(n));
    // Tools that the other server runs bring texts of their own.
    let tools: Vec<Value> = members.get("tools").unwrap_or_default();
    let own_tools = tools.iter().all(|tool| match tool.get("type").and_then(Value::as_str) {
        None => true,
        Some(kind) => matches!(kind, "function" | "custom"),
    });
    own_tools
        && members.raw("web_search_options").is_none()
        && members.raw("mcp_servers").is_none()
        && !members.raw("prompt").is_some_and(|raw| raw.trim_start().starts_with('{'))
        && !STORED_REFERENCES[..2].iter().any(|name| members.raw(name).is_some())
        && values.all(|value: Value| is_text_value(&value))
}

fn is_text_value(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(is_text_value),
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str).unwrap_or("text");
            TEXT_PARTS.contains(&kind)
                && object.get("audio").is_none_or(Value::is_null)
                && object.get("content").is_none_or(is_text_value)
        }
        _ => true,
    }
}

/// Items and parts of content whose text is all there is to them.
const TEXT_PARTS: [&str; 11] = [
    "text",
    "input_text",
    "output_text",
    "refusal",
    "message",
    "tool_use",
    "tool_result",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_the_way_is_read() {
        let body =
            br#"{"model":"phi","stream":true,"stream_options":{"include_usage":true},"x":1}"#;
        let read = RelayedRequest::read(body).unwrap();
        assert_eq!((read.model.as_str(), read.stream, read.include_usage), ("phi", true, true));
        let plain = RelayedRequest::read(br#"{"model":"phi","stream":null}"#).unwrap();
        assert_eq!(
            (plain.stream, plain.include_usage, plain.stored_reference),
            (false, false, None)
        );
        let stored = br#"{"model":"m","previous_response_id":"resp_1","store":true}"#;
        let stored = RelayedRequest::read(stored).unwrap();
        assert_eq!(stored.stored_reference, Some("previous_response_id"));
        assert_eq!(stored.store, Some(true));
    }

    #[test]
    fn what_two_parsers_would_read_differently_is_refused() {
        for body in [
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":"a","stream":1}"#,
            r#"{"model":["a"]}"#,
            r#"{"messages":[]}"#,
            r#"{"model":"a""#,
            "[]",
            "",
        ] {
            assert!(RelayedRequest::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn changes_leave_the_rest_alone() {
        let body = br#"{"model":"a","seed":1e2,"stream_options":{"x":1}}"#;
        let changes = RequestChanges {
            model: Some("b\""),
            include_usage: true,
            continuous_usage: false,
            forbid_storing: true,
        };
        let changed = String::from_utf8(changes.apply(body).unwrap()).unwrap();
        assert_eq!(
            changed,
            r#"{"model":"b\"","seed":1e2,"stream_options":{"x":1,"include_usage":true},"store":false}"#
        );
    }

    #[test]
    fn bounds_are_told_only_where_the_body_shows_them() {
        let read = |body: &str| RequestBounds::read(body.as_bytes()).unwrap();
        let body =
            r#"{"model":"a","messages":[{"role":"user","content":"hi"}],"max_tokens":7,"n":3}"#;
        let bounds = read(body);
        assert_eq!(bounds.prompt_tokens, Some(body.len() + 256));
        assert_eq!((bounds.completion_tokens, bounds.choices), (Some(7), 3));
        assert_eq!(read(r#"{"prompt":["a","b"],"n":2}"#).choices, 4);
        assert_eq!(read(r#"{"prompt":[1,2]}"#).choices, 1);
        for hidden in [
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x"}}]}]}"#,
            r#"{"messages":[{"content":[{"type":"tool_result","content":[{"type":"image"}]}]}]}"#,
            r#"{"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}"#,
            r#"{"input":[{"type":"item_reference","id":"x"}]}"#,
            r#"{"input":"x","previous_response_id":"resp_1"}"#,
            r#"{"input":"x","tools":[{"type":"web_search"}]}"#,
            r#"{"prompt":{"id":"pmpt_1"}}"#,
        ] {
            assert_eq!(read(hidden).prompt_tokens, None, "{hidden}");
        }
    }
}
