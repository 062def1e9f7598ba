//! Reading a body to its end, within bounds.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::refusal::Refusal;

/// A body that takes longer to arrive is not waited for.
const TIME_MAX: Duration = Duration::from_secs(60);

const INVALID: &str = "invalid_request_error";

/// The request without its body, and the body of at most `bytes_max` bytes.
pub(super) async fn read(request: Request, bytes_max: usize) -> Result<(Request, Bytes), Refusal> {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let collected = tokio::time::timeout(TIME_MAX, Limited::new(body, bytes_max).collect()).await;
    let collected = collected.map_err(|_| {
        let message = "The body of the request did not arrive in time.";
        Refusal::new(StatusCode::REQUEST_TIMEOUT, INVALID, "request_timeout", message)
    })?;
    let bytes = collected.map_err(|error| match error.is::<LengthLimitError>() {
        true => too_large(bytes_max),
        false => {
            let message = "The body of the request could not be read to its end.";
            Refusal::invalid("incomplete_body", message)
        }
    })?;
    Ok((Request::from_parts(parts, Body::empty()), bytes.to_bytes()))
}

fn too_large(bytes_max: usize) -> Refusal {
    let message =
        format!("The body of the request is too large. At most {bytes_max} bytes are read.");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "payload_too_large", message)
}
