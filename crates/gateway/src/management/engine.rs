//! The engine of this machine, and trying it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};

use super::access::SignedIn;
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
