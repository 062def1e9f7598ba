//! How traces go out: by the HTTP client that the rest of the program has.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use ureq::Agent;

/// A collector that takes longer than this is given up on, for these spans.
const TIME_MAX: Duration = Duration::from_secs(10);

/// An answer of a collector is short.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Blocks the thread that calls it, which is the exporter's own.
#[derive(Debug)]
pub(crate) struct Client(Agent);

impl Client {
    pub fn new() -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(TIME_MAX))
            .http_status_as_error(false)
            .user_agent(concat!("phial/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let response = self.0.run(Request::from_parts(head, body.to_vec()))?;
        let (head, mut body) = response.into_parts();
        let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, bytes.into()))
    }
}
