//! Answers in the dialect of `/v1/messages`: whole, or as events.

use serde::Serialize;
use serde_json::Value;

/// A message of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageObject {
    /// `msg_…`
    pub id: String,
    /// Always `message`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Always `assistant`.
    pub role: &'static str,
    /// The model that answered.
    pub model: String,
    /// What it said and called, in order.
    pub content: Vec<ContentBlock>,
    /// Why it ends; `null` where it begins.
    pub stop_reason: Option<StopReason>,
    /// The stop sequence that came up.
    pub stop_sequence: Option<String>,
    /// What it took.
    pub usage: MessagesUsage,
}

impl MessageObject {
    /// A message without content.
    pub fn new(id: String, model: String, usage: MessagesUsage) -> Self {
        Self {
            id,
            kind: "message",
            role: "assistant",
            model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ContentBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A call of a tool.
    ToolUse {
        /// By which the result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
}

/// Why a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model was done.
    EndTurn,
    /// The limit that was asked for, or the context, was reached.
    MaxTokens,
    /// A stop sequence came up.
    StopSequence,
    /// It wants to know what its calls give.
    ToolUse,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MessagesUsage {
    /// Of the prompt, without those from a cache.
    pub input_tokens: usize,
    /// Always 0: caching costs nothing here.
    pub cache_creation_input_tokens: usize,
    /// Of the prompt, taken from a cache.
    pub cache_read_input_tokens: usize,
    /// Generated.
    pub output_tokens: usize,
}

impl MessagesUsage {
    /// Of a prompt of which `cached` tokens came from a cache.
    pub fn new(prompt_tokens: usize, cached: usize, output_tokens: usize) -> Self {
        Self {
            input_tokens: prompt_tokens.saturating_sub(cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: cached,
            output_tokens,
        }
    }
}

/// What happens while a message is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MessageEvent {
    /// The first event.
    MessageStart {
        /// The message, still empty.
        message: MessageObject,
    },
    /// A block begins.
    ContentBlockStart {
        /// Which, from 0.
        index: usize,
        /// The block, still empty.
        content_block: ContentBlock,
    },
    /// The block goes on.
    ContentBlockDelta {
        /// Which.
        index: usize,
        /// With what.
        delta: BlockDelta,
    },
    /// The block is complete.
    ContentBlockStop {
        /// Which.
        index: usize,
    },
    /// The message ends.
    MessageDelta {
        /// Why.
        delta: MessageEnd,
        /// What it took.
        usage: MessagesUsage,
    },
    /// The last event.
    MessageStop,
    /// Nothing happens; the connection lives.
    Ping,
}

impl MessageEvent {
    /// The name that the event is sent under.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
            Self::Ping => "ping",
        }
    }
}

/// What a block goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BlockDelta {
    /// Text.
    TextDelta {
        /// The text.
        text: String,
    },
    /// Arguments.
    InputJsonDelta {
        /// A piece of their JSON.
        partial_json: String,
    },
}

/// How a message ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageEnd {
    /// Why.
    pub stop_reason: StopReason,
    /// The stop sequence that came up.
    pub stop_sequence: Option<String>,
}

/// The answer of `count_tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TokenCount {
    /// Tokens of the prompt.
    pub input_tokens: usize,
}

/// An error in the shape of this dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessagesErrorBody {
    /// Always `error`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What went wrong.
    pub error: MessagesError,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessagesError {
    /// The family of the error.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// For a person.
    pub message: String,
}

impl MessagesErrorBody {
    /// The error that an HTTP `status` stands for.
    pub fn new(status: u16, message: String) -> Self {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            408 => "timeout_error",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        Self { kind: "error", error: MessagesError { kind, message } }
    }
}
