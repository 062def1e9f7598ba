//! Reading the body of a request.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;

use crate::api_error::ApiError;
use crate::limits::Limits;

/// A client writes its body to the end before it reads the answer, and many take a connection
/// that closes before as a failure of the network. So a body that is too large is read on and
/// thrown away, up to so many times what is allowed.
const DISCARD_FACTOR: usize = 4;

/// Runs work that takes time in proportion to a body: a long text takes a while to become tokens,
/// and other answers must not wait for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        tracing::error!("preparing a request panicked");
        Err(ApiError::internal())
    })
}

/// Reads a body of JSON.
pub(crate) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Vec<u8>, ApiError> {
    let bytes = tokio::time::timeout(limits.body_time_max, read(body, limits.body_bytes_max))
        .await
        .map_err(|_| ApiError::body_timeout())??;
    // Browsers send other types to other origins without asking; a page that a user visits must
    // not be able to put a server on the user's machine to work.
    if is_json(headers) { Ok(bytes) } else { Err(ApiError::media_type()) }
}

async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(ApiError::body_incomplete()) };
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else if length > limit.saturating_mul(DISCARD_FACTOR) {
            break;
        }
    }
    if length <= limit { Ok(bytes) } else { Err(ApiError::body_too_large(limit)) }
}

/// Whether the body may be JSON: it says so, or says nothing.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return true };
    let Ok(value) = value.to_str() else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
