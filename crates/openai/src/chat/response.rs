//! Answers to a chat: whole, or chunk by chunk.

use serde::{Serialize, Serializer};

use crate::chat::logprobs::ChoiceLogprobs;
use crate::chat::tools::{McpCall, ToolCall};
use crate::usage::Usage;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChatCompletion {
    /// `chatcmpl-…`
    pub id: String,
    /// Always `chat.completion`.
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model that answered.
    pub model: String,
    /// In the order of their indices.
    pub choices: Vec<Choice>,
    /// What it took.
    pub usage: Usage,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: String,
}

impl ChatCompletion {
    /// The value of `object`.
    pub const OBJECT: &'static str = "chat.completion";
}

/// One of the answers to a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Which, from 0.
    pub index: usize,
    /// What was said.
    pub message: AssistantMessage,
    /// `null` unless asked for.
    pub logprobs: Option<ChoiceLogprobs>,
    /// Why it ends.
    pub finish_reason: FinishReason,
}

/// What the model said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AssistantMessage {
    /// Always `assistant`.
    pub role: &'static str,
    /// The text; `null` if there are only calls.
    pub content: Option<String>,
    /// Always `null`.
    pub refusal: Option<String>,
    /// What is called; the key is missing if nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// What this server called before; the key is missing if that was nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mcp_calls: Vec<McpCall>,
}

impl AssistantMessage {
    /// A message of text and calls.
    pub fn new(content: String, tool_calls: Vec<ToolCall>) -> Self {
        let silent = content.is_empty() && !tool_calls.is_empty();
        let content = (!silent).then_some(content);
        Self { role: "assistant", content, refusal: None, tool_calls, mcp_calls: Vec::new() }
    }
}

/// Why a choice ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop string came up.
    Stop,
    /// The limit that was asked for, or the context, was reached.
    Length,
    /// The model waits for what its calls give.
    ToolCalls,
}

/// A piece of a streamed answer. Everything but the choices is the same in all of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChatChunk {
    /// `chatcmpl-…`
    pub id: String,
    /// Always `chat.completion.chunk`.
    pub object: &'static str,
    /// Seconds since the epoch.
    pub created: u64,
    /// The model that answers.
    pub model: String,
    /// Changes when the same seed may give another answer.
    pub system_fingerprint: String,
    /// One piece of one choice; none in the chunk that carries the usage.
    pub choices: Vec<ChunkChoice>,
    /// Only if the request asked for it.
    #[serde(skip_serializing_if = "ChunkUsage::is_absent")]
    pub usage: ChunkUsage,
}

impl ChatChunk {
    /// The value of `object`.
    pub const OBJECT: &'static str = "chat.completion.chunk";
}

/// The usage in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkUsage {
    /// Not asked for: the key is missing.
    Absent,
    /// Asked for and not known yet: the key is `null`.
    Pending,
    /// The last chunk.
    Known(Usage),
}

impl ChunkUsage {
    pub(crate) fn is_absent(&self) -> bool {
        *self == Self::Absent
    }
}

impl Serialize for ChunkUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent | Self::Pending => serializer.serialize_none(),
            Self::Known(usage) => usage.serialize(serializer),
        }
    }
}

/// A piece of a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChunkChoice {
    /// Which, from 0.
    pub index: usize,
    /// What is new.
    pub delta: Delta,
    /// Of the tokens of this piece; `null` unless asked for.
    pub logprobs: Option<ChoiceLogprobs>,
    /// `null` but in the last piece.
    pub finish_reason: Option<FinishReason>,
}

/// What is new in a choice. Clients add strings up, so the role, and the name of a call, come once
/// and only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// The first piece.
    Role {
        /// Whether the content begins, with nothing; else there is none yet.
        content: bool,
    },
    /// Text.
    Content(String),
    /// A call begins.
    Call {
        /// Which of the choice, from 0 without gaps.
        index: usize,
        /// `call_…`
        id: String,
        /// The function.
        name: String,
    },
    /// The arguments of a call go on.
    Arguments {
        /// Which call of the choice.
        index: usize,
        /// Some more of the JSON.
        arguments: String,
    },
    /// This server ran a tool.
    McpCall {
        /// Which of the choice, from 0.
        index: usize,
        /// The call with its result.
        call: McpCall,
    },
    /// The last piece.
    End,
}

impl Serialize for Delta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct First {
            role: &'static str,
            content: Option<&'static str>,
            refusal: Option<()>,
        }
        #[derive(Serialize)]
        struct Text<'a> {
            content: &'a str,
        }
        #[derive(Serialize)]
        struct Calls<F> {
            tool_calls: [F; 1],
        }
        #[derive(Serialize)]
        struct CallBegin<'a> {
            index: usize,
            id: &'a str,
            #[serde(rename = "type")]
            kind: &'static str,
            function: FunctionBegin<'a>,
        }
        #[derive(Serialize)]
        struct FunctionBegin<'a> {
            name: &'a str,
            arguments: &'static str,
        }
        #[derive(Serialize)]
        struct CallMore<'a> {
            index: usize,
            function: FunctionMore<'a>,
        }
        #[derive(Serialize)]
        struct FunctionMore<'a> {
            arguments: &'a str,
        }
        #[derive(Serialize)]
        struct Nothing {}
        match self {
            Self::Role { content } => {
                First { role: "assistant", content: content.then_some(""), refusal: None }
                    .serialize(serializer)
            }
            Self::Content(content) => Text { content }.serialize(serializer),
            Self::Call { index, id, name } => {
                let function = FunctionBegin { name, arguments: "" };
                let call = CallBegin { index: *index, id, kind: "function", function };
                Calls { tool_calls: [call] }.serialize(serializer)
            }
            Self::Arguments { index, arguments } => {
                let function = FunctionMore { arguments };
                let call = CallMore { index: *index, function };
                Calls { tool_calls: [call] }.serialize(serializer)
            }
            Self::McpCall { index, call } => {
                McpCalls { mcp_calls: [IndexedMcpCall { index: *index, call }] }
                    .serialize(serializer)
            }
            Self::End => Nothing {}.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct McpCalls<'a> {
    mcp_calls: [IndexedMcpCall<'a>; 1],
}

#[derive(Serialize)]
struct IndexedMcpCall<'a> {
    index: usize,
    #[serde(flatten)]
    call: &'a McpCall,
}
