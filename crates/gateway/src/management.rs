//! The management API (`/api/…`), which the console and scripts use.
//!
//! Whoever calls is known by a session's cookie, with the session's token in a header for
//! everything that changes something, or by a personal access token. Every answer has the same
//! outer shape, errors too.

mod access;
mod answer;
mod channels;
mod description;
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
use axum::routing::{MethodRouter, delete, get, post, put};

use crate::parts::Parts;
use answer::Failure;

/// Bytes of a body: forms, not documents.
const BODY_BYTES_MAX: usize = 256 << 10;

/// A method, an address, and what answers it. The document `openapi.json` has the same.
type Route = (&'static str, &'static str, fn() -> MethodRouter<Arc<Parts>>);

const ROUTES: &[Route] = &[
    ("GET", "/api/openapi.json", || get(description::show)),
    ("GET", "/api/status", || get(entry::status)),
    ("POST", "/api/setup", || post(entry::set_up)),
    ("POST", "/api/user/register", || post(entry::register)),
    ("POST", "/api/user/login", || post(entry::sign_in)),
    ("POST", "/api/user/logout", || post(entry::sign_out)),
    ("GET", "/api/oauth/openid", || get(openid::begin)),
    ("GET", "/api/oauth/openid/callback", || get(openid::finish)),
    ("GET", "/api/oauth/openid/link", || get(openid::show_links)),
    ("POST", "/api/oauth/openid/link", || post(openid::begin_link)),
    ("DELETE", "/api/oauth/openid/link", || delete(openid::unlink)),
    ("GET", "/api/user/self", || get(own::show)),
    ("PUT", "/api/user/self", || put(own::change)),
    ("GET", "/api/user/token", || get(own::new_token)),
    ("GET", "/api/token/", || get(tokens::list)),
    ("POST", "/api/token/", || post(tokens::create)),
    ("PUT", "/api/token/", || put(tokens::change)),
    ("GET", "/api/token/{id}", || get(tokens::show)),
    ("DELETE", "/api/token/{id}", || delete(tokens::delete)),
    ("POST", "/api/token/{id}/rotate", || post(tokens::rotate)),
    ("GET", "/api/log/self", || get(records::own_log)),
    ("GET", "/api/log/", || get(records::log)),
    ("GET", "/api/data/self", || get(records::own_data)),
    ("GET", "/api/data/", || get(records::data)),
    ("GET", "/api/user/", || get(users::list)),
    ("POST", "/api/user/", || post(users::create)),
    ("PUT", "/api/user/", || put(users::change)),
    ("DELETE", "/api/user/{id}", || delete(users::delete)),
    ("POST", "/api/user/{id}/credit", || post(users::credit)),
    ("GET", "/api/invitation", || get(users::invitations)),
    ("POST", "/api/invitation", || post(users::invite)),
    ("GET", "/api/option/", || get(users::options)),
    ("PUT", "/api/option/", || put(users::set_options)),
    ("GET", "/api/channel/", || get(channels::list)),
    ("POST", "/api/channel/", || post(channels::create)),
    ("PUT", "/api/channel/", || put(channels::change)),
    ("DELETE", "/api/channel/{id}", || delete(channels::delete)),
    ("POST", "/api/channel/{id}/test", || post(channels::test)),
    ("GET", "/api/audit", || get(users::audit)),
    ("GET", "/api/engine", || get(engine::show)),
    // A chat may be longer; admission bounds it.
    ("POST", "/api/playground/chat/completions", || {
        post(engine::playground).layer(DefaultBodyLimit::disable())
    }),
];

pub(crate) fn router(parts: Arc<Parts>) -> Router {
    let metrics = match parts.settings.apart {
        Some(_) => get(engine::metrics_for_all),
        None => get(engine::metrics),
    };
    let mut routes = Router::new();
    for (_, path, answer) in ROUTES {
        routes = routes.route(path, answer());
    }
    routes
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/metrics", metrics)
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
