//! What a request of a route can take at most.

use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::body::blocking;
use crate::measure::Measure;
use crate::server::Server;
use crate::{chat, completions, embeddings, messages, responses};

impl Server {
    /// Reads, renders and tokenises the body of a request of `route` (`/v1/chat/completions`, …)
    /// as answering it would. A request that the server runs tools for may be asked several times;
    /// then it is as much as all times together can take. `None`: the route takes no tokens.
    ///
    /// # Errors
    /// The answer to a request that cannot be answered.
    pub async fn measure(
        &self,
        route: &str,
        body: &[u8],
    ) -> Result<Option<Measure>, Box<Response>> {
        let measure: fn(&Self, &[u8]) -> Result<Measure, ApiError> = match route {
            "/v1/chat/completions" => chat::measure,
            "/v1/completions" => completions::measure,
            "/v1/embeddings" => embeddings::measure,
            "/v1/responses" => responses::measure,
            "/v1/messages" => messages::measure,
            _ => return Ok(None),
        };
        let (server, body) = (self.clone(), body.to_owned());
        let measured: Result<Measure, ApiError> = blocking(move || measure(&server, &body)).await;
        let is_messages = route.starts_with("/v1/messages");
        measured.map(Some).map_err(|error| {
            Box::new(match is_messages {
                true => messages::MessagesFailure::from(error).into_response(),
                false => error.into_response(),
            })
        })
    }
}
