//! Requests of the public API that are not answered, in the words of that API.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use phial_openai::{ErrorBody, ErrorObject, MessagesErrorBody};

/// Why a request is not answered.
#[derive(Debug)]
pub enum Refusal {
    /// For a reason of the gateway's own.
    Error(Box<RefusalError>),
    /// The upstream has written the answer already.
    Response(Box<Response>),
}

/// An error with the status that it is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalError {
    /// The status.
    pub status: StatusCode,
    /// What the client reads.
    pub object: ErrorObject,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

/// The family of errors that are the client's fault.
const INVALID: &str = "invalid_request_error";

impl Refusal {
    /// `kind` and `code` are the words of the public API for it.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let object = ErrorObject { message: message.into(), kind, param: None, code: Some(code) };
        Self::Error(Box::new(RefusalError { status, object, retry_after: None }))
    }

    /// Says which field is at fault.
    #[must_use]
    pub fn with_param(mut self, param: &str) -> Self {
        if let Self::Error(error) = &mut self {
            error.object.param = Some(param.to_owned());
        }
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        if let Self::Error(error) = &mut self {
            error.retry_after = Some(delay);
        }
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Error(error) => error.status,
            Self::Response(response) => response.status(),
        }
    }

    /// What is wrong with a request whatever answers it: status 400.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, code, message)
    }

    /// There is no key, or none that counts. All reasons read the same, so that nothing can be
    /// learnt about keys by trying.
    pub(crate) fn invalid_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            INVALID,
            "invalid_api_key",
            "Incorrect API key provided. Send a key of this server in the header 'Authorization: \
             Bearer sk-…'.",
        )
    }

    /// The key counts, and may not do this.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, INVALID, code, message)
    }

    /// Too much at a time.
    pub(crate) fn rate_limited(what: &str, retry_after: Duration) -> Self {
        let message = format!(
            "Rate limit reached for this key: {what}. Please try again in {:.1} s.",
            retry_after.as_secs_f64()
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message)
            .with_retry_after(retry_after)
    }

    /// Nothing is left to pay with.
    pub(crate) fn insufficient_quota(message: impl Into<String>) -> Self {
        let code = "insufficient_quota";
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, code, message)
    }

    /// Nothing is at this address.
    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Self::new(StatusCode::NOT_FOUND, INVALID, "unknown_url", message)
    }

    /// No model of this name can be used.
    pub(crate) fn model_not_found(model: &str) -> Self {
        let message =
            format!("The model '{model}' does not exist or you do not have access to it.");
        Self::new(StatusCode::NOT_FOUND, INVALID, "model_not_found", message).with_param("model")
    }

    /// Something that should not happen; what, is for the operator to read.
    pub(crate) fn internal() -> Self {
        let message = "The server had an error while processing your request. Sorry about that!";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    /// Nothing can be answered for now.
    pub(crate) fn unavailable() -> Self {
        let message = "The server cannot account for requests at the moment. Please try again.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "unavailable", message)
            .with_retry_after(Duration::from_secs(1))
    }

    /// The answer, in the dialect of `path`.
    pub fn into_response_for(self, path: &str) -> Response {
        let error = match self {
            Self::Response(response) => return *response,
            Self::Error(error) => *error,
        };
        let mut response = if path.starts_with("/v1/messages") {
            let body = MessagesErrorBody::new(error.status.as_u16(), error.object.message);
            (error.status, Json(body)).into_response()
        } else {
            (error.status, Json(ErrorBody { error: error.object })).into_response()
        };
        if let Some(delay) = error.retry_after {
            let seconds = delay.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}
