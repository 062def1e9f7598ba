//! An answer in chunks.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::Response;
use phial_openai::{
    ChatChunk, ChoiceLogprobs, ChunkChoice, ChunkUsage, Delta, FinishReason, McpCall, StreamOptions,
};

use super::{Head, finish_reason, mcp_call};
use crate::answer::{Event, Rounds, Step};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse;
use crate::usage::UsageSum;

/// Answers at once with headers, and with the rest as it comes.
pub(super) fn respond(
    server: &Server,
    head: Head,
    rounds: Rounds,
    options: StreamOptions,
) -> Response {
    let head_choices = head.choices;
    let mut chunks = Chunks {
        head,
        rounds,
        spoken: vec![Spoken::default(); head_choices],
        include_usage: options.include_usage,
        usage: UsageSum::default(),
        ready: VecDeque::new(),
        ended: false,
        ping_interval: server.options().ping_interval,
    };
    // Where calls may come, whether content begins is known only with the first piece.
    if !chunks.head.tools {
        (0..head_choices).for_each(|index| chunks.send_role(index, true));
    }
    sse::respond(chunks)
}

/// The chunks of an answer. Dropped with the connection, and the answer with it.
struct Chunks {
    head: Head,
    rounds: Rounds,
    /// Per choice.
    spoken: Vec<Spoken>,
    include_usage: bool,
    usage: UsageSum,
    /// Events that are yet to be sent.
    ready: VecDeque<Bytes>,
    ended: bool,
    ping_interval: Duration,
}

/// What has been sent of a choice.
#[derive(Clone, Copy, Default)]
struct Spoken {
    role: bool,
    /// Calls that have begun.
    calls: usize,
    mcp_calls: usize,
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
            match tokio::time::timeout(self.ping_interval, self.rounds.next()).await {
                Err(_) => return Some(sse::PING),
                Ok(Ok(Some((index, Step::Event(event))))) => self.take(index, event),
                Ok(Ok(Some((index, Step::External(call))))) => {
                    self.send_mcp_call(index, mcp_call(call));
                }
                Ok(Ok(None)) => self.end(),
                Ok(Err(error)) => self.fail(&error),
            }
        }
    }
}

impl Chunks {
    fn take(&mut self, index: usize, event: Event) {
        match event {
            Event::Text { text, logprobs } => {
                let logprobs = self
                    .head
                    .logprobs
                    .then_some(ChoiceLogprobs { content: logprobs, refusal: None });
                self.send_role(index, true);
                self.send_piece(index, Delta::Content(text), logprobs, None);
            }
            Event::CallBegin { id, name } => {
                self.send_role(index, false);
                let call = self.spoken[index].calls;
                self.spoken[index].calls += 1;
                self.send_piece(index, Delta::Call { index: call, id, name }, None, None);
            }
            Event::CallArguments(arguments) => {
                let call = self.spoken[index].calls.saturating_sub(1);
                self.send_piece(index, Delta::Arguments { index: call, arguments }, None, None);
            }
            Event::CallEnd => {}
            Event::Finished { end, usage } => {
                self.send_role(index, true);
                self.usage.add(&usage);
                self.send_piece(index, Delta::End, None, Some(finish_reason(&end)));
            }
        }
    }

    fn send_mcp_call(&mut self, choice: usize, call: McpCall) {
        self.send_role(choice, false);
        let index = self.spoken[choice].mcp_calls;
        self.spoken[choice].mcp_calls += 1;
        self.send_piece(choice, Delta::McpCall { index, call }, None, None);
    }

    /// Sends the first piece, the first time.
    fn send_role(&mut self, index: usize, content: bool) {
        if !std::mem::replace(&mut self.spoken[index].role, true) {
            self.send_piece(index, Delta::Role { content }, None, None);
        }
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
            id: self.head.id.clone(),
            object: ChatChunk::OBJECT,
            created: self.head.created,
            model: self.head.model.clone(),
            system_fingerprint: self.head.fingerprint.clone(),
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
            let prompt_tokens = self.head.prompt_tokens + self.rounds.later_prompt_tokens();
            let usage = self.usage.of_prompt(prompt_tokens);
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
