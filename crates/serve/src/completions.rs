//! `POST /v1/completions`

mod choice;
mod convert;
mod legacy_logprobs;
mod plain;
mod streamed;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use phial_openai::{ChunkUsage, Completion, CompletionChoice, Usage};

use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::measure::Measure;
use crate::server::Server;
use crate::usage::UsageSum;

/// What all parts of an answer share.
#[derive(Debug)]
struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
    prompt_tokens: usize,
    /// Texts that have the same prompt, one after the other.
    texts_per_prompt: usize,
}

/// What the texts of an answer took.
struct Usages {
    texts_per_prompt: usize,
    /// By prompt.
    sums: Vec<UsageSum>,
}

impl Usages {
    fn new(head: &Head, texts: usize) -> Self {
        let prompts = texts.div_ceil(head.texts_per_prompt.max(1));
        Self {
            texts_per_prompt: head.texts_per_prompt.max(1),
            sums: vec![UsageSum::default(); prompts],
        }
    }

    fn add(&mut self, text: usize, usage: &phial_engine::Usage) {
        self.sums[text / self.texts_per_prompt].add(usage);
    }

    /// In the words of the API.
    fn total(&self, prompt_tokens: usize) -> Usage {
        let generated = self.sums.iter().map(UsageSum::generated_tokens).sum();
        let cached = self.sums.iter().map(UsageSum::cached_tokens).sum();
        Usage::new(prompt_tokens, generated).with_cached(cached)
    }
}

impl Head {
    fn completion(&self, choices: Vec<CompletionChoice>, usage: ChunkUsage) -> Completion {
        Completion {
            id: self.id.clone(),
            object: Completion::OBJECT,
            created: self.created,
            model: self.model.clone(),
            system_fingerprint: self.fingerprint.clone(),
            choices,
            usage,
        }
    }
}

/// The most that texts can take.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    Ok(convert::prepare(server, body)?.prepared.measure())
}

/// Goes on with texts.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let completions = blocking(move || convert::prepare(&for_task, &body)).await?;
    let head = Head {
        id: server.ids().next("cmpl-"),
        created: unix_seconds(),
        model: server.model().id.clone(),
        fingerprint: server.fingerprint().to_owned(),
        prompt_tokens: completions.prepared.prompt_tokens(),
        texts_per_prompt: completions.texts_per_prompt,
    };
    let streamed = completions.stream.is_some();
    exchange.answers(&head.model, &head.id, streamed, head.prompt_tokens);
    let answer = completions.prepared.start(&server, &exchange)?;
    let choices = completions.choices;
    match completions.stream {
        Some(options) => Ok(streamed::respond(&server, head, choices, answer, options)),
        None => Ok(plain::respond(&head, choices, answer).await?.into_response()),
    }
}
