//! A response on its way: what each event of the answer adds, and what is told of it.

use phial_engine::Usage;
use phial_openai::{
    EventLogprob, IncompleteDetails, Item, ItemContent, ItemStatus, ResponseError, ResponseEvent,
    ResponseObject, ResponseStatus, ResponseUsage, TokenLogprob,
};

use crate::answer::{End, Event};
use crate::clock::unix_seconds;
use crate::server::Server;

/// A response as far as it has come.
pub(super) struct Draft {
    response: ResponseObject,
    prompt_tokens: usize,
    open: Option<Open>,
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
        Self { response, prompt_tokens, open: None }
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

    /// What `event` adds.
    pub fn take(&mut self, server: &Server, event: Event) -> Vec<ResponseEvent> {
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
            self.prompt_tokens,
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
