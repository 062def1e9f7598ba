//! A response on its way: what each event of the answer adds, and what is told of it.

use std::collections::VecDeque;

use phial_engine::Usage;
use phial_openai::{
    EventLogprob, IncompleteDetails, Item, ItemContent, ItemStatus, ResponseError, ResponseEvent,
    ResponseObject, ResponseStatus, ResponseUsage, TokenLogprob,
};

use crate::answer::{End, Event, ExternalCall, Step};
use crate::clock::unix_seconds;
use crate::server::Server;

/// A response as far as it has come.
pub(super) struct Draft {
    response: ResponseObject,
    /// Of the first round, and of all later ones.
    prompt_tokens: [usize; 2],
    open: Option<Open>,
    /// Calls that the server runs; their places are after those of items that are complete.
    running: VecDeque<Item>,
}

/// A list of tools before they are there.
fn without_tools(item: &Item) -> Item {
    match item.clone() {
        Item::McpListTools { id, server_label, error, .. } => {
            Item::McpListTools { id, server_label, tools: Vec::new(), error }
        }
        other => other,
    }
}

/// The item that is being made; its place is after those that are complete.
enum Open {
    Message { id: String, text: String, logprobs: Vec<TokenLogprob> },
    Call { id: String, call_id: String, name: String, arguments: String },
}

/// A message of the model has one part.
const CONTENT_INDEX: usize = 0;

impl Draft {
    pub fn new(response: ResponseObject, prompt_tokens: usize) -> Self {
        let prompt_tokens = [prompt_tokens, 0];
        Self { response, prompt_tokens, open: None, running: VecDeque::new() }
    }

    pub fn response(&self) -> &ResponseObject {
        &self.response
    }

    pub fn into_response(self) -> ResponseObject {
        self.response
    }

    /// What is told before anything is said.
    pub fn begin(&self) -> Vec<ResponseEvent> {
        let response = || self.response.clone();
        vec![
            ResponseEvent::Created { response: response() },
            ResponseEvent::InProgress { response: response() },
        ]
    }

    /// What is told when the server cannot go on.
    pub fn fail(&mut self, message: String) -> ResponseEvent {
        self.response.status = ResponseStatus::Failed;
        self.response.error = Some(ResponseError { code: "server_error", message });
        ResponseEvent::Failed { response: self.response.clone() }
    }

    /// Tools of servers that the model may call.
    pub fn list(&mut self, lists: Vec<Item>) -> Vec<ResponseEvent> {
        let mut told = Vec::new();
        for item in lists {
            let (item_id, output_index) = (item.id().to_owned(), self.response.output.len());
            let id = || item_id.clone();
            told.extend([
                ResponseEvent::OutputItemAdded { output_index, item: without_tools(&item) },
                ResponseEvent::McpListToolsInProgress { item_id: id(), output_index },
                ResponseEvent::McpListToolsCompleted { item_id: id(), output_index },
                ResponseEvent::OutputItemDone { output_index, item: item.clone() },
            ]);
            self.response.output.push(item);
        }
        told
    }

    /// Rounds but the first had prompts of so many tokens, so far.
    pub fn read_on(&mut self, later_prompt_tokens: usize) {
        self.prompt_tokens[1] = later_prompt_tokens;
    }

    /// What `step` adds.
    pub fn step(&mut self, server: &Server, step: Step) -> Vec<ResponseEvent> {
        match step {
            Step::Event(event) => self.take(server, event),
            Step::ExternalBegin(call) => self.begin_call(call),
            Step::External(call) => self.end_call(call.result),
        }
    }

    fn begin_call(&mut self, call: ExternalCall) -> Vec<ResponseEvent> {
        let mut told = Vec::new();
        self.close(ItemStatus::Completed, &mut told);
        let output_index = self.response.output.len() + self.running.len();
        let ExternalCall { id: item_id, server, tool, arguments, .. } = call;
        let item =
            |arguments| Item::mcp_call(item_id.clone(), server.clone(), tool.clone(), arguments);
        let id = || item_id.clone();
        told.extend([
            ResponseEvent::OutputItemAdded { output_index, item: item(String::new()) },
            ResponseEvent::McpCallInProgress { item_id: id(), output_index },
            ResponseEvent::McpCallArgumentsDelta {
                item_id: id(),
                output_index,
                delta: arguments.clone(),
            },
            ResponseEvent::McpCallArgumentsDone {
                item_id: id(),
                output_index,
                arguments: arguments.clone(),
            },
        ]);
        self.running.push_back(item(arguments));
        told
    }

    fn end_call(&mut self, result: Result<String, String>) -> Vec<ResponseEvent> {
        let output_index = self.response.output.len();
        let Some(item) = self.running.pop_front() else { return Vec::new() };
        let item_id = item.id().to_owned();
        let ended = match &result {
            Ok(_) => ResponseEvent::McpCallCompleted { item_id, output_index },
            Err(_) => ResponseEvent::McpCallFailed { item_id, output_index },
        };
        let item = item.with_result(result);
        self.response.output.push(item.clone());
        vec![ended, ResponseEvent::OutputItemDone { output_index, item }]
    }

