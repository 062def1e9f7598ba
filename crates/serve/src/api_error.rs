//! Everything that can go wrong with a request, as an answer.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use phial_engine::Rejected;
use phial_openai::{ErrorBody, ErrorObject, InvalidRequest};
use thiserror::Error;

use crate::engine_thread::SubmitError;

/// An error with the status that it is answered with.
#[derive(Debug, Error)]
#[error("{}", object.message)]
pub(crate) struct ApiError {
    status: StatusCode,
    object: ErrorObject,
    retry_after: Option<Duration>,
    /// Whether trying again is worth it, where the status alone says something else to clients.
    should_retry: Option<bool>,
}

/// The code of the error that an answer is; an extension of the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorCode(pub &'static str);

/// How long to stay away from a server with a full queue: an answer takes seconds to minutes.
const RETRY_AFTER: Duration = Duration::from_secs(5);

const INVALID: &str = "invalid_request_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        let object = ErrorObject { message, kind, param: None, code: Some(code) };
        Self { status, object, retry_after: None, should_retry: None }
    }

    fn with_param(mut self, param: &str) -> Self {
        self.object.param = Some(param.to_owned());
        self
    }

    fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// No model of this name is served.
    pub(crate) fn model_not_found(model: &str) -> Self {
        let message =
            format!("The model '{model}' does not exist or you do not have access to it.");
        Self::new(StatusCode::NOT_FOUND, INVALID, "model_not_found", message).with_param("model")
    }

    /// Nothing is at this address.
    pub(crate) fn unknown_url(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Self::new(StatusCode::NOT_FOUND, INVALID, "unknown_url", message)
    }

    /// Something is at this address, for another method.
    pub(crate) fn method_not_supported(method: &str, path: &str) -> Self {
        let message = format!(
            "Not allowed to {method} on {path} (HINT: Perhaps you meant to make your HTTP request \
             using a different HTTP method?)"
        );
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_supported", message)
    }

    /// The body is larger than `limit` bytes.
    pub(crate) fn body_too_large(limit: usize) -> Self {
        let message =
            format!("The body of the request is too large. At most {limit} bytes are read.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "payload_too_large", message)
    }

    /// The body did not arrive in time.
    pub(crate) fn body_timeout() -> Self {
        let message = "The body of the request did not arrive in time.".to_owned();
        Self::new(StatusCode::REQUEST_TIMEOUT, INVALID, "request_timeout", message)
    }

    /// The answer took longer than the server lets one take. Asked again it would take as long, so
    /// clients are told not to, though they try again after this status.
    pub(crate) fn request_timeout() -> Self {
        let message = "The request took longer than this server lets one take. Ask for fewer \
                       tokens, or of less text."
            .to_owned();
        let status = StatusCode::REQUEST_TIMEOUT;
        let error = Self::new(status, "server_error", "request_timeout", message);
        Self { should_retry: Some(false), ..error }
    }

    /// The request waited for its turn longer than the server lets one wait.
    pub(crate) fn queue_timeout() -> Self {
        let message = "The server is busy: the request waited too long for its turn. Please try \
                       again later."
            .to_owned();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "server_error", "queue_timeout", message).with_retry_after(RETRY_AFTER)
    }

    /// The connection broke within the body; hardly anyone is left to read this.
    pub(crate) fn body_incomplete() -> Self {
        let message = "The body of the request could not be read to its end.".to_owned();
        Self::new(StatusCode::BAD_REQUEST, INVALID, "incomplete_body", message)
    }

    /// The body says that it is something else than JSON.
    pub(crate) fn media_type() -> Self {
        let message = "Unsupported content type. This API takes 'application/json': send the \
                       header 'Content-Type: application/json'."
            .to_owned();
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, "unsupported_media_type", message)
    }

    /// The prompt leaves no room for an answer. Clients look for these words.
    /// `param` is the field that the prompt came in.
    pub(crate) fn context_length(context: usize, tokens: usize, param: &str) -> Self {
        let what = param.split('[').next().unwrap_or(param);
        let message = format!(
            "This model's maximum context length is {context} tokens. However, your {what} \
             resulted in {tokens} tokens. Please reduce the length of the {what}."
        );
        Self::new(StatusCode::BAD_REQUEST, INVALID, "context_length_exceeded", message)
            .with_param(param)
    }

    /// As many requests as are taken are in work or waiting.
    pub(crate) fn queue_full() -> Self {
        let message =
            "The server is busy and its queue is full. Please try again later.".to_owned();
        Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", "rate_limit_exceeded", message)
            .with_retry_after(RETRY_AFTER)
    }

    /// The server is at its end.
    pub(crate) fn shutting_down() -> Self {
        let message = "The server is shutting down.".to_owned();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "server_error", "server_shutting_down", message)
            .with_retry_after(RETRY_AFTER)
    }

    /// A server of tools that this server uses does not answer.
    pub(crate) fn external(label: &str, problem: &str) -> Self {
        let message = format!("The tools of the server '{label}' cannot be used: {problem}.");
        Self::new(StatusCode::BAD_GATEWAY, "server_error", "external_tools_unavailable", message)
    }

    /// A mistake of this program. What it was is in the log.
    pub(crate) fn internal() -> Self {
        let message = "The server had an error while processing your request.".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal_error", message)
    }

    /// Nothing of this id is there.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        let message = format!("{what} '{id}' was not found.");
        Self::new(StatusCode::NOT_FOUND, INVALID, "not_found", message)
    }

    /// A response to go on from is not there.
    pub(crate) fn previous_response(id: &str) -> Self {
        let message = format!("Previous response with id '{id}' not found.");
        Self::new(StatusCode::BAD_REQUEST, INVALID, "previous_response_not_found", message)
            .with_param("previous_response_id")
    }

    /// The operator has not said where files may lie.
    pub(crate) fn no_storage() -> Self {
        let message = "This server stores no files and runs no batches. Whoever runs it can start \
                       it with '--files DIR'."
            .to_owned();
        Self::new(StatusCode::FORBIDDEN, INVALID, "files_not_configured", message)
    }

    /// There is no room for more.
    pub(crate) fn storage_full() -> Self {
        let message = "This server has no room for more files or batches. Delete some.".to_owned();
        Self::new(StatusCode::FORBIDDEN, INVALID, "storage_full", message)
    }

    /// A form cannot be read to its end.
    pub(crate) fn broken_upload() -> Self {
        let message = "The form in the body of the request cannot be read.".to_owned();
        Self::new(StatusCode::BAD_REQUEST, INVALID, "invalid_form", message)
    }

    /// A form was expected.
    pub(crate) fn media_type_of_upload() -> Self {
        let message =
            "Unsupported content type. This address takes 'multipart/form-data'.".to_owned();
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, "unsupported_media_type", message)
    }

    /// The status to answer with.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Answers with the status and the headers of this error and a body in another shape.
    pub(crate) fn respond_with(&self, body: impl IntoResponse) -> Response {
        let mut response = (self.status, body).into_response();
        if let Some(delay) = self.retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_secs()));
            let millis = HeaderValue::from(delay.as_millis() as u64);
            headers.insert("retry-after-ms", millis);
        }
        if let Some(should_retry) = self.should_retry {
            let value = if should_retry { "true" } else { "false" };
            response.headers_mut().insert("x-should-retry", HeaderValue::from_static(value));
        }
        if let Some(code) = self.object.code {
            response.extensions_mut().insert(ErrorCode(code));
        }
        response
    }

    /// The body to answer with, within a stream also.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody { error: self.object.clone() }
    }
}

