//! Tools for models whose template has no place for them: the format of Hermes, which Qwen,
//! SmolLM2 and many others were trained on too.
//!
//! Tools are listed in the first system turn, each on a line between `<tools>` and `</tools>`;
//! calls are objects between `<tool_call>` and `</tool_call>`; results come in a turn of the user,
//! each between `<tool_response>` and `</tool_response>`.

use super::json;
use crate::{Message, ToolCall};
use serde_json::{Value, json};

const BEFORE_TOOLS: &str = "# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
";

const AFTER_TOOLS: &str = "</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{\"name\": <function-name>, \"arguments\": <args-json-object>}
</tool_call>";

/// The conversation with `tools`, and with `calls` also its calls and results, as text.
pub(super) fn write_out(messages: &[Message], tools: Option<&Value>, calls: bool) -> Vec<Message> {
    let mut written: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut tools = tools.map(tools_text).filter(|text| !text.is_empty());
    let first_is_system = messages.first().is_some_and(is_system);
    if !first_is_system && let Some(text) = tools.take() {
        written.push(Message::new("system", text));
    }
    let mut after_result = false;
    for message in messages {
        let is_result = message.role == "tool";
        match message {
            Message { role, content, .. } if calls && role == "tool" => {
                let text = format!("<tool_response>\n{content}\n</tool_response>");
                match written.last_mut() {
                    // Templates may insist on turns of the user and the assistant by turns.
                    Some(last) if after_result => {
                        last.content.push('\n');
                        last.content.push_str(&text);
                    }
                    _ => written.push(Message::new("user", text)),
                }
            }
            Message { tool_calls, .. } if calls && !tool_calls.is_empty() => {
                let mut lines: Vec<String> = Vec::with_capacity(tool_calls.len() + 1);
                lines.extend((!message.content.is_empty()).then(|| message.content.clone()));
                lines.extend(tool_calls.iter().map(call_text));
                let content = lines.join("\n");
                written.push(Message { content, tool_calls: Vec::new(), ..message.clone() });
            }
            other => {
                let mut message = other.clone();
                if is_system(other)
                    && let Some(text) = tools.take()
                {
                    let parts = [other.content.as_str(), &text];
                    message.content = parts
                        .into_iter()
                        .filter(|part| !part.is_empty())
                        .collect::<Vec<_>>()
                        .join("\n\n");
                }
                written.push(message);
            }
        }
        after_result = is_result;
    }
    written
}

fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

fn tools_text(tools: &Value) -> String {
    let list = match tools {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        single => std::slice::from_ref(single),
    };
    if list.is_empty() {
        return String::new();
    }
    let mut text = BEFORE_TOOLS.to_owned();
    for tool in list {
        text.push_str(&json::dump(tool, None));
        text.push('\n');
    }
    text + AFTER_TOOLS
}

fn call_text(call: &ToolCall) -> String {
    let value = json!({"name": call.name, "arguments": json::parsed(&call.arguments)});
    format!("<tool_call>\n{}\n</tool_call>", json::dump(&value, None))
}
