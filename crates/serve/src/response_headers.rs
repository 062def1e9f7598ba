//! What every request gets: a name, a time to be answered in, and headers of its answer.

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;

use crate::api_error::ErrorCode;
use crate::exchange::{Exchange, Unhurried};
use crate::metrics::AnswerLabels;
use crate::observer::FinishedRequest;
use crate::server::Server;

/// Names the request, and tells how long it took until the answer began.
pub(crate) async fn add(
    State(server): State<Server>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = server.ids().next("req_");
    // Where clients of that dialect look for it.
    let is_messages = request.uri().path().starts_with("/v1/messages");
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let route = route.to_owned();
    let about = FinishedRequest::new(
        id.clone(),
        request.method().to_string(),
        route.clone(),
        request.uri().path().to_owned(),
    );
    let hurried = request.extensions().get::<Unhurried>().is_none();
    let limits = hurried.then_some(&server.options().limits);
    let observer = server.options().observer.clone();
    let extensions = request.extensions_mut();
    let billed = (extensions.remove(), extensions.remove(), extensions.remove());
    let exchange = Exchange::begin(about, request.headers(), limits, observer, billed);
    request.extensions_mut().insert(exchange.clone());
    let mut response = next.run(request).await;
    let elapsed_ms = exchange.elapsed().as_millis() as u64;
    let status = response.status().as_u16();
    exchange.answered(status);
    if let Some(ErrorCode(code)) = response.extensions().get() {
        exchange.failed(code);
    }
    server.metrics().answers.get_or_create(&AnswerLabels { route, status }).inc();
    let headers = response.headers_mut();
    headers.insert("openai-processing-ms", HeaderValue::from(elapsed_ms));
    if let Ok(id) = HeaderValue::try_from(id) {
        if is_messages {
            headers.insert("request-id", id.clone());
        }
        headers.insert("x-request-id", id);
    }
    response.map(|body| exchange.body(body))
}