impl From<InvalidRequest> for ApiError {
    fn from(error: InvalidRequest) -> Self {
        let InvalidRequest { message, param, code } = error;
        let object = ErrorObject { message, kind: INVALID, param, code };
        let status = StatusCode::BAD_REQUEST;
        Self { status, object, retry_after: None, should_retry: None }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full => Self::queue_full(),
            SubmitError::TimedOut => Self::request_timeout(),
            SubmitError::QueueTimedOut => Self::queue_timeout(),
            SubmitError::Stopped => Self::shutting_down(),
            SubmitError::Failed => Self::internal(),
        }
    }
}

impl From<&Rejected> for ApiError {
    fn from(rejected: &Rejected) -> Self {
        let param = match rejected {
            Rejected::QueueFull { .. } => return Self::queue_full(),
            Rejected::ContextLength { prompt, context } => {
                return Self::context_length(*context, *prompt, "messages");
            }
            Rejected::TokenOutOfRange { .. } => "logit_bias",
            Rejected::EmptyPrompt => "messages",
            Rejected::NoTokens => "max_tokens",
            Rejected::Logprobs { .. } => "top_logprobs",
            Rejected::StopStrings { .. } | Rejected::StopStringLength { .. } => "stop",
            // Whoever put this server together got it wrong, not the client.
            Rejected::UnknownAdapter { .. }
            | Rejected::NoTokenizer
            | Rejected::TokensBesideHidden
            | Rejected::NoHiddenStates => return Self::internal(),
        };
        InvalidRequest::value(param, format_args!("{rejected}.")).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.respond_with(Json(self.body()))
    }
}
