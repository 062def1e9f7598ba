//! The Phi-4-mini format, written directly.

use super::jinja::JinjaTemplate;
use super::json;
use crate::{Message, Prompt, ToolCall};
use serde_json::{Map, Value, json};

const SYSTEM: &str = "<|system|>";
const ASSISTANT: &str = "<|assistant|>";
const END: &str = "<|end|>";
const END_OF_TEXT: &str = "<|endoftext|>";

/// What the model card says to a model that has tools and no other instruction.
const SYSTEM_WITH_TOOLS: &str = "You are a helpful assistant with some tools.";

/// Writes a conversation. Tool results are turns of `<|tool_response|>`; the published
/// template would write them as `<|tool|>`, the token that opens a list of tools.
pub(super) fn render(
    messages: &[Message],
    tools: Option<&Value>,
    add_generation_prompt: bool,
) -> Prompt {
    let mut prompt = Prompt::new();
    let mut tools = tools.map(tools_text).filter(|text| !text.is_empty());
    if tools.is_some() && !messages.iter().any(is_system) {
        prompt.push_control(SYSTEM);
        prompt.push_text(SYSTEM_WITH_TOOLS);
        push_tools(&mut prompt, tools.take());
        prompt.push_control(END);
    }
    for message in messages {
        match message.role.as_str() {
            "system" | "developer" => prompt.push_control(SYSTEM),
            "user" => prompt.push_control("<|user|>"),
            "assistant" => prompt.push_control(ASSISTANT),
            "tool" => prompt.push_control("<|tool_response|>"),
            // The name may come from a client, and must not spell a control token.
            other => prompt.push_text(format!("<|{other}|>")),
        }
        prompt.push_text(message.content.as_str());
        if is_system(message) {
            push_tools(&mut prompt, tools.take());
        }
        if !message.tool_calls.is_empty() {
            prompt.push_control("<|tool_call|>");
            let calls = message.tool_calls.iter().map(call_value).collect();
            prompt.push_text(json::dump(&Value::Array(calls), None));
            prompt.push_control("<|/tool_call|>");
        }
        prompt.push_control(END);
    }
    prompt.push_control(if add_generation_prompt { ASSISTANT } else { END_OF_TEXT });
    prompt
}

fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

fn push_tools(prompt: &mut Prompt, tools: Option<String>) {
    if let Some(tools) = tools {
        prompt.push_control("<|tool|>");
        prompt.push_text(tools);
        prompt.push_control("<|/tool|>");
    }
}

/// The list as the model card prints it: flat objects, not those of the OpenAI API. A string
/// is taken to be such a list already.
fn tools_text(tools: &Value) -> String {
    match tools {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => String::new(),
        Value::Array(list) => json::dump(&list.iter().map(flat_tool).collect(), None),
        single => json::dump(&Value::Array(vec![flat_tool(single)]), None),
    }
}

fn flat_tool(tool: &Value) -> Value {
    let function = tool.get("function").filter(|function| function.is_object()).unwrap_or(tool);
    let Value::Object(function) = function else { return function.clone() };
    let known = ["name", "description", "parameters"].into_iter();
    let flat: Map<_, _> =
        known.filter_map(|key| Some((key.to_owned(), function.get(key)?.clone()))).collect();
    Value::Object(flat)
}

fn call_value(call: &ToolCall) -> Value {
    json!({"name": call.name, "arguments": json::parsed(&call.arguments)})
}

/// Whether a template writes what the published one writes, judged by what it does to some
/// conversations, since copies of it differ in quotes and spaces.
pub(super) fn is_written_by(template: &JinjaTemplate) -> bool {
    let turn = |role: &str, content: &str| json!({"role": role, "content": content});
    let (system, user) = (turn("system", "S \n"), turn("user", " U"));
    let assistant = turn("assistant", "A\n");
    let with_tools = json!({"role": "system", "content": "S", "tools": "[T]"});
    let cases = [
        (json!([user]), true, "<|user|> U<|end|><|assistant|>"),
        (
            json!([system, user, assistant, user]),
            true,
            "<|system|>S \n<|end|><|user|> U<|end|><|assistant|>A\n<|end|><|user|> U<|end|><|assistant|>",
        ),
        (json!([user, assistant]), false, "<|user|> U<|end|><|assistant|>A\n<|end|><|endoftext|>"),
        (
            json!([with_tools, user]),
            true,
            "<|system|>S<|tool|>[T]<|/tool|><|end|><|user|> U<|end|><|assistant|>",
        ),
    ];
    cases.into_iter().all(|(messages, add_generation_prompt, expected)| {
        let context = json!({
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_TEXT,
        });
        template.write(&context).is_ok_and(|text| text == expected)
    })
}
