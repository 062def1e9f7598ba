//! From a conversation to the events of an answer, in no dialect of the API.
//!
//! A dialect (chat completions, responses, messages) reads its own wire types, fills an [`Ask`],
//! prepares it ([`prepare`], which may take a while), starts it ([`Prepared::start`]) and writes
//! the [`Event`]s of the [`Answer`] in its own words. Whether it answers whole or in a stream, the
//! events are the same. [`Rounds`] stands in for [`Answer`] where the server may run tools itself.

mod alignment;
mod calls;
mod constraint;
mod offer;
mod prepare;
mod reader;
mod rounds;
mod tools;

use std::collections::VecDeque;

use phial_engine::{PromptReport, Request, SamplingOptions, TokenId, TokenLogprobs, Usage};
use phial_openai::{AnswerFormat, TokenLogprob};
use phial_text::Message;

use crate::api_error::ApiError;
use crate::engine_thread::{Submission, Update};
use crate::exchange::Exchange;
use crate::measure::Measure;
use crate::server::Server;
use reader::Reader;

pub(crate) use offer::{ExternalCall, Offer, Wanted};
pub(crate) use prepare::{count_tokens, prepare, render};
pub(crate) use reader::finite;
pub(crate) use rounds::{Rounds, Step};
pub(crate) use tools::{Tool, ToolChoice, Tools};

/// What a dialect asks of the model.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// What is to be answered or continued.
    pub input: Input,
    /// The field that the input came in (`messages`, `input`, `prompt`), for errors.
    pub input_field: &'static str,
    /// Most tokens per choice; `None`: as many as the context has room for. 0 only with
    /// [`Prepared::report_prompt`].
    pub tokens_max: Option<usize>,
    /// With the seed of the first choice.
    pub sampling: SamplingOptions,
    /// How many answers.
    pub choices: usize,
    /// Strings that end an answer.
    pub stop: Vec<String>,
    /// Report log-probabilities, with this many alternatives.
    pub logprobs: Option<usize>,
    /// What each answer must be, where it is no call.
    pub format: Option<AnswerFormat>,
    /// Go on after the end of the turn.
    pub ignore_eos: bool,
    /// What the answer is expected to be like; it makes it faster, never another.
    pub prediction: String,
}

/// What is to be answered or continued.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A conversation in which the model speaks next.
    Chat {
        /// In order.
        messages: Vec<Message>,
        /// What the model may call.
        tools: Tools,
    },
    /// Tokens that the model goes on from.
    Tokens(Vec<TokenId>),
}

/// A request that the engine can take.
pub(crate) struct Prepared {
    requests: Vec<Request>,
    /// The index of the prompt of each request.
    prompts: Vec<usize>,
    prompt_tokens: usize,
    readers: Vec<Reader>,
    /// Roles and texts of the prompt, if an observer wants to know them.
    said: Option<Vec<(String, String)>>,
}

impl Prepared {
    /// Tokens of the prompt, the same for each choice; of all prompts, if there are several.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// The most that it can take.
    pub(crate) fn measure(&self) -> Measure {
        let most = |request: &Request| request.tokens_max.unwrap_or(usize::MAX) as u64;
        Measure {
            prompt_tokens: self.prompt_tokens as u64,
            generated_tokens_max: self.requests.iter().map(most).sum(),
        }
    }

    /// Number of answers.
    pub(crate) fn choices(&self) -> usize {
        self.requests.len()
    }

    /// Has the engine report on the prompt.
    pub(crate) fn report_prompt(&mut self, report: PromptReport) {
        self.requests.iter_mut().for_each(|request| request.prompt_report = report);
    }

    /// Has the choices of `other`, which may have another prompt, answered too; their indices
    /// follow.
    pub(crate) fn join(&mut self, other: Self) {
        let first = self.prompts.last().map_or(0, |last| last + 1);
        self.prompts.extend(other.prompts.iter().map(|prompt| first + prompt));
        self.requests.extend(other.requests);
        self.readers.extend(other.readers);
        self.prompt_tokens += other.prompt_tokens;
        self.said.iter_mut().for_each(|said| said.extend(other.said.iter().flatten().cloned()));
    }

    /// Gives the request to the engine.
    ///
    /// # Errors
    /// If the engine takes nothing now.
    pub(crate) fn start(self, server: &Server, exchange: &Exchange) -> Result<Answer, ApiError> {
        if let Some(said) = self.said {
            exchange.asked(said);
        }
        let submission = server.engine().submit(self.requests, &self.prompts, exchange)?;
        let prompt_logprobs = vec![Vec::new(); self.readers.len()];
        Ok(Answer { submission, readers: self.readers, ready: VecDeque::new(), prompt_logprobs })
    }
}

/// An answer as it comes. Dropping it cancels what is not done.
pub(crate) struct Answer {
    submission: Submission,
    /// One per choice.
    readers: Vec<Reader>,
    ready: VecDeque<(usize, Event)>,
    /// Per choice, what was reported and not taken.
    prompt_logprobs: Vec<Vec<TokenLogprobs>>,
}

/// Something that happened to one choice. Any number of texts and calls, one after the other,
/// then one [`Event::Finished`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// The answer goes on with this text, which is not empty.
    Text {
        /// Whole characters.
        text: String,
        /// Of the tokens that begin in the text; empty unless asked for.
        logprobs: Vec<TokenLogprob>,
    },
    /// The model calls a tool.
    CallBegin {
        /// Names the call in the conversation, `call_…`.
        id: String,
        /// The tool, one of those offered.
        name: String,
    },
    /// The arguments of the call that began last go on with this text. Together it is a JSON
    /// object, unless the answer was cut.
    CallArguments(String),
    /// The call that began last is complete.
    CallEnd,
    /// The choice is done.
    Finished {
        /// Why.
        end: End,
        /// What it took.
        usage: Usage,
    },
}

/// Why a choice ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The model was done.
    Turn,
    /// The model was done, and wants to know what its calls give.
    Calls,
    /// This stop string came up.
    StopString(String),
    /// The limit that was asked for, or the context, was reached.
    Length,
}

impl Answer {
    /// Log-probabilities of the prompt of a choice, without its first token. They are complete
    /// with the first event of the choice.
    pub(crate) fn take_prompt_logprobs(&mut self, index: usize) -> Vec<TokenLogprobs> {
        std::mem::take(&mut self.prompt_logprobs[index])
    }

    /// The next event and the index of its choice; `None` after the last. May be dropped while it
    /// waits.
    ///
    /// # Errors
    /// If the engine stopped or does not take the request; nothing comes after that.
    pub(crate) async fn next(&mut self) -> Result<Option<(usize, Event)>, ApiError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.submission.is_done() {
                return Ok(None);
            }
            let (index, update) = self.submission.next().await?;
            let reader = &mut self.readers[index];
            let events = match update {
                Update::PromptLogprobs(logprobs) => {
                    self.prompt_logprobs[index].extend(logprobs);
                    continue;
                }
                // Not an answer.
                Update::Started | Update::PromptHidden(_) => continue,
                Update::Token { token, text, logprobs } => {
                    reader.token(token, logprobs.as_ref());
                    reader.text(&text)
                }
                Update::Finished { reason, text, usage } => reader.finish(&text, reason, usage),
                Update::Rejected(rejected) => return Err(ApiError::from(&rejected)),
            };
            self.ready.extend(events.into_iter().map(|event| (index, event)));
        }
    }
}
