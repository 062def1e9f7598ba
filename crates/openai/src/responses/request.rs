//! What a request for a response asks for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::item::Item;
use super::tools::read_tools;
use crate::answer_format::AnswerFormat;
use crate::chat::tools::Tools;
use crate::error::InvalidRequest;
use crate::fields::{Fields, type_name};
use crate::sampling::check_labels;

/// A request for a response, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponsesRequest {
    /// The model asked for.
    pub model: String,
    /// What is new in the conversation; at least one item, none with a name of ours yet.
    pub input: Vec<Item>,
    /// What the system says, this time only.
    pub instructions: Option<String>,
    /// The response that the conversation goes on from.
    pub previous_response_id: Option<String>,
    /// What the model may call.
    pub tools: Tools,
    /// `tool_choice` as it was given.
    pub tool_choice: Value,
    /// Most tokens to generate, at least 1.
    pub tokens_max: Option<usize>,
    /// `0..=2`
    pub temperature: Option<f32>,
    /// `0..=1`
    pub top_p: Option<f32>,
    /// What the text must be.
    pub format: Option<AnswerFormat>,
    /// `text.format` as it was given.
    pub text_format: Value,
    /// Report log-probabilities, with this many alternatives, `0..=20`.
    pub logprobs: Option<usize>,
    /// Keep the response, to be fetched or gone on from.
    pub store: bool,
    /// Answer event by event.
    pub stream: bool,
    /// Labels of the client.
    pub metadata: BTreeMap<String, String>,
}

const NAMES: &[&str] = &[
    "background",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Official fields that are refused whatever they say.
const REFUSED: &[&str] = &[
    "context_management",
    "conversation",
    "max_tool_calls",
    "moderation",
    "prompt",
    "prompt_cache_options",
];

impl ResponsesRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.required("model")?;
        let model = fields.string("model")?.unwrap_or_default().to_owned();
        let input = read_input(&fields)?;
        if let Some((name, _)) = fields.iter().find(|(name, _)| REFUSED.contains(name)) {
            return Err(InvalidRequest::unsupported(name));
        }
        fields.known(&[NAMES])?;
        check_labels(&fields)?;
        check_unoffered(&fields)?;
        let metadata = fields.object("metadata")?.map(|labels| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            labels.iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
        });
        let (format, text_format) = read_text(&fields)?;
        let tokens_max = fields.integer("max_output_tokens", 1..=i64::from(u32::MAX))?;
        Ok(Self {
            model,
            input,
            instructions: fields.string("instructions")?.map(str::to_owned),
            previous_response_id: fields.string("previous_response_id")?.map(str::to_owned),
            tools: read_tools(&fields)?,
            tool_choice: fields.get("tool_choice").cloned().unwrap_or_else(|| json!("auto")),
            tokens_max: tokens_max.map(|tokens| tokens as usize),
            temperature: fields.decimal("temperature", 0.0..=2.0)?,
            top_p: fields.decimal("top_p", 0.0..=1.0)?,
            format,
            text_format,
            logprobs: read_logprobs(&fields)?,
            store: fields.boolean("store")?.unwrap_or(true),
            stream: read_stream(&fields)?,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

fn read_input(fields: &Fields<'_>) -> Result<Vec<Item>, InvalidRequest> {
    let list = match fields.required("input")? {
        Value::String(text) => return Ok(vec![Item::user(text.clone())]),
        Value::Array(list) => list,
        other => {
            let expected = "a string or an array of items";
            return Err(InvalidRequest::wrong_type("input", expected, type_name(other)));
        }
    };
    let mut items = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        items.extend(Item::read(item, format!("input[{index}]"))?);
    }
    if items.is_empty() {
        let problem = "empty array. Expected an array with minimum length 1.";
        return Err(InvalidRequest::value("input", problem));
    }
    Ok(items)
}

/// Fields that pass with the values that ask for nothing.
fn check_unoffered(fields: &Fields<'_>) -> Result<(), InvalidRequest> {
    if fields.boolean("background")? == Some(true) {
        return Err(InvalidRequest::unsupported_beyond("background", "'false'"));
    }
    for (name, offered) in [
        ("prompt_cache_retention", &["in_memory"] as &[&str]),
        ("service_tier", &["auto", "default"]),
        ("truncation", &["disabled"]),
    ] {
        if fields.string(name)?.is_some_and(|value| !offered.contains(&value)) {
            let offered = format!("'{}'", offered.join("' and '"));
            return Err(InvalidRequest::unsupported_beyond(name, &offered));
        }
    }
    if let Some(reasoning) = fields.object("reasoning")? {
        reasoning.known(&[&["effort", "generate_summary", "summary"]])?;
        if reasoning.string("effort")?.is_some_and(|effort| effort != "none") {
            return Err(InvalidRequest::unsupported_beyond("reasoning.effort", "'none'"));
        }
    }
    Ok(())
}

/// The form of the text, read and as it was given.
fn read_text(fields: &Fields<'_>) -> Result<(Option<AnswerFormat>, Value), InvalidRequest> {
    let plain = || json!({"type": "text"});
    let Some(text) = fields.object("text")? else { return Ok((None, plain())) };
    text.known(&[&["format", "verbosity"]])?;
    if text.string("verbosity")?.is_some_and(|verbosity| verbosity != "medium") {
        return Err(InvalidRequest::unsupported_beyond("text.verbosity", "'medium'"));
    }
    let given = text.get("format").cloned().unwrap_or_else(plain);
    Ok((AnswerFormat::of_response(&text)?, given))
}

/// What else is to be in the response.
fn read_logprobs(fields: &Fields<'_>) -> Result<Option<usize>, InvalidRequest> {
    let mut wanted = false;
    let include = fields.array("include")?.map(Vec::as_slice).unwrap_or_default();
    for (index, value) in include.iter().enumerate() {
        match value.as_str() {
            Some("message.output_text.logprobs") => wanted = true,
            // There is no reasoning, so none is left out.
            Some("reasoning.encrypted_content") => {}
            Some(_) => return Err(InvalidRequest::unsupported(format!("include[{index}]"))),
            None => {
                let path = format!("include[{index}]");
                return Err(InvalidRequest::wrong_type(path, "a string", type_name(value)));
            }
        }
    }
    match fields.integer("top_logprobs", 0..=20)? {
        Some(1..) if !wanted => Err(InvalidRequest::value(
            "top_logprobs",
            "only allowed when 'include' has 'message.output_text.logprobs'.",
        )),
        top => Ok(wanted.then(|| top.unwrap_or(0) as usize)),
    }
}

fn read_stream(fields: &Fields<'_>) -> Result<bool, InvalidRequest> {
    let stream = fields.boolean("stream")?.unwrap_or(false);
    if let Some(options) = fields.object("stream_options")? {
        if !stream {
            let problem = "only allowed when 'stream' is true.";
            return Err(InvalidRequest::value("stream_options", problem));
        }
        options.known(&[&["include_obfuscation"]])?;
        options.boolean("include_obfuscation")?;
    }
    Ok(stream)
}
