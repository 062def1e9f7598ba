//! Templates in Jinja, with the names and habits that Hugging Face gives them.

use super::guard::Guard;
use super::{CallFormat, clock, hermes, json};
use crate::added::AddedTokens;
use crate::limits::{PROMPT_BYTES_MAX, TEMPLATE_BYTES_MAX, TEMPLATE_FUEL};
use crate::{Error, ErrorKind, Message, Prompt, Tokenizer, ToolCall};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, ValueKind};
use minijinja::{Environment, Error as JinjaError, ErrorKind as JinjaErrorKind, Output, State};
use minijinja_contrib::pycompat;
use serde_json::{Map, Value, json};
use std::error::Error as _;
use std::io;
use std::sync::Arc;

const NAME: &str = "chat template";

/// Roles that templates may build control tokens from; others are only text.
const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function", "ipython"];

/// A compiled Jinja template.
#[derive(Clone, Debug)]
pub struct JinjaTemplate {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    added: Arc<AddedTokens>,
    bos: String,
    eos: String,
    /// Whether it prints tools.
    knows_tools: bool,
    /// Whether it prints calls and their results.
    knows_calls: bool,
}

impl JinjaTemplate {
    pub(super) fn compile(source: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(Error::too_large(format!(
                "the chat template has {} bytes, more than {TEMPLATE_BYTES_MAX}",
                source.len()
            )));
        }
        let compiled = environment().and_then(|mut environment| {
            environment.add_template_owned(NAME, source.to_owned())?;
            Ok(environment)
        });
        let environment = compiled.map_err(|error| {
            Error::new(ErrorKind::InvalidTemplate, format!("chat template: {}", chain(&error)))
        })?;
        let text = |id: Option<u32>| {
            id.and_then(|id| tokenizer.token_text(id)).unwrap_or_default().to_owned()
        };
        let mut template = Self {
            environment: Arc::new(environment),
            source: source.into(),
            added: Arc::clone(&tokenizer.added),
            bos: text(tokenizer.bos()),
            eos: text(tokenizer.eos()),
            knows_tools: true,
            knows_calls: true,
        };
        (template.knows_tools, template.knows_calls) = template.probe();
        Ok(template)
    }

    /// Templates for calls in other formats than JSON objects are not told apart: a model that
    /// takes tools is expected to be steered to this one.
    pub(super) fn call_format(&self) -> CallFormat {
        let phi4 = self.source.contains("<|tool_call|>") && !self.source.contains("<tool_call>");
        if phi4 { CallFormat::Phi4 } else { CallFormat::Hermes }
    }

    /// Whether tools, and whether calls and results, come out of a conversation that has them.
    fn probe(&self) -> (bool, bool) {
        let parameters = json!({"type": "object", "properties": {}});
        let function = json!({"name": "probe_tool", "description": "", "parameters": parameters});
        let tools = json!([{"type": "function", "function": function}]);
        let call = ToolCall {
            name: "probe_call".into(),
            arguments: json!({"probe_key": 1}),
            // As long as those that some families insist on.
            id: Some("call00001".into()),
        };
        let messages = [
            Message::new("user", "probe_question"),
            Message { tool_calls: vec![call], ..Message::new("assistant", "") },
            Message {
                tool_call_id: Some("call00001".into()),
                ..Message::new("tool", "probe_result")
            },
        ];
        let prints = |messages: &[Message], expected: &[&str]| {
            self.render_as_it_is(messages, Some(&tools), true).is_ok_and(|prompt| {
                let text = prompt.to_string();
                expected.iter().all(|name| text.contains(name))
            })
        };
        let calls = ["probe_call", "probe_key", "probe_result"];
        (prints(&messages[..1], &["probe_tool"]), prints(&messages, &calls))
    }

    pub(super) fn render(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> Result<Prompt, Error> {
        let has_calls =
            messages.iter().any(|message| message.role == "tool" || !message.tool_calls.is_empty());
        let write_calls = has_calls && !self.knows_calls;
        let (kept, written) = if self.knows_tools { (tools, None) } else { (None, tools) };
        if written.is_none() && !write_calls {
            return self.render_as_it_is(messages, kept, add_generation_prompt);
        }
        let messages = hermes::write_out(messages, written, write_calls);
        self.render_as_it_is(&messages, kept, add_generation_prompt)
    }

    fn render_as_it_is(
        &self,
        messages: &[Message],
        tools: Option<&Value>,
        add_generation_prompt: bool,
    ) -> Result<Prompt, Error> {
        let guard = Guard::new(&self.added, &self.texts(messages, tools))?;
        let messages: Vec<_> =
            messages.iter().map(|message| message_value(message, &guard)).collect();
        let tools = tools.filter(|tools| tools.as_array().is_none_or(|list| !list.is_empty()));
        let context = json!({
            "messages": messages,
            "tools": tools.map(|tools| guard.mark_value(tools)),
            "documents": null,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self.bos,
            "eos_token": self.eos,
        });
        Ok(guard.prompt(&self.write(&context)?))
    }

    /// What the template writes, control tokens being text.
    pub(super) fn write(&self, context: &Value) -> Result<String, Error> {
        let render_error = |error: &JinjaError| {
            Error::new(ErrorKind::Render, format!("chat template: {}", chain(error)))
        };
        let template = self.environment.get_template(NAME).map_err(|error| render_error(&error))?;
        let mut prompt = BoundedWriter { bytes: Vec::new() };
        let context = minijinja::Value::from(Serde(context));
        template.render_captured_to(context, &mut prompt).map_err(|error| render_error(&error))?;
        String::from_utf8(prompt.bytes)
            .map_err(|_| Error::new(ErrorKind::Render, "the chat template wrote half a character"))
    }

    /// All text that may end up in the prompt.
    fn texts(&self, messages: &[Message], tools: Option<&Value>) -> Vec<String> {
        let mut texts = vec![self.source.to_string(), self.bos.clone(), self.eos.clone()];
        texts.extend(tools.map(Value::to_string));
        for message in messages {
            texts.extend([message.role.clone(), message.content.clone()]);
            texts.extend(message.name.clone());
            texts.extend(message.tool_call_id.clone());
            for call in &message.tool_calls {
                texts.extend([call.name.clone(), json::parsed(&call.arguments).to_string()]);
                texts.extend(call.id.clone());
            }
        }
        texts
    }
}

