//! The outer shape of every answer.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::accounts::AccountError;
use crate::storage::StorageError;
use crate::wire::{Answer, Page};

/// What is answered when all is well.
pub(super) type Told<T> = Result<Json<Answer<T>>, Failure>;

pub(super) fn done<T>(data: T) -> Told<T> {
    Ok(Json(Answer { success: true, message: String::new(), data: Some(data) }))
}

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    message: String,
    retry_after_seconds: Option<u64>,
}

impl Failure {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after_seconds: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Please sign in.")
    }

    pub fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "This address has no such method.")
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    pub fn unsupported_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub fn bad_gateway(message: &str) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, message)
    }

    pub fn conflict(message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "the management API cannot use the database");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The server cannot use its database.")
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        let status = match &error {
            AccountError::Storage(_) => StatusCode::INTERNAL_SERVER_ERROR,
            AccountError::Invalid(_) => StatusCode::BAD_REQUEST,
            AccountError::Denied(_) => StatusCode::UNAUTHORIZED,
            AccountError::Forbidden(_) => StatusCode::FORBIDDEN,
            AccountError::Conflict(_) => StatusCode::CONFLICT,
            AccountError::NotFound => StatusCode::NOT_FOUND,
            AccountError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        let retry_after_seconds = match &error {
            AccountError::TooMany(wait) => Some(wait.as_secs().max(1)),
            _ => None,
        };
        match error {
            AccountError::Storage(error) => error.into(),
            error => Self { status, message: error.to_string(), retry_after_seconds },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let answer: Answer<()> = Answer { success: false, message: self.message, data: None };
        let mut response = (self.status, Json(answer)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Which page is asked for.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(default)]
pub(super) struct PageQuery {
    p: i64,
    size: i64,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self { p: 1, size: 20 }
    }
}

impl PageQuery {
    const SIZE_MAX: i64 = 100;

    fn page(self) -> i64 {
        self.p.clamp(1, 1_000_000)
    }

    /// Entries of the page at most.
    pub fn limit(self) -> i64 {
        self.size.clamp(1, Self::SIZE_MAX)
    }

    /// Entries before the page.
    pub fn offset(self) -> i64 {
        (self.page() - 1) * self.limit()
    }

    pub fn of<T: Serialize>(self, items: Vec<T>, total: i64) -> Page<T> {
        Page { items, total, page: self.page(), page_size: self.limit() }
    }
}
