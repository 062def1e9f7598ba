//! What a completion request asks for.

use serde_json::Value;

use crate::answer_format::AnswerFormat;
use crate::chat::unsupported;
use crate::error::InvalidRequest;
use crate::fields::Fields;
use crate::prompt::{PromptInput, read_prompts};
use crate::sampling::{SamplingFields, StreamOptions, check_labels, read_stream};

/// A request to go on with texts, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CompletionRequest {
    /// The model asked for.
    pub model: String,
    /// At least one.
    pub prompts: Vec<PromptInput>,
    /// Most tokens to generate per choice; 0 only with `echo`.
    pub tokens_max: usize,
    /// Begin each text with its prompt.
    pub echo: bool,
    /// Report log-probabilities, with this many alternatives.
    pub logprobs: Option<usize>,
    /// How many choices per prompt, `1..=128`.
    pub choices: usize,
    /// How tokens are chosen.
    pub sampling: SamplingFields,
    /// What each text must be, without its prompt.
    pub format: Option<AnswerFormat>,
    /// Answer piece by piece.
    pub stream: Option<StreamOptions>,
}

const NAMES: &[&str] = &[
    "best_of",
    "echo",
    "logprobs",
    "max_tokens",
    "metadata",
    "model",
    "n",
    "prompt",
    "stream",
    "stream_options",
    "suffix",
    "user",
];

impl CompletionRequest {
    /// The most alternatives reported per token.
    pub const LOGPROBS_MAX: i64 = 5;

    /// Tokens per choice of a request that does not say: few, as in the official API.
    pub const TOKENS_MAX_DEFAULT: usize = 16;

    /// Reads the body of a request.
    ///
    /// ```
    /// let body = br#"{"model": "phi", "prompt": [1, 2], "echo": true, "max_tokens": 0}"#;
    /// let request = phial_openai::CompletionRequest::from_json(body).unwrap();
    /// assert_eq!(request.prompts, [phial_openai::PromptInput::Tokens(vec![1, 2])]);
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
        let prompts = read_prompts(&fields, "prompt")?;
        if fields.get("grammar").is_some() {
            return Err(unsupported::grammar(&fields));
        }
        fields.known(&[NAMES, AnswerFormat::NAMES, SamplingFields::NAMES])?;
        check_labels(&fields)?;
        let choices = fields.integer("n", 1..=128)?.unwrap_or(1);
        if fields.integer("best_of", 1..=20)?.is_some_and(|best| best != choices) {
            return Err(InvalidRequest::unsupported_beyond("best_of", "the value of 'n'"));
        }
        if fields.string("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
            return Err(InvalidRequest::unsupported("suffix"));
        }
        let echo = fields.boolean("echo")?.unwrap_or(false);
        let tokens_max = fields.integer("max_tokens", 0..=i64::from(u32::MAX))?;
        if tokens_max == Some(0) && !echo {
            return Err(InvalidRequest::value("max_tokens", "0 needs 'echo' to be true."));
        }
        Ok(Self {
            model,
            prompts,
            tokens_max: tokens_max.map_or(Self::TOKENS_MAX_DEFAULT, |tokens| tokens as usize),
            echo,
            logprobs: fields.integer("logprobs", 0..=Self::LOGPROBS_MAX)?.map(|top| top as usize),
            choices: choices as usize,
            sampling: SamplingFields::read(&fields)?,
            format: AnswerFormat::read(&fields)?,
            stream: read_stream(&fields)?,
        })
    }
}
