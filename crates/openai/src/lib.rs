//! Wire types of the public API.
//!
//! **Owns:** the shape of requests, responses, chunks and errors as clients see them, and the
//! checks that need nothing but the request itself. Requests are read field by field, so that a
//! mistake is answered with the name of the field; everything sent is derived from a type.
//! **Does not know:** HTTP, tokens, the engine, which model is served.
//!
//! **Start at** [`ChatRequest`] and [`ChatCompletion`]; [`InvalidRequest`] is what a client reads
//! when a request is wrong.

#![forbid(unsafe_code)]

mod answer_format;
mod batch;
mod chat;
mod completion;
mod embedding;
mod error;
mod fields;
mod file;
mod messages;
pub mod metering;
mod model;
mod openapi;
mod prompt;
mod relay;
mod responses;
mod sampling;
mod tokens;
mod usage;

pub use answer_format::{AnswerForm, AnswerFormat};
pub use batch::line::{BatchFailure, BatchLine, BatchOutcome, BatchResponse};
pub use batch::object::{
    Batch, BatchCounts, BatchError, BatchErrors, BatchObjectName, BatchStatus,
};
pub use batch::request::BatchRequest;
pub use chat::logprobs::{ChoiceLogprobs, TokenLogprob, TopLogprob};
pub use chat::message::{Message, Role};
pub use chat::request::ChatRequest;
pub use chat::response::{
    AssistantMessage, ChatChunk, ChatCompletion, Choice, ChunkChoice, ChunkUsage, Delta,
    FinishReason,
};
pub use chat::tools::{
    FunctionCall, FunctionTool, McpCall, McpServer, ToolCall, ToolChoice, Tools,
};
pub use completion::request::CompletionRequest;
pub use completion::response::{
    Completion, CompletionChoice, CompletionLogprobs, LegacyTopLogprobs,
};
pub use embedding::{
    Embedding, EmbeddingEncoding, EmbeddingList, EmbeddingRequest, EmbeddingUsage, EmbeddingValues,
};
pub use error::{ErrorBody, ErrorObject, InvalidRequest};
pub use file::{Deleted, FileObject, FileObjectName, FilePurpose, FileStatus, Page};
pub use messages::request::MessagesRequest;
pub use messages::response::{
    BlockDelta, ContentBlock, MessageEnd, MessageEvent, MessageObject, MessagesError,
    MessagesErrorBody, MessagesUsage, StopReason, TokenCount,
};
pub use model::{Model, ModelList};
pub use openapi::OPENAPI;
pub use prompt::PromptInput;
pub use relay::answer::{PartChanges, RelayedPart};
pub use relay::request::{RelayedRequest, RequestBounds, RequestChanges};
pub use responses::event::{EventLogprob, EventTopLogprob, NumberedEvent, ResponseEvent};
pub use responses::item::{Item, ItemContent, ItemStatus, conversation};
pub use responses::mcp::{McpCallStatus, McpListedTool};
pub use responses::object::{
    IncompleteDetails, InputTokensDetails, OutputTokensDetails, ResponseError, ResponseObject,
    ResponseStatus, ResponseUsage,
};
pub use responses::request::ResponsesRequest;
pub use sampling::{SamplingFields, StreamOptions};
pub use tokens::{
    AppliedTemplate, DetokenizeRequest, Detokenized, TokenizeInput, TokenizeRequest, Tokenized,
};
pub use usage::{CompletionTokensDetails, PromptTokensDetails, Usage};
