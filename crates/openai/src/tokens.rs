//! Text to tokens and back, and chats to prompts: what the official API lacks and other servers
//! offer under these names.

use serde::Serialize;
use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};

/// `POST /tokenize`: a text, or a chat as it would become a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizeRequest {
    /// What to read.
    pub input: TokenizeInput,
    /// Whether the text of each token is wanted too.
    pub return_token_strings: bool,
}

/// What is made into tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenizeInput {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// Put the tokens around it that the model's documents have.
        add_special_tokens: bool,
        /// Read the names of control tokens as these tokens.
        parse_special: bool,
    },
    /// The body of a chat request, without what only this route knows.
    Chat(Value),
}

/// The names of fields that only `/tokenize` knows.
const TOKENIZE_ONLY: &[&str] = &["return_token_strs", "with_pieces"];

impl TokenizeRequest {
    /// Reads the body of a request. The text is called `prompt` or `content`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        let return_token_strings = fields.boolean("return_token_strs")?.unwrap_or(false);
        if fields.boolean("with_pieces")? == Some(true) {
            return Err(InvalidRequest::unsupported("with_pieces"));
        }
        let input = if fields.get("messages").is_some() {
            TokenizeInput::Chat(without(&body, TOKENIZE_ONLY))
        } else {
            read_text(&fields)?
        };
        Ok(Self { input, return_token_strings })
    }
}

fn read_text(fields: &Fields<'_>) -> Result<TokenizeInput, InvalidRequest> {
    fields.known(&[
        TOKENIZE_ONLY,
        &["model", "prompt", "content"],
        &["add_special_tokens", "add_special", "parse_special"],
    ])?;
    fields.string("model")?;
    let text = match fields.string("prompt")? {
        Some(text) => text,
        None => fields.string("content")?.ok_or_else(|| InvalidRequest::missing("prompt"))?,
    };
    let add = fields.boolean("add_special_tokens")?.or(fields.boolean("add_special")?);
    Ok(TokenizeInput::Text {
        text: text.to_owned(),
        add_special_tokens: add.unwrap_or(true),
        parse_special: fields.boolean("parse_special")?.unwrap_or(true),
    })
}

/// `body` without the fields `names`.
fn without(body: &Value, names: &[&str]) -> Value {
    let fields = body.as_object().into_iter().flatten();
    fields
        .filter(|(name, _)| !names.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The answer of `/tokenize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tokenized {
    /// How many there are.
    pub count: usize,
    /// Tokens of prompt and answer together that the model takes.
    pub max_model_len: usize,
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The text of each; bytes that are no whole character are shown as U+FFFD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_strs: Option<Vec<String>>,
}

/// `POST /detokenize`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetokenizeRequest {
    /// The tokens.
    pub tokens: Vec<u32>,
}

impl DetokenizeRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.known(&[&["model", "tokens"]])?;
        fields.string("model")?;
        fields.required("tokens")?;
        let tokens = fields.array("tokens")?.map(Vec::as_slice).unwrap_or_default();
        Ok(Self { tokens: read_token_ids(tokens, "tokens")? })
    }
}

/// Reads a list of token ids found at `path`.
pub(crate) fn read_token_ids(list: &[Value], path: &str) -> Result<Vec<u32>, InvalidRequest> {
    let read = |(index, value): (usize, &Value)| {
        let path = || format!("{path}[{index}]");
        let Some(id) = value.as_i64() else {
            return Err(InvalidRequest::wrong_type(path(), "an integer", type_name(value)));
        };
        u32::try_from(id).map_err(|_| {
            InvalidRequest::value(path(), format_args!("{id} is not the id of a token."))
        })
    };
    list.iter().enumerate().map(read).collect()
}

/// The answer of `/detokenize`: the same text under the names that different servers use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detokenized {
    /// The text.
    pub prompt: String,
    /// The text.
    pub content: String,
}

/// The answer of `/apply-template`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AppliedTemplate {
    /// The prompt for a person to read. In it, text and control tokens that spell the same look
    /// alike; `/tokenize` tells them apart.
    pub prompt: String,
}