    /// What `event` adds.
    fn take(&mut self, server: &Server, event: Event) -> Vec<ResponseEvent> {
        let mut told = Vec::new();
        match event {
            Event::Text { text, logprobs } => {
                if !matches!(self.open, Some(Open::Message { .. })) {
                    self.close(ItemStatus::Completed, &mut told);
                    self.open_message(server, &mut told);
                }
                self.go_on(text, logprobs, &mut told);
            }
            Event::CallBegin { id: call_id, name } => {
                self.close(ItemStatus::Completed, &mut told);
                let id = server.ids().next("fc_");
                self.open = Some(Open::Call { id, call_id, name, arguments: String::new() });
                self.tell_added(&mut told);
            }
            Event::CallArguments(delta) => {
                let output_index = self.response.output.len();
                if let Some(Open::Call { id, arguments, .. }) = &mut self.open {
                    arguments.push_str(&delta);
                    let item_id = id.clone();
                    told.push(ResponseEvent::FunctionCallArgumentsDelta {
                        item_id,
                        output_index,
                        delta,
                    });
                }
            }
            Event::CallEnd => self.close(ItemStatus::Completed, &mut told),
            Event::Finished { end, usage } => {
                let cut = end == End::Length;
                if self.open.is_none() && self.response.output.is_empty() {
                    // Nothing was said, which is also a message.
                    self.open_message(server, &mut told);
                }
                let status = if cut { ItemStatus::Incomplete } else { ItemStatus::Completed };
                self.close(status, &mut told);
                told.push(self.finish(cut, &usage));
            }
        }
        told
    }

    fn open_message(&mut self, server: &Server, told: &mut Vec<ResponseEvent>) {
        let id = server.ids().next("msg_");
        self.open =
            Some(Open::Message { id: id.clone(), text: String::new(), logprobs: Vec::new() });
        self.tell_added(told);
        told.push(ResponseEvent::ContentPartAdded {
            item_id: id,
            output_index: self.response.output.len(),
            content_index: CONTENT_INDEX,
            part: ItemContent::output(String::new(), Vec::new()),
        });
    }

    fn tell_added(&self, told: &mut Vec<ResponseEvent>) {
        let status = ItemStatus::InProgress;
        let item = match &self.open {
            None => return,
            Some(Open::Message { id, .. }) => {
                Item::Message { id: id.clone(), status, role: "assistant", content: Vec::new() }
            }
            Some(Open::Call { id, call_id, name, .. }) => Item::FunctionCall {
                id: id.clone(),
                status,
                call_id: call_id.clone(),
                name: name.clone(),
                arguments: String::new(),
            },
        };
        let output_index = self.response.output.len();
        told.push(ResponseEvent::OutputItemAdded { output_index, item });
    }

    fn go_on(&mut self, delta: String, entries: Vec<TokenLogprob>, told: &mut Vec<ResponseEvent>) {
        let output_index = self.response.output.len();
        let Some(Open::Message { id, text, logprobs }) = &mut self.open else { return };
        text.push_str(&delta);
        told.push(ResponseEvent::OutputTextDelta {
            item_id: id.clone(),
            output_index,
            content_index: CONTENT_INDEX,
            delta,
            logprobs: entries.iter().map(EventLogprob::from).collect(),
        });
        logprobs.extend(entries);
    }

    /// Completes the open item, if there is one.
    fn close(&mut self, status: ItemStatus, told: &mut Vec<ResponseEvent>) {
        let output_index = self.response.output.len();
        let item = match self.open.take() {
            None => return,
            Some(Open::Message { id, text, logprobs }) => {
                let item_id = id.clone();
                told.push(ResponseEvent::OutputTextDone {
                    item_id: item_id.clone(),
                    output_index,
                    content_index: CONTENT_INDEX,
                    text: text.clone(),
                    logprobs: logprobs.iter().map(EventLogprob::from).collect(),
                });
                let part = ItemContent::output(text, logprobs);
                told.push(ResponseEvent::ContentPartDone {
                    item_id,
                    output_index,
                    content_index: CONTENT_INDEX,
                    part: part.clone(),
                });
                Item::Message { id, status, role: "assistant", content: vec![part] }
            }
            Some(Open::Call { id, call_id, name, arguments }) => {
                told.push(ResponseEvent::FunctionCallArgumentsDone {
                    item_id: id.clone(),
                    output_index,
                    name: name.clone(),
                    arguments: arguments.clone(),
                });
                Item::FunctionCall { id, status, call_id, name, arguments }
            }
        };
        self.response.output.push(item.clone());
        told.push(ResponseEvent::OutputItemDone { output_index, item });
    }

    fn finish(&mut self, cut: bool, usage: &Usage) -> ResponseEvent {
        let response = &mut self.response;
        response.usage = Some(ResponseUsage::new(
            self.prompt_tokens.iter().sum(),
            usage.cached_tokens,
            usage.generated_tokens,
        ));
        if cut {
            response.status = ResponseStatus::Incomplete;
            response.incomplete_details = Some(IncompleteDetails { reason: "max_output_tokens" });
            return ResponseEvent::Incomplete { response: response.clone() };
        }
        response.status = ResponseStatus::Completed;
        response.completed_at = Some(unix_seconds());
        ResponseEvent::Completed { response: response.clone() }
    }
}
