//! Answers that are streamed: pieces go on as they come, at the pace at which the client takes
//! them. When the client goes, the answer's body is dropped, and with it the connection.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Response};
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use phial_openai::{PartChanges, RelayedPart};
use serde_json::json;

use super::attempt::Outgoing;
use super::channel::{Channel, UnderWay};
use super::events::{self, Events};
use super::headers;
use super::tally::Tally;
use crate::networks::chain;

/// A stream on its way from a channel to a client.
pub(super) struct Relay {
    channel: Arc<Channel>,
    tally: Tally,
    under_way: UnderWay,
    incoming: Incoming,
    events: Events,
    /// The client's name of the model, where the channel has another.
    model: Option<String>,
    /// The client did not ask for the usage.
    hides_usage: bool,
    /// Every event tells the usage, and only the last one's is wanted.
    hides_running_usage: bool,
    is_over: bool,
    /// Where only its connection ends an answer, one that broke off looks like a whole one.
    is_bare: bool,
    /// The event came that is the last of an answer.
    has_ended: bool,
}

/// What the last event of an answer says, in each dialect.
const LAST_EVENTS: [&str; 7] = [
    "\"finish_reason\":\"",
    "\"finish_reason\": \"",
    "[DONE]",
    "\"message_stop\"",
    "\"response.completed\"",
    "\"response.incomplete\"",
    "\"response.failed\"",
];

impl Relay {
    pub fn new(
        channel: Arc<Channel>,
        outgoing: &Outgoing,
        (tally, under_way): (Tally, UnderWay),
        incoming: Incoming,
    ) -> Self {
        let model = &outgoing.request.model;
        let is_renamed = channel.settings.upstream_name(model) != model;
        Self {
            model: is_renamed.then(|| model.clone()),
            hides_usage: outgoing.hides_usage(),
            hides_running_usage: channel.settings.continuous_usage,
            channel,
            tally,
            under_way,
            incoming,
            events: Events::default(),
            is_over: false,
            is_bare: false,
            has_ended: false,
        }
    }

    /// The answer, which begins with `first`.
    pub fn answer(mut self, head: &HeaderMap, first: &Bytes) -> Response<Body> {
        self.is_bare = ![CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|n| head.contains_key(n));
        let first = self.pass(first);
        let pieces = stream::unfold((self, Some(first)), |(mut relay, first)| async move {
            let piece = match first {
                Some(piece) if !piece.is_empty() => piece,
                _ => relay.next().await?,
            };
            Some((Ok::<_, std::convert::Infallible>(piece), (relay, None)))
        });
        let mut response = Response::new(Body::from_stream(pieces));
        *response.headers_mut() = headers::back(head);
        response
    }

    /// The next bytes for the client; `None` after the last.
    async fn next(&mut self) -> Option<Bytes> {
        let idle = self.channel.settings.patience.idle;
        while !self.is_over {
            let piece = match tokio::time::timeout(idle, self.incoming.frame()).await {
                Err(_) => self.cut(&format!("silent for {idle:?}")),
                Ok(Some(Err(error))) => self.cut(&chain(&error)),
                Ok(None) => {
                    self.is_over = true;
                    let rest = self.finish();
                    match self.is_bare && !self.has_ended {
                        true => self.cut("its connection ended before its answer"),
                        false => rest,
                    }
                }
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.pass(&data),
                    Err(_) => continue,
                },
            };
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }

    /// Counts a piece, and changes what has to be changed.
    fn pass(&mut self, piece: &Bytes) -> Bytes {
        if !self.events.push(piece) {
            return self.cut("an event of its stream is too long");
        }
        let is_changed = self.model.is_some() || self.hides_usage || self.hides_running_usage;
        let mut changed = Vec::new();
        while let Some(event) = self.events.next() {
            let kept = self.event(&event);
            if is_changed {
                changed.extend_from_slice(&kept);
            }
        }
        if is_changed { Bytes::from(changed) } else { piece.clone() }
    }

    /// Counts an event; what the client may see of it.
    fn event(&mut self, event: &Bytes) -> Bytes {
        let Some(data) = events::data(event) else { return event.clone() };
        if self.is_bare && !self.has_ended {
            let text = String::from_utf8_lossy(&data);
            self.has_ended = LAST_EVENTS.iter().any(|last| text.contains(last));
        }
        let Some(part) = RelayedPart::read(&data) else { return event.clone() };
        self.tally.count(&part);
        if part.is_usage_only && self.hides_usage {
            return Bytes::new();
        }
        let changes = PartChanges {
            model: self.model.as_deref(),
            without_usage: self.hides_usage || self.hides_running_usage && !part.is_usage_only,
        };
        if changes.is_empty() {
            return event.clone();
        }
        match changes.apply(&data) {
            Some(data) => Bytes::from(events::with_data(event, &data)),
            None => event.clone(),
        }
    }

    /// The rest, when the stream ended without the empty line after its last event.
    fn finish(&mut self) -> Bytes {
        let rest = self.events.rest();
        let is_changed = self.model.is_some() || self.hides_usage || self.hides_running_usage;
        let kept = if rest.is_empty() { rest } else { self.event(&rest) };
        if is_changed { kept } else { Bytes::new() }
    }

    /// Ends the stream with an error that clients of every dialect raise; nobody may take what came
    /// for the whole answer.
    fn cut(&mut self, why: &str) -> Bytes {
        self.is_over = true;
        self.under_way.failed(&format!("its stream broke: {why}"));
        let error = json!({
            "type": "error",
            "error": {
                "message": "The server that has this model failed before its answer was complete.",
                "type": "server_error",
                "param": null,
                "code": "upstream_error",
            },
        });
        // What came of an event that is broken off is ended first.
        Bytes::from(format!("\n\nevent: error\ndata: {error}\n\n"))
    }
}
