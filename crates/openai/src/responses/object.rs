//! A response as clients see it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::item::Item;
use super::mcp;
use super::request::ResponsesRequest;
use crate::chat::tools::{FunctionTool, Tools};

/// A response, whole or on its way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResponseObject {
    /// `resp_…`
    pub id: String,
    /// Always `response`.
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// How far it is.
    pub status: ResponseStatus,
    /// Always `false`.
    pub background: bool,
    /// Seconds since the epoch, once it is whole.
    pub completed_at: Option<u64>,
    /// Why it failed.
    pub error: Option<ResponseError>,
    /// Why it was cut.
    pub incomplete_details: Option<IncompleteDetails>,
    /// As asked.
    pub instructions: Option<String>,
    /// As asked.
    pub max_output_tokens: Option<usize>,
    /// As asked.
    pub metadata: BTreeMap<String, String>,
    /// The model that answered.
    pub model: String,
    /// What the model said and called, in order.
    pub output: Vec<Item>,
    /// As asked.
    pub parallel_tool_calls: bool,
    /// As asked.
    pub previous_response_id: Option<String>,
    /// Always `default`.
    pub service_tier: &'static str,
    /// As asked, or what was taken.
    pub temperature: f32,
    /// The form of the text, as asked.
    pub text: Value,
    /// As asked.
    pub tool_choice: Value,
    /// As asked.
    pub tools: Vec<Value>,
    /// As asked.
    pub top_logprobs: usize,
    /// As asked, or what was taken.
    pub top_p: f32,
    /// Always `disabled`: nothing is ever left out of a prompt.
    pub truncation: &'static str,
    /// What it took, once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<ResponseUsage>,
}

impl ResponseObject {
    /// The response to `asked`, before anything is said.
    pub fn new(id: String, created_at: u64, model: String, asked: &ResponsesRequest) -> Self {
        Self {
            id,
            object: "response",
            created_at,
            status: ResponseStatus::InProgress,
            background: false,
            completed_at: None,
            error: None,
            incomplete_details: None,
            instructions: asked.instructions.clone(),
            max_output_tokens: asked.tokens_max,
            metadata: asked.metadata.clone(),
            model,
            output: Vec::new(),
            parallel_tool_calls: asked.tools.parallel,
            previous_response_id: asked.previous_response_id.clone(),
            service_tier: "default",
            temperature: asked.temperature.unwrap_or(1.0),
            text: json!({ "format": asked.text_format }),
            tool_choice: asked.tool_choice.clone(),
            tools: tools(&asked.tools),
            top_logprobs: asked.logprobs.unwrap_or(0),
            top_p: asked.top_p.unwrap_or(1.0),
            truncation: "disabled",
            usage: None,
        }
    }
}

fn tools(tools: &Tools) -> Vec<Value> {
    tools.list.iter().map(tool).chain(tools.servers.iter().map(mcp::shown)).collect()
}

fn tool(tool: &FunctionTool) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    })
}

/// How far a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// It is being made.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut.
    Incomplete,
    /// The server could not go on.
    Failed,
}

/// Why a response failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResponseError {
    /// Always `server_error`.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

/// Why a response was cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncompleteDetails {
    /// Always `max_output_tokens`.
    pub reason: &'static str,
}

/// What a response took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResponseUsage {
    /// Tokens of the prompt.
    pub input_tokens: usize,
    /// Of them.
    pub input_tokens_details: InputTokensDetails,
    /// Tokens generated.
    pub output_tokens: usize,
    /// Of them.
    pub output_tokens_details: OutputTokensDetails,
    /// Their sum.
    pub total_tokens: usize,
}

impl ResponseUsage {
    /// Usage of a text response.
    pub fn new(input_tokens: usize, cached_tokens: usize, output_tokens: usize) -> Self {
        Self {
            input_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens, cache_write_tokens: 0 },
            output_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens: 0 },
            total_tokens: input_tokens + output_tokens,
        }
    }
}

/// Kinds of prompt tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InputTokensDetails {
    /// Taken from a cache.
    pub cached_tokens: usize,
    /// Always 0: caching costs nothing here.
    pub cache_write_tokens: usize,
}

/// Kinds of generated tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutputTokensDetails {
    /// Of hidden reasoning.
    pub reasoning_tokens: usize,
}