fn environment() -> Result<Environment<'static>, JinjaError> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(pycompat::unknown_method_callback);
    environment.set_formatter(write_like_python);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| {
        Err::<String, _>(JinjaError::new(JinjaErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", |format: String| clock::now(&format));
    Ok(environment)
}

/// Prints none and booleans as Python does.
fn write_like_python(
    output: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &minijinja::Value,
) -> Result<(), JinjaError> {
    let text = match value.kind() {
        ValueKind::None => "None",
        ValueKind::Bool if value.is_true() => "True",
        ValueKind::Bool => "False",
        _ => return minijinja::escape_formatter(output, state, value),
    };
    output.write_str(text).map_err(|error| {
        JinjaError::new(JinjaErrorKind::WriteFailure, "cannot write").with_source(error)
    })
}

/// `tojson` as Hugging Face has it: no HTML escapes, `json.dumps` spacing.
#[expect(clippy::needless_pass_by_value, reason = "the form that filters have")]
fn to_json(value: minijinja::Value, options: Kwargs) -> Result<String, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    let value = serde_json::to_value(&value).map_err(|error| {
        JinjaError::new(JinjaErrorKind::BadSerialization, "tojson").with_source(error)
    })?;
    Ok(json::dump(&value, indent.map(|width| width.min(16))))
}

fn message_value(message: &Message, guard: &Guard<'_>) -> Value {
    let mut value = Map::new();
    let known_role = ROLES.contains(&message.role.as_str());
    let role = if known_role { message.role.clone() } else { guard.mark_name(&message.role) };
    value.insert("role".into(), role.into());
    value.insert("content".into(), guard.mark(&message.content).into());
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(|call| call_value(call, guard)).collect();
        value.insert("tool_calls".into(), calls);
    }
    if let Some(id) = &message.tool_call_id {
        value.insert("tool_call_id".into(), guard.mark(id).into());
    }
    if let Some(name) = &message.name {
        value.insert("name".into(), guard.mark(name).into());
    }
    Value::Object(value)
}

fn call_value(call: &ToolCall, guard: &Guard<'_>) -> Value {
    let arguments = guard.mark_value(&json::parsed(&call.arguments));
    let function = json!({"name": guard.mark(&call.name), "arguments": arguments});
    let mut value = json!({"type": "function", "function": function});
    if let Some(id) = &call.id {
        value["id"] = guard.mark(id).into();
    }
    value
}

/// An error with its causes, on one line.
fn chain(error: &JinjaError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Memory for a prompt that a template cannot fill without end.
struct BoundedWriter {
    bytes: Vec<u8>,
}

impl io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > PROMPT_BYTES_MAX {
            return Err(io::Error::other(format!("the prompt exceeds {PROMPT_BYTES_MAX} bytes")));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
