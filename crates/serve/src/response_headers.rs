//! What every answer carries, and the line in the log about it.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::AnswerLabels;
use crate::server::Server;

/// Names the request, and tells how long it took until the answer began.
pub(crate) async fn add(State(server): State<Server>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = server.ids().next("req_");
    // Where clients of that dialect look for it.
    let is_messages = request.uri().path().starts_with("/v1/messages");
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let route = route.to_owned();
    let mut response = next.run(request).await;
    let elapsed_ms = started.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    tracing::info!(%method, path, status, elapsed_ms, request_id = id, "answered");
    server.metrics().answers.get_or_create(&AnswerLabels { route, status }).inc();
    let headers = response.headers_mut();
    headers.insert("openai-processing-ms", HeaderValue::from(elapsed_ms));
    if let Ok(id) = HeaderValue::try_from(id) {
        if is_messages {
            headers.insert("request-id", id.clone());
        }
        headers.insert("x-request-id", id);
    }
    response
}
