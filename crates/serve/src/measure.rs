//! What a request can take at most, without running it.

use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::body::blocking;
use crate::server::Server;
use crate::{chat, completions, embeddings, messages, responses};

/// The most that a request can take. Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Of the prompt, exactly; of all prompts, if there are several.
    pub prompt_tokens: u64,
    /// Generated at most, by all choices together.
    pub generated_tokens_max: u64,
}

impl Measure {
    /// Of a request that `server` runs tools for. Each further round reads what the rounds before
    /// it have become: at most a whole context.
    pub(crate) fn of_all_rounds(self, server: &Server) -> Self {
        let rounds = 1 + server.options().limits.external_rounds_max as u64;
        let context = server.context_tokens() as u64;
        Self {
            prompt_tokens: rounds * context,
            generated_tokens_max: rounds * self.generated_tokens_max.max(context),
        }
    }
}

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
