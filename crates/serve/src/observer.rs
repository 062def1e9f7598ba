//! What is told of a request when it is over: the line in the log, and to whoever observes.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Hears of every request when its answer is over, or its client is gone. Called on the thread that
/// wrote the answer, so it must be quick.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Whether [`Generation::content`] is wanted. What people ask and are told is private, so it is
    /// kept only for those who say so.
    fn wants_content(&self) -> bool {
        false
    }

    /// A request is over.
    fn finished(&self, request: &FinishedRequest);
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it was sent; it may be an error.
    Complete,
    /// The client went away before.
    Disconnected,
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRequest {
    /// As in the header `x-request-id`.
    pub id: String,
    /// `POST`
    pub method: String,
    /// The pattern of the route, `/v1/responses/{id}`; `none` for unknown addresses.
    pub route: String,
    /// The address without its query.
    pub path: String,
    /// What the client calls this server.
    pub host: Option<String>,
    /// W3C trace context, as it came.
    pub traceparent: Option<String>,
    /// What vendors add to it, as it came.
    pub tracestate: Option<String>,
    /// When it came.
    pub began: SystemTime,
    /// From there to the end of the answer.
    pub took: Duration,
    /// `None`: the client was gone before there was one.
    pub status: Option<u16>,
    /// How the answer ended.
    pub outcome: Outcome,
    /// The code of the error that the answer is, or that a stream ended with.
    pub error: Option<&'static str>,
    /// Present if the engine was asked for something.
    pub generation: Option<Generation>,
}

/// What was asked of the engine, and what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// The name under which the model is served.
    pub model: String,
    /// Names the answer, `chatcmpl-…`; empty for those without a name.
    pub answer: String,
    /// Whether the answer came in pieces.
    pub streamed: bool,
    /// Answers asked for.
    pub choices: usize,
    /// Most tokens of an answer.
    pub tokens_max: Option<usize>,
    /// As the engine took it.
    pub temperature: Option<f32>,
    /// As the engine took it.
    pub top_p: Option<f32>,
    /// As the request gave it.
    pub seed: Option<u64>,
    /// Stop strings.
    pub stop: Vec<String>,
    /// Tokens of the prompt, which counts once for all choices; of all prompts, if there were several.
    pub prompt_tokens: usize,
    /// Of these, not read because the cache held them.
    pub cached_tokens: usize,
    /// Tokens generated, of all choices together.
    pub generated_tokens: usize,
    /// Time that the engine let it wait.
    pub queued: Duration,
    /// From the request to its first token.
    pub first_token: Option<Duration>,
    /// `stop` or `length`, one per choice that ended.
    pub finish_reasons: Vec<&'static str>,
    /// What was said, for observers that want it.
    pub content: Option<Content>,
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Roles and texts of the prompt; a prompt without roles is one of the user.
    pub input: Vec<(String, String)>,
    /// The text of each choice.
    pub output: Vec<String>,
}

impl FinishedRequest {
    /// Writes the line in the log. Nothing of what was said is in it.
    pub(crate) fn log(&self) {
        let generation = self.generation.as_ref();
        let tokens = |of: fn(&Generation) -> usize| generation.map(|g| of(g) as u64);
        let first_token = generation.and_then(|generation| generation.first_token);
        tracing::info!(
            target: "phial::requests",
            request_id = self.id,
            method = self.method,
            route = self.route,
            path = self.path,
            status = self.status,
            error = self.error,
            disconnected = self.outcome == Outcome::Disconnected,
            milliseconds = milliseconds(self.took),
            queued_milliseconds = generation.map(|generation| milliseconds(generation.queued)),
            first_token_milliseconds = first_token.map(milliseconds),
            prompt_tokens = tokens(|generation| generation.prompt_tokens),
            cached_tokens = tokens(|generation| generation.cached_tokens),
            generated_tokens = tokens(|generation| generation.generated_tokens),
            answer = generation.map(|generation| generation.answer.as_str()),
            "request"
        );
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
