//! A message in events.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::{
    BlockDelta, ContentBlock, MessageEnd, MessageEvent, MessageObject, MessagesUsage,
};
use serde_json::json;

use super::{Head, error_body, stop_reason};
use crate::answer::{Answer, Event};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse;

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(server: &Server, head: Head, answer: Answer) -> Response {
    let mut events = Events {
        prompt_tokens: head.prompt_tokens,
        answer,
        open: None,
        blocks: 0,
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
    };
    let usage = MessagesUsage::new(head.prompt_tokens, 0, 0);
    let message = MessageObject::new(head.id, head.model, usage);
    events.send(&MessageEvent::MessageStart { message });
    events.send(&MessageEvent::Ping);
    sse::respond(events)
}

/// What kind of block is open.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Text,
    Call,
}

/// The events of a message. Dropped with the connection, and the answer with it.
struct Events {
    prompt_tokens: usize,
    answer: Answer,
    open: Option<Open>,
    /// Blocks begun; the last of them is the open one.
    blocks: usize,
    /// Events that are yet to be sent.
    ready: VecDeque<Bytes>,
    ended: bool,
    ping_interval: Duration,
}

impl sse::Source for Events {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match tokio::time::timeout(self.ping_interval, self.answer.next()).await {
                Err(_) => self.send(&MessageEvent::Ping),
                Ok(Ok(Some((_, event)))) => self.take(event),
                Ok(Ok(None)) => self.ended = true,
                Ok(Err(error)) => self.fail(&error),
            }
        }
    }
}

impl Events {
    fn take(&mut self, event: Event) {
        match event {
            Event::Text { text, .. } => {
                if self.open != Some(Open::Text) {
                    self.begin(Open::Text, ContentBlock::Text { text: String::new() });
                }
                self.go_on(BlockDelta::TextDelta { text });
            }
            Event::CallBegin { id, name } => {
                self.begin(Open::Call, ContentBlock::ToolUse { id, name, input: json!({}) });
            }
            Event::CallArguments(partial_json) => {
                self.go_on(BlockDelta::InputJsonDelta { partial_json });
            }
            Event::CallEnd => self.close(),
            Event::Finished { end, usage } => {
                self.close();
                let (stop_reason, stop_sequence) = stop_reason(end);
                self.send(&MessageEvent::MessageDelta {
                    delta: MessageEnd { stop_reason, stop_sequence },
                    usage: MessagesUsage::new(
                        self.prompt_tokens,
                        usage.cached_tokens,
                        usage.generated_tokens,
                    ),
                });
                self.send(&MessageEvent::MessageStop);
                self.ended = true;
            }
        }
    }

    fn begin(&mut self, open: Open, content_block: ContentBlock) {
        self.close();
        self.open = Some(open);
        self.blocks += 1;
        self.send(&MessageEvent::ContentBlockStart { index: self.blocks - 1, content_block });
    }

    fn go_on(&mut self, delta: BlockDelta) {
        let index = self.blocks.saturating_sub(1);
        self.send(&MessageEvent::ContentBlockDelta { index, delta });
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.send(&MessageEvent::ContentBlockStop { index: self.blocks - 1 });
        }
    }

    fn send(&mut self, event: &MessageEvent) {
        match serde_json::to_vec(event) {
            Ok(json) => self.ready.push_back(sse::named_event(event.name(), &json)),
            Err(error) => {
                tracing::error!(%error, "an event has no JSON");
                self.fail(&ApiError::internal());
            }
        }
    }

    /// The status is long sent; clients look for an error among the events.
    fn fail(&mut self, error: &ApiError) {
        if let Ok(json) = serde_json::to_vec(&error_body(error)) {
            self.ready.push_back(sse::named_event("error", &json));
        }
        self.ended = true;
    }
}
