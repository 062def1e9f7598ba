//! An answer in chunks.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::{
    ChatChunk, ChoiceLogprobs, ChunkChoice, ChunkUsage, Delta, FinishReason, StreamOptions,
};

use super::logprobs::LogprobQueue;
use super::{Answer, finish_reason};
use crate::api_error::ApiError;
use crate::engine_thread::{Submission, Update};
use crate::server::Server;
use crate::sse;
use crate::usage::UsageSum;

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(
    server: &Server,
    answer: Answer,
    submission: Submission,
    options: StreamOptions,
) -> Response {
    let queue = || answer.logprobs.then(|| LogprobQueue::new(server.model()));
    let mut chunks = Chunks {
        logprobs: (0..answer.choices).map(|_| queue()).collect(),
        answer,
        submission,
        include_usage: options.include_usage,
        usage: UsageSum::default(),
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
    };
    for index in 0..chunks.answer.choices {
        chunks.send_piece(index, Delta::Role, None, None);
    }
    sse::respond(chunks)
}

/// The chunks of an answer. Dropped with the connection, and the submission with it.
struct Chunks {
    answer: Answer,
    submission: Submission,
    include_usage: bool,
    usage: UsageSum,
    /// Per choice, if asked for.
    logprobs: Vec<Option<LogprobQueue>>,
    /// Events that are yet to be sent.
    ready: VecDeque<Bytes>,
    ended: bool,
    ping_interval: Duration,
}

impl sse::Source for Chunks {
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

impl Chunks {
    fn take(&mut self, index: usize, update: Update) {
        match update {
            Update::Token { token, text, logprobs } => {
                if let (Some(queue), Some(logprobs)) = (&mut self.logprobs[index], &logprobs) {
                    queue.push(token, logprobs);
                }
                self.send_text(index, text);
            }
            Update::Finished { reason, text, usage } => {
                self.send_text(index, text);
                self.usage.add(&usage);
                self.send_piece(index, Delta::End, None, Some(finish_reason(&reason)));
                if self.submission.is_done() {
                    self.end();
                }
            }
            Update::Rejected(rejected) => self.fail(&ApiError::from(&rejected)),
        }
    }

    fn send_text(&mut self, index: usize, text: String) {
        if text.is_empty() {
            return;
        }
        let logprobs = self.logprobs[index].as_mut().map(|queue| queue.take(&text));
        self.send_piece(index, Delta::Content(text), logprobs, None);
    }

    fn send_piece(
        &mut self,
        index: usize,
        delta: Delta,
        logprobs: Option<ChoiceLogprobs>,
        finish_reason: Option<FinishReason>,
    ) {
        let usage = if self.include_usage { ChunkUsage::Pending } else { ChunkUsage::Absent };
        self.send_chunk(vec![ChunkChoice { index, delta, logprobs, finish_reason }], usage);
    }

    fn send_chunk(&mut self, choices: Vec<ChunkChoice>, usage: ChunkUsage) {
        let chunk = ChatChunk {
            id: self.answer.id.clone(),
            object: ChatChunk::OBJECT,
            created: self.answer.created,
            model: self.answer.model.clone(),
            system_fingerprint: self.answer.fingerprint.clone(),
            choices,
            usage,
        };
        match serde_json::to_vec(&chunk) {
            Ok(json) => self.ready.push_back(sse::event(&json)),
            Err(error) => {
                tracing::error!(%error, "a chunk has no JSON");
                self.fail(&ApiError::internal());
            }
        }
    }

    fn end(&mut self) {
        if self.include_usage {
            let usage = self.usage.of_prompt(self.answer.prompt_tokens);
            self.send_chunk(Vec::new(), ChunkUsage::Known(usage));
        }
        self.ready.push_back(sse::DONE);
        self.ended = true;
    }

    /// The status is long sent; clients look for an error among the chunks.
    fn fail(&mut self, error: &ApiError) {
        if let Ok(json) = serde_json::to_vec(&error.body()) {
            self.ready.push_back(sse::event(&json));
        }
        self.ended = true;
    }
}
