//! The management API (`/api/…`), which the console and scripts use.
//!
//! Whoever calls is known by a session's cookie, with the session's token in a header for
//! everything that changes something, or by a personal access token. Every answer has the same
//! outer shape, errors too.

mod access;
mod answer;
mod channels;
mod engine;
mod entry;
mod openid;
mod own;
mod records;
mod tokens;
mod told;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};

use crate::parts::Parts;
use answer::Failure;

/// Bytes of a body: forms, not documents.
const BODY_BYTES_MAX: usize = 256 << 10;

pub(crate) fn router(parts: Arc<Parts>) -> Router {
    let bounded = Router::new()
        .route("/api/status", get(entry::status))
        .route("/api/setup", post(entry::set_up))
        .route("/api/user/register", post(entry::register))
        .route("/api/user/login", post(entry::sign_in))
        .route("/api/user/logout", post(entry::sign_out))
        .route("/api/oauth/openid", get(openid::begin))
        .route("/api/oauth/openid/callback", get(openid::finish))
        .route("/api/user/self", get(own::show).put(own::change))
        .route("/api/user/token", get(own::new_token))
        .route("/api/token/", get(tokens::list).post(tokens::create).put(tokens::change))
        .route("/api/token/{id}", get(tokens::show).delete(tokens::delete))
        .route("/api/token/{id}/rotate", post(tokens::rotate))
        .route("/api/log/self", get(records::own_log))
        .route("/api/log/", get(records::log))
        .route("/api/data/self", get(records::own_data))
        .route("/api/data/", get(records::data))
        .route("/api/user/", get(users::list).post(users::create).put(users::change))
        .route("/api/user/{id}", delete(users::delete))
        .route("/api/user/{id}/credit", post(users::credit))
        .route("/api/invitation", get(users::invitations).post(users::invite))
        .route("/api/option/", get(users::options).put(users::set_options))
        .route("/api/channel/", get(channels::list).post(channels::create).put(channels::change))
        .route("/api/channel/{id}", delete(channels::delete))
        .route("/api/channel/{id}/test", post(channels::test))
        .route("/api/audit", get(users::audit))
        .route("/api/engine", get(engine::show))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    bounded
        // A chat may be longer; admission bounds it.
        .route(
            "/api/playground/chat/completions",
            post(engine::playground).layer(DefaultBodyLimit::disable()),
        )
        .route("/api/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(keep_private))
        .with_state(parts)
}

async fn unknown() -> Failure {
    Failure::not_found("There is nothing at this address.")
}

async fn method_not_allowed() -> Failure {
    Failure::method_not_allowed()
}

/// What is told to one must not be kept for another.
async fn keep_private(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
