//! An answer in chunks.

use axum::response::Response;
use phial_openai::{
    ChatChunk, ChoiceLogprobs, ChunkChoice, ChunkUsage, Delta, FinishReason, McpCall, StreamOptions,
};

use super::{Head, finish_reason, mcp_call};
use crate::answer::{Event, Rounds, Step};
use crate::api_error::ApiError;
use crate::server::Server;
use crate::sse::{self, Outbox, Streamed};
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
    };
    let mut begun = Outbox::default();
    // Where calls may come, whether content begins is known only with the first piece.
    if !chunks.head.tools {
        (0..head_choices).for_each(|index| chunks.send_role(index, true, &mut begun));
    }
    sse::respond(chunks, begun, server.options().ping_interval)
}

/// The chunks of an answer. Dropped with the connection, and the answer with it.
struct Chunks {
    head: Head,
    rounds: Rounds,
    /// Per choice.
    spoken: Vec<Spoken>,
    include_usage: bool,
    usage: UsageSum,
}

/// What has been sent of a choice.
#[derive(Clone, Copy, Default)]
struct Spoken {
    role: bool,
    /// Calls that have begun.
    calls: usize,
    mcp_calls: usize,
}

impl Streamed for Chunks {
    type Step = (usize, Step);

    async fn step(&mut self) -> Result<Option<Self::Step>, ApiError> {
        self.rounds.next().await
    }

    fn tell(&mut self, (index, step): Self::Step, out: &mut Outbox) {
        match step {
            Step::Event(event) => self.take(index, event, out),
            Step::ExternalBegin(_) => {}
            Step::External(call) => self.send_mcp_call(index, mcp_call(call), out),
        }
    }

    fn finish(&mut self, out: &mut Outbox) {
        if self.include_usage {
            let prompt_tokens = self.head.prompt_tokens + self.rounds.later_prompt_tokens();
            let usage = self.usage.of_prompt(prompt_tokens);
            self.send_chunk(Vec::new(), ChunkUsage::Known(usage), out);
        }
        out.done();
    }

    fn fail(&mut self, error: &ApiError, out: &mut Outbox) {
        out.event(serde_json::to_vec(&error.body()));
    }
}

impl Chunks {
    fn take(&mut self, index: usize, event: Event, out: &mut Outbox) {
        match event {
            Event::Text { text, logprobs } => {
                let logprobs = self
                    .head
                    .logprobs
                    .then_some(ChoiceLogprobs { content: logprobs, refusal: None });
                self.send_role(index, true, out);
                self.send_piece(index, Delta::Content(text), (logprobs, None), out);
            }
            Event::CallBegin { id, name } => {
                self.send_role(index, false, out);
                let call = self.spoken[index].calls;
                self.spoken[index].calls += 1;
                self.send_piece(index, Delta::Call { index: call, id, name }, (None, None), out);
            }
            Event::CallArguments(arguments) => {
                let call = self.spoken[index].calls.saturating_sub(1);
                let delta = Delta::Arguments { index: call, arguments };
                self.send_piece(index, delta, (None, None), out);
            }
            Event::CallEnd => {}
            Event::Finished { end, usage } => {
                self.send_role(index, true, out);
                self.usage.add(&usage);
                self.send_piece(index, Delta::End, (None, Some(finish_reason(&end))), out);
            }
        }
    }

    fn send_mcp_call(&mut self, choice: usize, call: McpCall, out: &mut Outbox) {
        self.send_role(choice, false, out);
        let index = self.spoken[choice].mcp_calls;
        self.spoken[choice].mcp_calls += 1;
        self.send_piece(choice, Delta::McpCall { index, call }, (None, None), out);
    }

    /// Sends the first piece, the first time.
    fn send_role(&mut self, index: usize, content: bool, out: &mut Outbox) {
        if !std::mem::replace(&mut self.spoken[index].role, true) {
            self.send_piece(index, Delta::Role { content }, (None, None), out);
        }
    }

    fn send_piece(
        &self,
        index: usize,
        delta: Delta,
        (logprobs, finish_reason): (Option<ChoiceLogprobs>, Option<FinishReason>),
        out: &mut Outbox,
    ) {
        let usage = if self.include_usage { ChunkUsage::Pending } else { ChunkUsage::Absent };
        self.send_chunk(vec![ChunkChoice { index, delta, logprobs, finish_reason }], usage, out);
    }

    fn send_chunk(&self, choices: Vec<ChunkChoice>, usage: ChunkUsage, out: &mut Outbox) {
        let chunk = ChatChunk {
            id: self.head.id.clone(),
            object: ChatChunk::OBJECT,
            created: self.head.created,
            model: self.head.model.clone(),
            system_fingerprint: self.head.fingerprint.clone(),
            choices,
            usage,
        };
        out.event(serde_json::to_vec(&chunk));
    }
}
