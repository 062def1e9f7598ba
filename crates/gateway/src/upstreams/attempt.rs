//! One request on one channel, until its answer begins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use phial_openai::metering::Meter;
use phial_openai::{RelayedPart, RelayedRequest, RequestBounds, RequestChanges};

use super::channel::{Channel, UnderWay};
use super::events::{self, Events};
use super::failure::{ErrorAnswer, Failure, presentable};
use super::stream::Relay;
use super::tally::{RouteKind, Tally, demand};
use super::{answer, headers};
use crate::networks::chain;

/// A request, read once for all channels that it may go to.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub route: String,
    pub kind: RouteKind,
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub request: RelayedRequest,
    pub bounds: RequestBounds,
}

impl Outgoing {
    /// Whether the extra chunk with the usage has to be asked for, and taken out again.
    pub fn hides_usage(&self) -> bool {
        self.request.stream && !self.request.include_usage && self.has_stream_options()
    }

    /// The other dialects always tell the usage of a stream.
    fn has_stream_options(&self) -> bool {
        matches!(self.route.as_str(), "/v1/chat/completions" | "/v1/completions")
    }

    fn for_channel(&self, channel: &Channel) -> Option<Request<Full<Bytes>>> {
        let settings = &channel.settings;
        let name = settings.upstream_name(&self.request.model);
        let changes = RequestChanges {
            model: (name != self.request.model).then_some(name),
            include_usage: self.hides_usage(),
            continuous_usage: settings.continuous_usage
                && self.request.stream
                && self.has_stream_options(),
            forbid_storing: self.route == "/v1/responses",
        };
        let body = if changes == RequestChanges::default() {
            self.body.clone()
        } else {
            Bytes::from(changes.apply(&self.body).ok()?)
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = channel.base.as_ref()?.join(&self.route)?;
        *request.headers_mut() = headers::onward(&self.headers, &settings.key);
        Some(request)
    }
}

/// Sends it, and waits until the answer begins.
pub(super) async fn attempt(
    channel: &Arc<Channel>,
    outgoing: &Outgoing,
    meter: &Meter,
) -> Result<Response<Body>, Failure> {
    let mut under_way = UnderWay::new(channel);
    let demand = demand(outgoing.bounds, outgoing.kind, channel.settings.context_tokens);
    let mut tally = Tally::new(meter.clone(), &channel.settings, demand);
    let outcome = begin(channel, outgoing, &mut tally).await;
    match outcome {
        Ok(Begun::Whole(response)) => {
            under_way.answers();
            Ok(response)
        }
        Ok(Begun::Stream { head, incoming, first }) => {
            under_way.answers();
            tally.is_seen();
            Ok(Relay::new(channel.clone(), outgoing, (tally, under_way), incoming)
                .answer(&head, &first))
        }
        Err(failure) => {
            tally.forget();
            if failure.is_fault() {
                under_way.failed(&failure.text());
            } else {
                under_way.answers();
            }
            Err(failure)
        }
    }
}

enum Begun {
    Whole(Response<Body>),
    Stream { head: HeaderMap, incoming: Incoming, first: Bytes },
}

async fn begin(
    channel: &Channel,
    outgoing: &Outgoing,
    tally: &mut Tally,
) -> Result<Begun, Failure> {
    let patience = channel.settings.patience;
    let deadline = Instant::now() + patience.first_byte;
    let Some(request) = outgoing.for_channel(channel) else {
        return Err(Failure::Nonsense("the request cannot be written for it".into()));
    };
    let response = within(deadline, patience.first_byte, channel.client.request(request))
        .await?
        .map_err(|error| Failure::Unreachable(chain(&error)))?;
    let (head, mut incoming) = response.into_parts();
    if !head.status.is_success() {
        let body = within(deadline, patience.first_byte, error_body(incoming)).await?;
        let body = presentable(&body, &channel.settings.key);
        let (status, headers) = (head.status, head.headers);
        return Err(Failure::Status(ErrorAnswer { status, headers, body }));
    }
    if !is_event_stream(&head.headers) {
        let whole = answer::read(channel, outgoing, tally, &head.headers, incoming).await?;
        return Ok(Begun::Whole(whole));
    }
    let first = within(deadline, patience.first_byte, first_piece(&mut incoming)).await??;
    if begins_with_error(&first) {
        return Err(Failure::Nonsense("its stream begins with an error".into()));
    }
    Ok(Begun::Stream { head: head.headers, incoming, first })
}

async fn within<T>(
    deadline: Instant,
    time: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| Failure::TooSlow(time))
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.trim_start().starts_with("text/event-stream"))
}

/// Whether the first event that has data reports an error, and no answer.
fn begins_with_error(piece: &[u8]) -> bool {
    let mut events = Events::default();
    if !events.push(piece) {
        return false;
    }
    while let Some(event) = events.next() {
        if let Some(data) = events::data(&event) {
            return RelayedPart::read(&data).is_some_and(|part| part.is_error);
        }
    }
    false
}

async fn first_piece(incoming: &mut Incoming) -> Result<Bytes, Failure> {
    loop {
        match incoming.frame().await {
            None => return Err(Failure::Nonsense("its stream is empty".into())),
            Some(Err(error)) => return Err(Failure::Unreachable(chain(&error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(data),
                _ => {}
            },
        }
    }
}

const ERROR_BYTES_MAX: usize = 64 << 10;

/// The body of an error; empty where it is too long or does not come.
async fn error_body(incoming: Incoming) -> Bytes {
    match Limited::new(incoming, ERROR_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    }
}
