//! Whether this server is worth sending requests to.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::engine_thread::EngineState;
use crate::server::Server;

/// `GET /health`
pub(crate) async fn show(State(server): State<Server>) -> Response {
    let (status, word) = match server.engine().state() {
        EngineState::Running => (StatusCode::OK, "ok"),
        EngineState::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        EngineState::Failed => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
    };
    (status, Json(json!({ "status": word }))).into_response()
}
