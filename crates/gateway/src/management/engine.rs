//! The engine of this machine, and trying it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::access::{Administrator, SignedIn};
use super::answer::{Told, done};
use crate::admission;
use crate::parts::Parts;

/// `GET /api/engine`
pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    _: SignedIn,
) -> Told<Option<serde_json::Value>> {
    done(parts.upstream.engine().await)
}

/// `GET /metrics`, for administrators.
pub(super) async fn metrics(State(parts): State<Arc<Parts>>, _: Administrator) -> Response {
    show_metrics(parts).await
}

/// `GET /metrics` on a listener of its own, to which only operators come.
pub(super) async fn metrics_for_all(State(parts): State<Arc<Parts>>) -> Response {
    show_metrics(parts).await
}

async fn show_metrics(parts: Arc<Parts>) -> Response {
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, TEXT_FORMAT)], parts.upstream.metrics().await).into_response()
}

/// `POST /api/playground/chat/completions`: answered as the public API answers, for the one who
/// is signed in.
pub(super) async fn playground(State(parts): State<Arc<Parts>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    match SignedIn::from_request_parts(&mut head, &parts).await {
        Ok(signed_in) => {
            let request = Request::from_parts(head, body);
            admission::answer_playground(&parts, signed_in.user.id, request).await
        }
        Err(failure) => failure.into_response(),
    }
}
