//! What the upstream gets of a request, and what the client gets of its answer.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use phial_openai::metering::{Meter, Owner, Payer};
use serde_json::json;

use super::routes::{Kind, Route};
use crate::keys::Key;
use crate::parts::Parts;
use crate::refusal::Refusal;

/// Headers that an answer may depend on. All others stay here: credentials, cookies, the host that
/// the client thinks it speaks to.
static PASSED_ON: [HeaderName; 4] = [
    CONTENT_TYPE,
    ACCEPT,
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
];

/// Names the request to upstreams and clients.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A list of models is small.
const MODELS_BYTES_MAX: usize = 1 << 20;

/// Has the upstream answer. `body`: what was read of it; else it goes through as it comes.
/// `request_id` is what the ledger calls the request.
pub(super) async fn call(
    parts: &Parts,
    key: &Key,
    route: &Route,
    request: Request,
    meter: Meter,
    body: Option<Bytes>,
    request_id: Option<&str>,
) -> Response {
    let (head, rest) = request.into_parts();
    let body = match (body, route.kind) {
        (Some(bytes), _) => Body::from(bytes),
        (None, Kind::Upload) => rest,
        (None, _) => Body::empty(),
    };
    let mut forwarded = Request::new(body);
    // Marks of this process: a client cannot set any.
    *forwarded.extensions_mut() = head.extensions;
    *forwarded.method_mut() = route.method.clone();
    // The path has been compared with the table, and has nothing escaped in it.
    let path = if route.pattern.contains('{') { head.uri.path() } else { route.pattern };
    let uri = match head.uri.query() {
        Some(query) if route.kind == Kind::Plain => format!("{path}?{query}").parse(),
        _ => path.parse(),
    };
    *forwarded.uri_mut() = uri.unwrap_or_else(|_| Uri::from_static("/"));
    let length = (route.kind == Kind::Upload).then_some(CONTENT_LENGTH);
    for name in PASSED_ON.iter().chain(&length) {
        if let Some(value) = head.headers.get(name) {
            forwarded.headers_mut().insert(name, value.clone());
        }
    }
    if let Some(id) = request_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        forwarded.headers_mut().insert(REQUEST_ID, id);
    }
    forwarded.extensions_mut().insert(Payer(key.public_id.as_str().into()));
    forwarded.extensions_mut().insert(Owner(key.user.to_string().into()));
    parts.upstream.call(forwarded, meter).await
}

/// Leaves only the models that the key may use in an answer about models.
pub(super) async fn filtered(route: &Route, key: &Key, answer: Response) -> Response {
    if route.kind != Kind::Models || !answer.status().is_success() {
        return answer;
    }
    let (head, body) = answer.into_parts();
    let limited = http_body_util::Limited::new(body, MODELS_BYTES_MAX);
    let Ok(collected) = limited.collect().await else {
        return Refusal::internal().into_response_for(route.pattern);
    };
    let Ok(mut list) = serde_json::from_slice::<serde_json::Value>(&collected.to_bytes()) else {
        return Refusal::internal().into_response_for(route.pattern);
    };
    let is_allowed = |model: &serde_json::Value| {
        model["id"].as_str().is_some_and(|id| key.rules.allows_model(id))
    };
    if let Some(models) = list.get_mut("data").and_then(serde_json::Value::as_array_mut) {
        models.retain(is_allowed);
    } else if !is_allowed(&list) {
        let id = list["id"].as_str().unwrap_or_default();
        return Refusal::model_not_found(id).into_response_for(route.pattern);
    }
    (head.status, Json(list)).into_response()
}

/// What anybody may read.
pub(super) fn public(parts: &Parts, route: &Route) -> Response {
    match route.pattern {
        "/openapi.json" => {
            ([(CONTENT_TYPE, "application/json")], parts.upstream.openapi()).into_response()
        }
        _ => (StatusCode::OK, Json(json!({ "status": "ok" }))).into_response(),
    }
}
