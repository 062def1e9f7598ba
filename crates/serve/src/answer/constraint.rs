//! What keeps calls to the schemas of the tools.

use phial_grammar::{CallMode, Grammar, Refused, ToolCalls, ToolDialect};
use phial_openai::InvalidRequest;
use phial_text::CallFormat;

use super::tools::{Tool, ToolChoice, Tools};
use crate::api_error::ApiError;
use crate::server::Server;

/// What the answer to a request with `tools` must follow. Where the model is free to call or not,
/// that begins with a call; where it is not, at once. May take some tenths of a second.
///
/// # Errors
/// A schema that must be enforced and cannot be, by its keyword and place.
pub(super) fn of_calls(server: &Server, tools: &Tools) -> Result<Option<Grammar>, ApiError> {
    let callable: Vec<phial_grammar::Tool> = tools.callable().map(grammar_tool).collect();
    let is_free = tools.choice == ToolChoice::Auto;
    if callable.is_empty() || is_free && !server.options().constrain_free_calls {
        return Ok(None);
    }
    let calls = ToolCalls {
        tools: callable,
        mode: match &tools.choice {
            ToolChoice::None => return Ok(None),
            ToolChoice::Auto => CallMode::Auto,
            ToolChoice::Required => CallMode::Required,
            ToolChoice::Named(name) => CallMode::Named(name.clone()),
        },
        parallel: tools.parallel,
        dialect: match server.model().template.call_format() {
            CallFormat::Phi4 => ToolDialect::phi4(),
            CallFormat::Hermes => ToolDialect::hermes(),
        },
    };
    let grammar = server.call_grammar(calls)?.map_err(|error| refused(&error, tools))?;
    for open in grammar.left_open() {
        tracing::debug!(tool = open.tool(), %open, "arguments of calls are not constrained");
    }
    Ok(Some(grammar))
}

fn grammar_tool(tool: &Tool) -> phial_grammar::Tool {
    phial_grammar::Tool {
        name: tool.name.clone(),
        parameters: tool.parameters.clone(),
        strict: tool.strict,
    }
}

/// Clients look for the beginning of the message.
fn refused(error: &Refused, tools: &Tools) -> InvalidRequest {
    let name = error.tool().unwrap_or_default();
    let index = tools.list.iter().position(|tool| tool.name == name);
    let place = match error.keyword() {
        Some(keyword) => format!("'{keyword}' at '#{}': ", error.pointer()),
        None => String::new(),
    };
    let (message, param) = match index {
        Some(index) => (
            format!("Invalid schema for function '{name}': {place}{}.", error.reason()),
            format!("tools[{index}].function.parameters"),
        ),
        None => (format!("Invalid tools: {error}."), "tools".to_owned()),
    };
    InvalidRequest { message, param: Some(param), code: Some("invalid_function_parameters") }
}
