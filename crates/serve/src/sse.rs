//! Server-sent events, byte for byte.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

/// A comment: keeps the connection alive, and clients pass over it.
pub(crate) const PING: Bytes = Bytes::from_static(b": ping\n\n");

/// The end of a stream.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// An event of `json`, which holds no line breaks.
pub(crate) fn event(json: &[u8]) -> Bytes {
    [b"data: ", json, b"\n\n"].concat().into()
}

/// An event of `json` under a name.
pub(crate) fn named_event(name: &str, json: &[u8]) -> Bytes {
    [b"event: ", name.as_bytes(), b"\ndata: ", json, b"\n\n"].concat().into()
}

/// Something that has events to send.
pub(crate) trait Source: Send + 'static {
    /// What to send next, when it is there; `None` ends the answer.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Answers with what `source` has. The headers go out at once; `source` is dropped when the
/// client goes away.
pub(crate) fn respond<S: Source>(source: S) -> Response {
    let events = stream::unfold(source, async |mut source: S| {
        source.next().await.map(|bytes| (Ok::<_, std::convert::Infallible>(bytes), source))
    });
    let headers = [
        (CONTENT_TYPE.as_str(), "text/event-stream; charset=utf-8"),
        (CACHE_CONTROL.as_str(), "no-cache"),
        // Tells proxies to pass each event on as it comes.
        ("x-accel-buffering", "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
