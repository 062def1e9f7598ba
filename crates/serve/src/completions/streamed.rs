//! An answer in pieces.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::{ChunkUsage, CompletionChoice, StreamOptions, Usage};

use super::Answer;
use super::choice::Choice;
use crate::api_error::ApiError;
use crate::engine_thread::{Submission, Update};
use crate::server::Server;
use crate::sse;

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(
    server: &Server,
    answer: Answer,
    choices: Vec<Choice>,
    submission: Submission,
    options: StreamOptions,
) -> Response {
    sse::respond(Pieces {
        answer,
        choices,
        submission,
        include_usage: options.include_usage,
        generated_tokens: 0,
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
    })
}

/// The pieces of an answer. Dropped with the connection, and the submission with it.
struct Pieces {
    answer: Answer,
    choices: Vec<Choice>,
    submission: Submission,
    include_usage: bool,
    generated_tokens: usize,
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
            match tokio::time::timeout(self.ping_interval, self.submission.next()).await {
                Err(_) => return Some(sse::PING),
                Ok(Ok((index, update))) => self.take(index, update),
                Ok(Err(error)) => self.fail(&error.into()),
            }
        }
    }
}

impl Pieces {
    fn take(&mut self, index: usize, update: Update) {
        let piece = match self.choices[index].take(update) {
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(error) => return self.fail(&error),
        };
        self.generated_tokens += piece.generated_tokens;
        let choice = CompletionChoice {
            text: piece.text,
            index,
            logprobs: piece.logprobs,
            finish_reason: piece.finish_reason,
        };
        let usage = if self.include_usage { ChunkUsage::Pending } else { ChunkUsage::Absent };
        self.send(vec![choice], usage);
        if self.submission.is_done() {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.include_usage {
            let usage = Usage::new(self.answer.prompt_tokens, self.generated_tokens);
            self.send(Vec::new(), ChunkUsage::Known(usage));
        }
        self.ready.push_back(sse::DONE);
        self.ended = true;
    }

    fn send(&mut self, choices: Vec<CompletionChoice>, usage: ChunkUsage) {
        match serde_json::to_vec(&self.answer.completion(choices, usage)) {
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
