//! What happens while a response is made.

use serde::Serialize;

use super::item::{Item, ItemContent};
use super::object::ResponseObject;
use crate::chat::logprobs::TokenLogprob;

/// An event and its number, from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberedEvent {
    /// The event.
    #[serde(flatten)]
    pub event: ResponseEvent,
    /// Grows by one with each event.
    pub sequence_number: usize,
}

/// Something that happens. `output_index` counts items, `content_index` parts of a message; both
/// from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
#[expect(missing_docs, reason = "the fields are those of the official events, with their names")]
pub enum ResponseEvent {
    /// The first event.
    #[serde(rename = "response.created")]
    Created { response: ResponseObject },
    /// The second.
    #[serde(rename = "response.in_progress")]
    InProgress { response: ResponseObject },
    /// An item begins.
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded { output_index: usize, item: Item },
    /// A part of a message begins.
    #[serde(rename = "response.content_part.added")]
    ContentPartAdded {
        item_id: String,
        output_index: usize,
        content_index: usize,
        part: ItemContent,
    },
    /// Text goes on.
    #[serde(rename = "response.output_text.delta")]
    OutputTextDelta {
        item_id: String,
        output_index: usize,
        content_index: usize,
        delta: String,
        logprobs: Vec<EventLogprob>,
    },
    /// Text is complete.
    #[serde(rename = "response.output_text.done")]
    OutputTextDone {
        item_id: String,
        output_index: usize,
        content_index: usize,
        text: String,
        logprobs: Vec<EventLogprob>,
    },
    /// A part of a message is complete.
    #[serde(rename = "response.content_part.done")]
    ContentPartDone {
        item_id: String,
        output_index: usize,
        content_index: usize,
        part: ItemContent,
    },
    /// Arguments of a call go on.
    #[serde(rename = "response.function_call_arguments.delta")]
    FunctionCallArgumentsDelta { item_id: String, output_index: usize, delta: String },
    /// Arguments of a call are complete.
    #[serde(rename = "response.function_call_arguments.done")]
    FunctionCallArgumentsDone {
        item_id: String,
        output_index: usize,
        name: String,
        arguments: String,
    },
    /// Tools of a server are asked for.
    #[serde(rename = "response.mcp_list_tools.in_progress")]
    McpListToolsInProgress { item_id: String, output_index: usize },
    /// They are there.
    #[serde(rename = "response.mcp_list_tools.completed")]
    McpListToolsCompleted { item_id: String, output_index: usize },
    /// A tool of a server is run.
    #[serde(rename = "response.mcp_call.in_progress")]
    McpCallInProgress { item_id: String, output_index: usize },
    /// With these arguments.
    #[serde(rename = "response.mcp_call_arguments.delta")]
    McpCallArgumentsDelta { item_id: String, output_index: usize, delta: String },
    /// These are all of them.
    #[serde(rename = "response.mcp_call_arguments.done")]
    McpCallArgumentsDone { item_id: String, output_index: usize, arguments: String },
    /// The tool gave something.
    #[serde(rename = "response.mcp_call.completed")]
    McpCallCompleted { item_id: String, output_index: usize },
    /// The tool gave nothing.
    #[serde(rename = "response.mcp_call.failed")]
    McpCallFailed { item_id: String, output_index: usize },
    /// An item is complete.
    #[serde(rename = "response.output_item.done")]
    OutputItemDone { output_index: usize, item: Item },
    /// The last event of a response that is whole.
    #[serde(rename = "response.completed")]
    Completed { response: ResponseObject },
    /// The last event of a response that was cut.
    #[serde(rename = "response.incomplete")]
    Incomplete { response: ResponseObject },
    /// The last event of a response that failed.
    #[serde(rename = "response.failed")]
    Failed { response: ResponseObject },
}

impl ResponseEvent {
    /// The name that the event is sent under, which is its type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created { .. } => "response.created",
            Self::InProgress { .. } => "response.in_progress",
            Self::OutputItemAdded { .. } => "response.output_item.added",
            Self::ContentPartAdded { .. } => "response.content_part.added",
            Self::OutputTextDelta { .. } => "response.output_text.delta",
            Self::OutputTextDone { .. } => "response.output_text.done",
            Self::ContentPartDone { .. } => "response.content_part.done",
            Self::FunctionCallArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::FunctionCallArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::McpListToolsInProgress { .. } => "response.mcp_list_tools.in_progress",
            Self::McpListToolsCompleted { .. } => "response.mcp_list_tools.completed",
            Self::McpCallInProgress { .. } => "response.mcp_call.in_progress",
            Self::McpCallArgumentsDelta { .. } => "response.mcp_call_arguments.delta",
            Self::McpCallArgumentsDone { .. } => "response.mcp_call_arguments.done",
            Self::McpCallCompleted { .. } => "response.mcp_call.completed",
            Self::McpCallFailed { .. } => "response.mcp_call.failed",
            Self::OutputItemDone { .. } => "response.output_item.done",
            Self::Completed { .. } => "response.completed",
            Self::Incomplete { .. } => "response.incomplete",
            Self::Failed { .. } => "response.failed",
        }
    }
}

/// A token in an event, which has no bytes there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventLogprob {
    /// Its text.
    pub token: String,
    /// Natural logarithm.
    pub logprob: f32,
    /// The most probable tokens at this place.
    pub top_logprobs: Vec<EventTopLogprob>,
}

/// A token that was probable at a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventTopLogprob {
    /// Its text.
    pub token: String,
    /// Natural logarithm.
    pub logprob: f32,
}

impl From<&TokenLogprob> for EventLogprob {
    fn from(entry: &TokenLogprob) -> Self {
        let top = entry
            .top_logprobs
            .iter()
            .map(|top| EventTopLogprob { token: top.token.clone(), logprob: top.logprob });
        Self { token: entry.token.clone(), logprob: entry.logprob, top_logprobs: top.collect() }
    }
}
