//! An answer in pieces.

use axum::response::Response;
use phial_openai::{ChunkUsage, CompletionChoice, StreamOptions};

use super::choice::Choice;
use super::{Head, Usages};
use crate::answer::{Answer, Event};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse::{self, Outbox, Streamed};

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(
    server: &Server,
    head: Head,
    choices: Vec<Choice>,
    answer: Answer,
    options: StreamOptions,
) -> Response {
    let usages = Usages::new(&head, choices.len());
    let include_usage = options.include_usage;
    let pieces = Pieces { head, choices, answer, include_usage, usages };
    sse::respond(pieces, Outbox::default(), server.options().ping_interval)
}

/// The pieces of an answer. Dropped with the connection, and the answer with it.
struct Pieces {
    head: Head,
    choices: Vec<Choice>,
    answer: Answer,
    include_usage: bool,
    usages: Usages,
}

impl Streamed for Pieces {
    type Step = (usize, Event);

    async fn step(&mut self) -> Result<Option<Self::Step>, ApiError> {
        self.answer.next().await
    }

    fn tell(&mut self, (index, event): Self::Step, out: &mut Outbox) {
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
        self.send(vec![choice], usage, out);
    }

    fn finish(&mut self, out: &mut Outbox) {
        if self.include_usage {
            let usage = self.usages.total(self.head.prompt_tokens);
            self.send(Vec::new(), ChunkUsage::Known(usage), out);
        }
        out.done();
    }

    fn fail(&mut self, error: &ApiError, out: &mut Outbox) {
        out.event(serde_json::to_vec(&error.body()));
    }
}

impl Pieces {
    fn send(&self, choices: Vec<CompletionChoice>, usage: ChunkUsage, out: &mut Outbox) {
        out.event(serde_json::to_vec(&self.head.completion(choices, usage)));
    }
}
