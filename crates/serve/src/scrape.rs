//! `GET /metrics`

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::server::Server;

/// What Prometheus reads every few seconds.
pub(crate) async fn show(State(server): State<Server>) -> Result<Response, ApiError> {
    let text = server.metrics().text().map_err(|_| {
        tracing::error!("the metrics cannot be written");
        ApiError::internal()
    })?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, content_type)], text).into_response())
}
