//! A response in events.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::metering::Owner;
use phial_openai::{Item, NumberedEvent, ResponseEvent, ResponseStatus};

use super::draft::Draft;
use super::store;
use crate::answer::Answer;
use crate::server::Server;
use crate::sse;

/// Answers at once with headers, and with the rest as it comes. What was said is stored with
/// `input`, if that is given, once it is whole.
pub(super) fn respond(
    server: &Server,
    draft: Draft,
    answer: Answer,
    input: Option<Vec<Item>>,
    owner: Option<Owner>,
) -> Response {
    let mut events = Events {
        server: server.clone(),
        answer,
        input,
        owner,
        count: 0,
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
        draft,
    };
    events.send(events.draft.begin());
    sse::respond(events)
}

/// The events of a response. Dropped with the connection, and the answer with it.
struct Events {
    server: Server,
    draft: Draft,
    answer: Answer,
    input: Option<Vec<Item>>,
    owner: Option<Owner>,
    /// Events made.
    count: usize,
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
                Err(_) => return Some(sse::PING),
                Ok(Ok(Some((_, event)))) => {
                    let told = self.draft.take(&self.server, event);
                    // Before the client hears of the end, for it may go on from there at once.
                    if self.draft.response().status != ResponseStatus::InProgress {
                        let owner = self.owner.take();
                        store(&self.server, self.draft.response(), self.input.take(), owner);
                    }
                    self.send(told);
                }
                Ok(Ok(None)) => self.ended = true,
                Ok(Err(error)) => {
                    let told = self.draft.fail(error.to_string());
                    self.send(vec![told]);
                    self.ended = true;
                }
            }
        }
    }
}

impl Events {
    fn send(&mut self, told: Vec<ResponseEvent>) {
        for event in told {
            let name = event.name();
            let numbered = NumberedEvent { event, sequence_number: self.count };
            self.count += 1;
            match serde_json::to_vec(&numbered) {
                Ok(json) => self.ready.push_back(sse::named_event(name, &json)),
                Err(error) => {
                    tracing::error!(%error, "an event has no JSON");
                    self.ended = true;
                }
            }
        }
    }
}
