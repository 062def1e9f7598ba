//! An answer in pieces.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::{ChunkUsage, CompletionChoice, StreamOptions};

use super::choice::Choice;
use super::{Head, Usages};
use crate::answer::{Answer, Event};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse;

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(
    server: &Server,
    head: Head,
    choices: Vec<Choice>,
    answer: Answer,
    options: StreamOptions,
) -> Response {
    let usages = Usages::new(&head, choices.len());
    sse::respond(Pieces {
        head,
        choices,
        answer,
        include_usage: options.include_usage,
        usages,
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
    })
}

/// The pieces of an answer. Dropped with the connection, and the answer with it.
struct Pieces {
    head: Head,
    choices: Vec<Choice>,
    answer: Answer,
    include_usage: bool,
    usages: Usages,
    /// Events that are yet to be sent.
    ready: VecDeque<Bytes>,
    ended: bool,
    ping_interval: Duration,
}

impl sse::Source for Pieces {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match tokio::time::timeout(self.ping_interval, self.answer.next()).await {
                Err(_) => return Some(sse::PING),
                Ok(Ok(Some((index, event)))) => self.take(index, event),
                Ok(Ok(None)) => self.end(),
                Ok(Err(error)) => self.fail(&error),
            }
        }
    }
}

impl Pieces {
    fn take(&mut self, index: usize, event: Event) {
        let prompt = || self.answer.take_prompt_logprobs(index);
        let piece = self.choices[index].take(event, prompt);
        if let Some((_, usage)) = &piece.finish {
            self.usages.add(index, usage);
        }
        let choice = CompletionChoice {
            text: piece.text,
            index,
            logprobs: piece.logprobs,
            finish_reason: piece.finish.map(|(reason, _)| reason),
        };
        let usage = if self.include_usage { ChunkUsage::Pending } else { ChunkUsage::Absent };
        self.send(vec![choice], usage);
    }

    fn end(&mut self) {
        if self.include_usage {
            let usage = self.usages.total(self.head.prompt_tokens);
            self.send(Vec::new(), ChunkUsage::Known(usage));
        }
        self.ready.push_back(sse::DONE);
        self.ended = true;
    }

    fn send(&mut self, choices: Vec<CompletionChoice>, usage: ChunkUsage) {
        match serde_json::to_vec(&self.head.completion(choices, usage)) {
            Ok(json) => self.ready.push_back(sse::event(&json)),
            Err(error) => {
                tracing::error!(%error, "a piece has no JSON");
                self.fail(&ApiError::internal());
            }
        }
    }

    /// The status is long sent; clients look for an error among the pieces.
    fn fail(&mut self, error: &ApiError) {
        if let Ok(json) = serde_json::to_vec(&error.body()) {
            self.ready.push_back(sse::event(&json));
        }
        self.ended = true;
    }
}
