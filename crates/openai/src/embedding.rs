//! Embeddings: texts as vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use crate::error::InvalidRequest;
use crate::fields::Fields;
use crate::prompt::{PromptInput, read_prompts};

/// `POST /v1/embeddings`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingRequest {
    /// The model asked for.
    pub model: String,
    /// At least one, at most [`EmbeddingRequest::INPUTS_MAX`].
    pub inputs: Vec<PromptInput>,
    /// How to send the vectors.
    pub encoding: EmbeddingEncoding,
}

/// How vectors are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmbeddingEncoding {
    /// As a list of numbers.
    #[default]
    Float,
    /// As Base64 of 32-bit numbers, the least significant byte first.
    Base64,
}

impl EmbeddingRequest {
    /// The most inputs of a request.
    pub const INPUTS_MAX: usize = 2048;

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
        let inputs = read_prompts(&fields, "input")?;
        fields.known(&[&["dimensions", "encoding_format", "input", "model", "user"]])?;
        fields.string("user")?;
        if fields.get("dimensions").is_some() {
            return Err(InvalidRequest::unsupported("dimensions"));
        }
        if inputs.len() > Self::INPUTS_MAX {
            let problem = format_args!(
                "array too long. Expected an array with maximum length {}, but got an array with \
                 length {} instead.",
                Self::INPUTS_MAX,
                inputs.len()
            );
            return Err(InvalidRequest::value("input", problem));
        }
        let encoding = match fields.string("encoding_format")? {
            None | Some("float") => EmbeddingEncoding::Float,
            Some("base64") => EmbeddingEncoding::Base64,
            Some(other) => {
                let problem = format_args!("'{other}' is not one of 'float' and 'base64'.");
                return Err(InvalidRequest::value("encoding_format", problem));
            }
        };
        Ok(Self { model, inputs, encoding })
    }
}

/// The vectors of all inputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmbeddingList {
    /// Always `list`.
    pub object: &'static str,
    /// In the order of the inputs.
    pub data: Vec<Embedding>,
    /// The model that answered.
    pub model: String,
    /// What it took.
    pub usage: EmbeddingUsage,
}

impl EmbeddingList {
    /// The vectors `data`, in the order of the inputs.
    pub fn new(
        data: impl IntoIterator<Item = Vec<f32>>,
        encoding: EmbeddingEncoding,
        model: String,
        prompt_tokens: usize,
    ) -> Self {
        let data = data.into_iter().enumerate().map(|(index, values)| Embedding {
            object: "embedding",
            index,
            embedding: match encoding {
                EmbeddingEncoding::Float => EmbeddingValues::Floats(values),
                EmbeddingEncoding::Base64 => {
                    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                    EmbeddingValues::Base64(STANDARD.encode(bytes))
                }
            },
        });
        let usage = EmbeddingUsage { prompt_tokens, total_tokens: prompt_tokens };
        Self { object: "list", data: data.collect(), model, usage }
    }
}

/// One vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embedding {
    /// Always `embedding`.
    pub object: &'static str,
    /// Of which input, from 0.
    pub index: usize,
    /// The vector.
    pub embedding: EmbeddingValues,
}

/// The numbers of a vector.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum EmbeddingValues {
    /// As they are.
    Floats(Vec<f32>),
    /// As Base64.
    Base64(String),
}

/// Tokens read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EmbeddingUsage {
    /// Of all inputs.
    pub prompt_tokens: usize,
    /// The same.
    pub total_tokens: usize,
}
