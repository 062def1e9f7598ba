//! Which address is answered by what.

use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Uri};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;

use crate::api_error::ApiError;
use crate::server::Server;
use crate::{
    batches, chat, completions, embeddings, files, health, messages, models, response_headers,
    responses, scrape, tokens,
};

/// A method, an address, and what answers it. The document `openai/openapi.json` has the same.
type Route = (&'static str, &'static str, fn() -> MethodRouter<Server>);

const ROUTES: &[Route] = &[
    ("POST", "/v1/chat/completions", || post(chat::create)),
    ("POST", "/v1/completions", || post(completions::create)),
    ("POST", "/v1/embeddings", || post(embeddings::create)),
    ("POST", "/v1/responses", || post(responses::create)),
    ("GET", "/v1/responses/{id}", || get(responses::show)),
    ("DELETE", "/v1/responses/{id}", || delete(responses::delete)),
    ("GET", "/v1/responses/{id}/input_items", || get(responses::input_items)),
    ("POST", "/v1/messages", || post(messages::create)),
    ("POST", "/v1/messages/count_tokens", || post(messages::count_tokens)),
    ("GET", "/v1/files", || get(files::list)),
    // An upload is bounded while it is written to disk.
    ("POST", "/v1/files", || post(files::create).layer(DefaultBodyLimit::disable())),
    ("GET", "/v1/files/{id}", || get(files::show)),
    ("DELETE", "/v1/files/{id}", || delete(files::delete)),
    ("GET", "/v1/files/{id}/content", || get(files::content)),
    ("GET", "/v1/batches", || get(batches::list)),
    ("POST", "/v1/batches", || post(batches::create)),
    ("GET", "/v1/batches/{id}", || get(batches::show)),
    ("POST", "/v1/batches/{id}/cancel", || post(batches::cancel)),
    ("GET", "/v1/models", || get(models::list)),
    ("GET", "/v1/models/{*id}", || get(models::show)),
    ("POST", "/tokenize", || post(tokens::tokenize)),
    ("POST", "/detokenize", || post(tokens::detokenize)),
    ("POST", "/apply-template", || post(tokens::apply_template)),
    ("GET", "/health", || get(health::show)),
    ("GET", "/metrics", || get(scrape::show)),
    ("GET", "/openapi.json", || get(describe)),
];

/// All routes of `server`, to be served as they are or nested under something larger.
pub fn router(server: &Server) -> Router {
    let mut routes = Router::new();
    for (_, path, answer) in ROUTES {
        routes = routes.route(path, answer());
    }
    let routes = routes
        .fallback(unknown_url)
        .method_not_allowed_fallback(method_not_supported)
        .layer(Extension(batches::Routes(router)))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            ApiError::internal().into_response()
        }));
    let routes = match server.cors_layer() {
        Some(layer) => routes.layer(layer),
        None => routes,
    };
    routes
        .layer(middleware::from_fn_with_state(server.clone(), response_headers::add))
        .with_state(server.clone())
}

/// Every method and address that [`router`] answers; `{id}` and `{*id}` stand for names.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|(method, path, _)| (*method, *path))
}

/// `GET /openapi.json`
async fn describe() -> Response {
    ([(CONTENT_TYPE, "application/json")], phial_openai::OPENAPI).into_response()
}

async fn unknown_url(method: Method, uri: Uri) -> Response {
    ApiError::unknown_url(method.as_str(), uri.path()).into_response()
}

async fn method_not_supported(method: Method, uri: Uri) -> Response {
    ApiError::method_not_supported(method.as_str(), uri.path()).into_response()
}
