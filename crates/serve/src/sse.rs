//! Server-sent events, byte for byte, and the loop that sends them. A dialect says what it makes of
//! an answer ([`Streamed`]); everything else about a stream is here.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::api_error::ApiError;

/// A comment: keeps the connection alive, and clients pass over it.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// The end of a stream.
const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The JSON of an event.
type Json = Result<Vec<u8>, serde_json::Error>;

/// Events that are yet to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Bytes>,
    ended: bool,
    /// An event could not be written.
    broken: bool,
}

impl Outbox {
    /// Sends an event without a name.
    pub(crate) fn event(&mut self, json: Json) {
        self.send(json, |json| [b"data: ", json, b"\n\n"].concat());
    }

    /// Sends an event under a name.
    pub(crate) fn named_event(&mut self, name: &str, json: Json) {
        self.send(json, |json| [b"event: ", name.as_bytes(), b"\ndata: ", json, b"\n\n"].concat());
    }

    /// Sends the mark that ends a stream.
    pub(crate) fn done(&mut self) {
        self.ready.push_back(DONE);
    }

    /// Nothing is sent after what is there.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    fn send(&mut self, json: Json, event: impl FnOnce(&[u8]) -> Vec<u8>) {
        match json {
            Ok(json) => self.ready.push_back(event(&json).into()),
            Err(error) => {
                tracing::error!(%error, "an event has no JSON");
                self.broken = true;
            }
        }
    }
}

/// An answer that is sent in events.
pub(crate) trait Streamed: Send + 'static {
    /// Something that happens to the answer.
    type Step: Send;

    /// What happens next; `None` after the last. May be dropped while it waits.
    fn step(&mut self) -> impl Future<Output = Result<Option<Self::Step>, ApiError>> + Send;

    /// Tells of it.
    fn tell(&mut self, step: Self::Step, out: &mut Outbox);

    /// The last step was told.
    fn finish(&mut self, out: &mut Outbox);

    /// Nothing comes any more. The status is long sent: clients look for an error among the events.
    fn fail(&mut self, error: &ApiError, out: &mut Outbox);

    /// Fills a silence.
    fn ping(&self, out: &mut Outbox) {
        out.ready.push_back(PING);
    }
}

/// Answers with `begun` and what `streamed` tells; the headers go out at once. It is dropped when
/// the client goes away. After a silence of `ping_interval` it is asked to fill it.
pub(crate) fn respond<S: Streamed>(
    streamed: S,
    begun: Outbox,
    ping_interval: Duration,
) -> Response {
    let state = (streamed, begun, ping_interval);
    let events = stream::unfold(state, async |(mut streamed, mut out, ping_interval)| {
        let bytes = next(&mut streamed, &mut out, ping_interval).await?;
        Some((Ok::<_, Infallible>(bytes), (streamed, out, ping_interval)))
    });
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL.as_str(), "no-cache"),
        // Tells proxies to pass each event on as it comes.
        ("x-accel-buffering", "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// The next event, when it is there; `None` ends the answer.
async fn next<S: Streamed>(
    streamed: &mut S,
    out: &mut Outbox,
    ping_interval: Duration,
) -> Option<Bytes> {
    loop {
        if let Some(event) = out.ready.pop_front() {
            return Some(event);
        }
        if out.ended {
            return None;
        }
        match tokio::time::timeout(ping_interval, streamed.step()).await {
            Err(_) => streamed.ping(out),
            Ok(Ok(Some(step))) => streamed.tell(step, out),
            Ok(Ok(None)) => {
                streamed.finish(out);
                out.end();
            }
            Ok(Err(error)) => {
                streamed.fail(&error, out);
                out.end();
            }
        }
        if std::mem::take(&mut out.broken) {
            streamed.fail(&ApiError::internal(), out);
            out.end();
        }
    }
}
