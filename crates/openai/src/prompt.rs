//! Texts that are no chats: one or several, spelled out or as tokens.

use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};
use crate::tokens::read_token_ids;

/// A text to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromptInput {
    /// A text.
    Text(String),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// Reads the field `name`, which must be there: at least one text.
pub(crate) fn read_prompts(
    fields: &Fields<'_>,
    name: &str,
) -> Result<Vec<PromptInput>, InvalidRequest> {
    let list = match fields.required(name)? {
        Value::String(text) => return Ok(vec![PromptInput::Text(text.clone())]),
        Value::Array(list) if !list.is_empty() => list,
        Value::Array(_) => {
            let problem = "empty array. Expected an array with minimum length 1.";
            return Err(InvalidRequest::value(name, problem));
        }
        other => {
            let expected = "a string, an array of strings, an array of integers or an array of \
                            arrays of integers";
            return Err(InvalidRequest::wrong_type(name, expected, type_name(other)));
        }
    };
    if list[0].is_number() {
        return Ok(vec![PromptInput::Tokens(read_token_ids(list, name)?)]);
    }
    let read = |(index, value): (usize, &Value)| {
        let path = format!("{name}[{index}]");
        match value {
            Value::String(text) => Ok(PromptInput::Text(text.clone())),
            Value::Array(ids) => read_token_ids(ids, &path).map(PromptInput::Tokens),
            other => {
                let expected = "a string or an array of integers";
                Err(InvalidRequest::wrong_type(path, expected, type_name(other)))
            }
        }
    };
    list.iter().enumerate().map(read).collect()
}
