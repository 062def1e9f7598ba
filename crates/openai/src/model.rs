//! Models on offer.

use serde::Serialize;

/// A model that requests may name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// The name.
    pub id: String,
    /// Always `model`.
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created: u64,
    /// Who offers it.
    pub owned_by: &'static str,
    /// Tokens of prompt and answer together. Not in the official API; clients that plan their
    /// prompts read it under this name.
    pub max_model_len: usize,
}

impl Model {
    /// A model of this server.
    pub fn new(id: impl Into<String>, created: u64, context_tokens: usize) -> Self {
        Self {
            id: id.into(),
            object: "model",
            created,
            owned_by: "phial",
            max_model_len: context_tokens,
        }
    }
}

/// All models on offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelList {
    /// Always `list`.
    pub object: &'static str,
    /// The models.
    pub data: Vec<Model>,
}

impl ModelList {
    /// A list of `data`.
    pub fn new(data: Vec<Model>) -> Self {
        Self { object: "list", data }
    }
}
