//! What answers requests once they are admitted.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use futures_util::future::BoxFuture;
use phial_openai::metering::Meter;

use crate::refusal::Refusal;

/// The most that a request can take, known before anything runs. Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Of the prompt, exactly.
    pub prompt_tokens: u64,
    /// Generated at most, by all choices together.
    pub completion_tokens_max: u64,
}

/// One place that answers requests of the public API.
///
/// A request comes with its path checked against the table of routes, without the client's
/// credentials, and with the whole body. Its extensions hold a [`phial_openai::metering::Owner`].
pub trait Upstream: Send + Sync {
    /// The names of models that requests may give.
    fn models(&self) -> Vec<String>;

    /// What a request of `route` (`/v1/chat/completions`, …) can take at most, without running it.
    /// `None`: this upstream cannot count; then the bound of the model's context is reserved.
    ///
    /// # Errors
    /// If the request is one that cannot be answered, the answer to that.
    fn measure<'a>(
        &'a self,
        route: &'a str,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Option<Demand>, Refusal>>;

    /// Answers it. Usage goes to `meter` as it becomes known, before the client can see what it
    /// stands for. The request is settled when the last clone of `meter` and the answer's body are
    /// gone, so an upstream keeps its clone until nothing more can be used.
    fn call<'a>(&'a self, request: Request<Body>, meter: Meter) -> BoxFuture<'a, Response<Body>>;

    /// What the engine of this machine says of itself (`GET /api/engine`), if there is one.
    fn engine(&self) -> BoxFuture<'_, Option<serde_json::Value>> {
        Box::pin(async { None })
    }

    /// Metrics for operators, in Prometheus' text format.
    fn metrics(&self) -> BoxFuture<'_, String> {
        Box::pin(async { String::new() })
    }

    /// The path of the public API's description, as JSON.
    fn openapi(&self) -> Cow<'static, str> {
        Cow::Borrowed(phial_openai::OPENAPI)
    }
}
