//! Answers that are not streamed: read to the end before the client sees a byte, so that another
//! channel can still take over, and the usage is known first.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use phial_openai::{PartChanges, RelayedPart};

use super::attempt::Outgoing;
use super::channel::Channel;
use super::failure::Failure;
use super::headers;
use super::tally::{RouteKind, Tally};
use crate::networks::chain;

/// The longest answer: some thousand embeddings as text.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Reads it all, counts it, and puts the client's name of the model back.
pub(super) async fn read(
    channel: &Channel,
    outgoing: &Outgoing,
    tally: &mut Tally,
    head: &HeaderMap,
    incoming: Incoming,
) -> Result<Response<Body>, Failure> {
    let body = collect(channel, incoming).await?;
    let Some(part) = RelayedPart::read(&body) else {
        return Err(Failure::Nonsense("its answer is no JSON object".into()));
    };
    // Some servers answer with an error and the status of a success.
    if part.is_error && part.usage.is_none() {
        return Err(Failure::Nonsense("its answer is an error".into()));
    }
    if outgoing.kind != RouteKind::Counts {
        tally.is_seen();
        tally.count(&part);
    }
    let model = outgoing.request.model.as_str();
    let is_renamed = channel.settings.upstream_name(model) != model;
    let changes = PartChanges { model: is_renamed.then_some(model), without_usage: false };
    let body = match changes.apply(&body) {
        Some(changed) if !changes.is_empty() => Bytes::from(changed),
        _ => body,
    };
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers::back(head);
    Ok(response)
}

async fn collect(channel: &Channel, mut incoming: Incoming) -> Result<Bytes, Failure> {
    let idle = channel.settings.patience.idle;
    let mut body = Vec::new();
    loop {
        let frame = match tokio::time::timeout(idle, incoming.frame()).await {
            Err(_) => return Err(Failure::TooSlow(idle)),
            Ok(None) => return Ok(Bytes::from(body)),
            Ok(Some(Err(error))) => return Err(Failure::Unreachable(chain(&error))),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            if body.len() + data.len() > ANSWER_BYTES_MAX {
                let what = format!("its answer has more than {ANSWER_BYTES_MAX} bytes");
                return Err(Failure::Nonsense(what));
            }
            body.extend_from_slice(&data);
        }
    }
}
