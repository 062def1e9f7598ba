//! What a chat request asks for.

use serde_json::Value;

use crate::answer_format::AnswerFormat;
use crate::chat::message::{Message, check_results};
use crate::chat::prediction::read_prediction;
use crate::chat::tools::Tools;
use crate::chat::unsupported;
use crate::error::InvalidRequest;
use crate::fields::Fields;
use crate::sampling::{self, LABELS, SamplingFields, StreamOptions, check_labels, read_stream};

/// A chat request, checked. Numbers are within the ranges of the official API; `None` leaves the
/// choice to the server.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: String,
    /// At least one.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Tools,
    /// Most tokens to generate per choice, at least 1.
    pub tokens_max: Option<usize>,
    /// How tokens are chosen, and where the answer ends.
    pub sampling: SamplingFields,
    /// How many choices, `1..=128`.
    pub choices: usize,
    /// Report log-probabilities, with this many alternatives, `0..=20`.
    pub logprobs: Option<usize>,
    /// What the answer is expected to be like, at least in parts; empty: nothing is expected.
    pub prediction: String,
    /// What the answer must be.
    pub format: Option<AnswerFormat>,
    /// Answer chunk by chunk.
    pub stream: Option<StreamOptions>,
}

/// Fields that are read here.
const NAMES: &[&str] = &[
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prediction",
    "stream",
    "stream_options",
    "top_logprobs",
];

impl ChatRequest {
    /// The most stop strings of a request.
    pub const STOP_STRINGS_MAX: usize = sampling::STOP_STRINGS_MAX;
    /// The most choices of a request.
    pub const CHOICES_MAX: i64 = 128;
    /// The most alternatives reported per token.
    pub const TOP_LOGPROBS_MAX: i64 = 20;
    /// The most entries of `metadata`.
    pub const METADATA_MAX: usize = sampling::METADATA_MAX;

    /// Reads the body of a request.
    ///
    /// ```
    /// let body = br#"{"model": "phi", "messages": [{"role": "user", "content": "Hi"}]}"#;
    /// let request = phial_openai::ChatRequest::from_json(body).unwrap();
    /// assert_eq!(request.messages[0].content, "Hi");
    ///
    /// let error = phial_openai::ChatRequest::from_json(br#"{"model": "phi"}"#).unwrap_err();
    /// assert_eq!(error.message, "Missing required parameter: 'messages'.");
    /// ```
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidRequest> {
        let body: Value =
            serde_json::from_slice(body).map_err(|error| InvalidRequest::syntax(&error))?;
        let fields = Fields::of(&body, "")?;
        fields.required("model")?;
        let model = fields.string("model")?.unwrap_or_default().to_owned();
        let messages = read_messages(&fields)?;
        unsupported::check(&fields)?;
        fields.known(&[
            NAMES,
            AnswerFormat::NAMES,
            LABELS,
            SamplingFields::NAMES,
            Tools::NAMES,
            unsupported::NAMES,
        ])?;
        check_labels(&fields)?;
        Ok(Self {
            model,
            messages,
            tools: Tools::read(&fields)?,
            tokens_max: read_tokens_max(&fields)?,
            sampling: SamplingFields::read(&fields)?,
            choices: fields.integer("n", 1..=Self::CHOICES_MAX)?.unwrap_or(1) as usize,
            logprobs: read_logprobs(&fields)?,
            prediction: read_prediction(&fields)?,
            format: AnswerFormat::read(&fields)?,
            stream: read_stream(&fields)?,
        })
    }
}

fn read_messages(fields: &Fields<'_>) -> Result<Vec<Message>, InvalidRequest> {
    fields.required("messages")?;
    let list = fields.array("messages")?.map(Vec::as_slice).unwrap_or_default();
    if list.is_empty() {
        return Err(InvalidRequest::value(
            "messages",
            "empty array. Expected an array with minimum length 1.",
        ));
    }
    let messages: Vec<Message> = list
        .iter()
        .enumerate()
        .map(|(index, message)| Message::read(message, format!("messages[{index}]")))
        .collect::<Result<_, _>>()?;
    check_results(&messages)?;
    Ok(messages)
}

fn read_tokens_max(fields: &Fields<'_>) -> Result<Option<usize>, InvalidRequest> {
    let range = || 1..=i64::from(u32::MAX);
    let old = fields.integer("max_tokens", range())?;
    let new = fields.integer("max_completion_tokens", range())?;
    match (old, new) {
        (Some(old), Some(new)) if old != new => Err(InvalidRequest::value(
            "max_tokens",
            "'max_tokens' and 'max_completion_tokens' differ; give only one of them.",
        )),
        _ => Ok(new.or(old).map(|tokens| tokens as usize)),
    }
}

fn read_logprobs(fields: &Fields<'_>) -> Result<Option<usize>, InvalidRequest> {
    let wanted = fields.boolean("logprobs")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=ChatRequest::TOP_LOGPROBS_MAX)?;
    match top {
        Some(1..) if !wanted => {
            Err(InvalidRequest::value("top_logprobs", "only allowed when 'logprobs' is true."))
        }
        top => Ok(wanted.then(|| top.unwrap_or(0) as usize)),
    }
}
