//! What an answer must follow: the schemas of tools, the form that was asked for.

use phial_grammar::{CallMode, Grammar, Refused, ToolCalls, ToolDialect};
use phial_openai::{AnswerForm, AnswerFormat, InvalidRequest};
use phial_text::CallFormat;

use super::tools::{Tool, ToolChoice, Tools};
use crate::api_error::ApiError;
use crate::grammars::Follows;
use crate::server::Server;

/// What the answer to a request with these tools, for this form, must follow. Where the model is
/// free to call, it either calls or answers in the form; where it must call, the form says nothing.
/// Without a form, what it is free to do begins to be constrained with a call. May take some tenths
/// of a second.
///
/// # Errors
/// A schema that must be enforced and cannot be, by its keyword and place.
pub(super) fn of_answer(
    server: &Server,
    tools: Option<&Tools>,
    format: Option<&AnswerFormat>,
) -> Result<Option<Grammar>, ApiError> {
    let calls = tools.and_then(|tools| calls(server, tools));
    let follows = match (calls, format) {
        (None, None) => return Ok(None),
        (None, Some(format)) => Follows::Form(form(&format.form)),
        (Some(calls), Some(format)) if calls.mode == CallMode::Auto => {
            Follows::FormOrCalls(form(&format.form), calls)
        }
        (Some(calls), None)
            if calls.mode == CallMode::Auto && !server.options().constrain_free_calls =>
        {
            return Ok(None);
        }
        (Some(calls), _) => Follows::Calls(calls),
    };
    let grammar = server.grammar(follows)?.map_err(|error| match (format, tools) {
        (_, Some(tools)) if error.tool().is_some() => refused_tool(&error, tools),
        (Some(format), _) => refused_form(&error, format),
        (None, tools) => refused_tool(&error, tools.unwrap_or(&Tools::default())),
    })?;
    for open in grammar.left_open() {
        tracing::debug!(tool = open.tool(), %open, "arguments of calls are not constrained");
    }
    Ok(Some(grammar))
}

/// The calls that may or must be made, if any may.
fn calls(server: &Server, tools: &Tools) -> Option<ToolCalls> {
    let callable: Vec<phial_grammar::Tool> = tools.callable().map(grammar_tool).collect();
    if callable.is_empty() {
        return None;
    }
    Some(ToolCalls {
        tools: callable,
        mode: match &tools.choice {
            ToolChoice::None => return None,
            ToolChoice::Auto => CallMode::Auto,
            ToolChoice::Required => CallMode::Required,
            ToolChoice::Named(name) => CallMode::Named(name.clone()),
        },
        parallel: tools.parallel,
        dialect: match server.model().template.call_format() {
            CallFormat::Phi4 => ToolDialect::phi4(),
            CallFormat::Hermes => ToolDialect::hermes(),
        },
    })
}

fn grammar_tool(tool: &Tool) -> phial_grammar::Tool {
    phial_grammar::Tool {
        name: tool.name.clone(),
        parameters: tool.parameters.clone(),
        strict: tool.strict,
    }
}

fn form(form: &AnswerForm) -> phial_grammar::AnswerForm {
    match form.clone() {
        AnswerForm::JsonObject => phial_grammar::AnswerForm::JsonObject,
        AnswerForm::JsonSchema(schema) => phial_grammar::AnswerForm::JsonSchema(schema),
        AnswerForm::Regex(pattern) => phial_grammar::AnswerForm::Regex(pattern),
        AnswerForm::Choice(choices) => phial_grammar::AnswerForm::Choice(choices),
        AnswerForm::Lark(grammar) => phial_grammar::AnswerForm::Lark(grammar),
    }
}

/// Clients look for the beginning of the message.
fn refused_form(error: &Refused, format: &AnswerFormat) -> InvalidRequest {
    let param = Some(format.param.clone());
    match format.form {
        AnswerForm::JsonSchema(_) => {
            let (place, reason) = (place(error), error.reason());
            let message = format!("Invalid schema for {}: {place}{reason}.", format.title);
            InvalidRequest { message, param, code: Some("invalid_json_schema") }
        }
        _ => InvalidRequest::value(&format.param, format_args!("{error}.")),
    }
}

/// As [`refused_form`], for a schema of a tool.
fn refused_tool(error: &Refused, tools: &Tools) -> InvalidRequest {
    let name = error.tool().unwrap_or_default();
    let index = tools.list.iter().position(|tool| tool.name == name);
    let (message, param) = match index {
        Some(index) => (
            format!("Invalid schema for function '{name}': {}{}.", place(error), error.reason()),
            format!("tools[{index}].function.parameters"),
        ),
        None => (format!("Invalid tools: {error}."), "tools".to_owned()),
    };
    InvalidRequest { message, param: Some(param), code: Some("invalid_function_parameters") }
}

/// The keyword at fault and where it is; nothing where none is known.
fn place(error: &Refused) -> String {
    match (error.keyword(), error.pointer()) {
        (Some(keyword), pointer) => format!("'{keyword}' at '#{pointer}': "),
        (None, "") => String::new(),
        (None, pointer) => format!("the schema at '#{pointer}': "),
    }
}
