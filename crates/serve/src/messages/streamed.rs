//! A message in events.

use axum::response::Response;
use phial_openai::{
    BlockDelta, ContentBlock, MessageEnd, MessageEvent, MessageObject, MessagesUsage,
};
use serde_json::json;

use super::{Head, error_body, stop_reason};
use crate::answer::{Answer, Event};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse::{self, Outbox, Streamed};

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(server: &Server, head: Head, answer: Answer) -> Response {
    let prompt_tokens = head.prompt_tokens;
    let usage = MessagesUsage::new(prompt_tokens, 0, 0);
    let message = MessageObject::new(head.id, head.model, usage);
    let mut begun = Outbox::default();
    send(&MessageEvent::MessageStart { message }, &mut begun);
    send(&MessageEvent::Ping, &mut begun);
    let events = Events { prompt_tokens, answer, open: None, blocks: 0 };
    sse::respond(events, begun, server.options().ping_interval)
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
}

impl Streamed for Events {
    type Step = Event;

    async fn step(&mut self) -> Result<Option<Event>, ApiError> {
        Ok(self.answer.next().await?.map(|(_, event)| event))
    }

    fn tell(&mut self, event: Event, out: &mut Outbox) {
        match event {
            Event::Text { text, .. } => {
                if self.open != Some(Open::Text) {
                    self.begin(Open::Text, ContentBlock::Text { text: String::new() }, out);
                }
                self.go_on(BlockDelta::TextDelta { text }, out);
            }
            Event::CallBegin { id, name } => {
                self.begin(Open::Call, ContentBlock::ToolUse { id, name, input: json!({}) }, out);
            }
            Event::CallArguments(partial_json) => {
                self.go_on(BlockDelta::InputJsonDelta { partial_json }, out);
            }
            Event::CallEnd => self.close(out),
            Event::Finished { end, usage } => {
                self.close(out);
                let (stop_reason, stop_sequence) = stop_reason(end);
                let delta = MessageEnd { stop_reason, stop_sequence };
                let (cached, generated) = (usage.cached_tokens, usage.generated_tokens);
                let usage = MessagesUsage::new(self.prompt_tokens, cached, generated);
                send(&MessageEvent::MessageDelta { delta, usage }, out);
                send(&MessageEvent::MessageStop, out);
                out.end();
            }
        }
    }

    fn finish(&mut self, _out: &mut Outbox) {}

    fn fail(&mut self, error: &ApiError, out: &mut Outbox) {
        out.named_event("error", serde_json::to_vec(&error_body(error)));
    }

    fn ping(&self, out: &mut Outbox) {
        send(&MessageEvent::Ping, out);
    }
}

impl Events {
    fn begin(&mut self, open: Open, content_block: ContentBlock, out: &mut Outbox) {
        self.close(out);
        self.open = Some(open);
        self.blocks += 1;
        let index = self.blocks - 1;
        send(&MessageEvent::ContentBlockStart { index, content_block }, out);
    }

    fn go_on(&self, delta: BlockDelta, out: &mut Outbox) {
        let index = self.blocks.saturating_sub(1);
        send(&MessageEvent::ContentBlockDelta { index, delta }, out);
    }

    fn close(&mut self, out: &mut Outbox) {
        if self.open.take().is_some() {
            send(&MessageEvent::ContentBlockStop { index: self.blocks - 1 }, out);
        }
    }
}

fn send(event: &MessageEvent, out: &mut Outbox) {
    out.named_event(event.name(), serde_json::to_vec(event));
}
