//! An answer in the course of which the server runs tools: the model is asked again with what they
//! gave, until it answers without them.

use std::collections::VecDeque;
use std::sync::Arc;

use phial_text::{Message, ToolCall};
use tokio::task::JoinHandle;

use super::offer::{ExternalCall, Offer};
use super::{Answer, Ask, End, Event, Input, Prepared, ToolChoice, prepare};
use crate::api_error::ApiError;
use crate::exchange::Exchange;
use crate::server::Server;

/// An answer, with all its rounds. Dropping it cancels what is not done.
pub(crate) struct Rounds {
    server: Server,
    exchange: Exchange,
    /// Between two rounds there is none.
    answer: Option<Answer>,
    /// Present if the server may run tools; then there is one choice.
    external: Option<External>,
    working: Option<Working>,
    ready: VecDeque<(usize, Step)>,
    later_prompt_tokens: usize,
}

/// What happened to a choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// As without rounds; the usage at the end counts all tokens generated.
    Event(Event),
    /// The server runs a tool; what it gives follows, in the order of these steps.
    ExternalBegin(ExternalCall),
    /// The server ran a tool.
    External(ExternalCall),
}

struct External {
    offer: Arc<Offer>,
    ask: Ask,
    /// How often the model may still be asked.
    rounds_left: usize,
    generated_tokens: usize,
    /// What the model said in this round.
    text: String,
    /// Calls of this round that the server is to run, with name and arguments.
    calls: Vec<(String, String)>,
    /// Calls of this round that are the client's.
    client_calls: usize,
    /// Whether the call in work is the server's.
    is_own: bool,
}

/// The calls of a round at work, and the next round.
struct Working(JoinHandle<Result<Round, ApiError>>);

/// What there is to ask next, the same prepared, and the calls that were run.
type Round = (Ask, Prepared, Vec<ExternalCall>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rounds {
    /// Gives the first round to the engine. `external` is what the server may run, with the ask
    /// that was prepared.
    ///
    /// # Errors
    /// If the engine takes nothing now.
    pub(crate) fn start(
        server: &Server,
        exchange: &Exchange,
        prepared: Prepared,
        external: Option<(Offer, Ask)>,
    ) -> Result<Self, ApiError> {
        let rounds_left = server.options().limits.external_rounds_max;
        let external = external.map(|(offer, ask)| External {
            offer: Arc::new(offer),
            ask,
            rounds_left,
            generated_tokens: 0,
            text: String::new(),
            calls: Vec::new(),
            client_calls: 0,
            is_own: false,
        });
        Ok(Self {
            server: server.clone(),
            exchange: exchange.clone(),
            answer: Some(prepared.start(server, exchange)?),
            external,
            working: None,
            ready: VecDeque::new(),
            later_prompt_tokens: 0,
        })
    }

    /// Tokens of the prompts of all rounds but the first.
    pub(crate) fn later_prompt_tokens(&self) -> usize {
        self.later_prompt_tokens
    }

    /// As [`Answer::next`].
    ///
    /// # Errors
    /// As [`Answer::next`], and if the results of tools leave no room for an answer.
    pub(crate) async fn next(&mut self) -> Result<Option<(usize, Step)>, ApiError> {
        loop {
            if let Some(step) = self.ready.pop_front() {
                return Ok(Some(step));
            }
            if let Some(working) = &mut self.working {
                let result = self.exchange.within(&mut working.0).await;
                let result = result.map_err(|_| ApiError::request_timeout())?;
                self.working = None;
                let (ask, prepared, calls) = result.map_err(|_| {
                    tracing::error!("running external tools panicked");
                    ApiError::internal()
                })??;
                self.ready.extend(calls.into_iter().map(|call| (0, Step::External(call))));
                self.later_prompt_tokens += prepared.prompt_tokens();
                self.exchange.asked_again(prepared.prompt_tokens());
                self.external.iter_mut().for_each(|external| external.ask = ask.clone());
                self.answer = Some(prepared.start(&self.server, &self.exchange)?);
                continue;
            }
            let Some(answer) = &mut self.answer else { return Ok(None) };
            let Some((index, event)) = answer.next().await? else { return Ok(None) };
            match &mut self.external {
                None => return Ok(Some((index, Step::Event(event)))),
                Some(external) => match external.take(&self.server, event) {
                    Next::Steps(steps) => self.ready.extend(steps.into_iter().map(|s| (index, s))),
                    Next::Round(steps, working) => {
                        self.ready.extend(steps.into_iter().map(|step| (index, step)));
                        self.answer = None;
                        self.working = Some(working);
                    }
                },
            }
        }
    }
}

/// What follows an event.
enum Next {
    Steps(Vec<Step>),
    /// Calls that begin, and all of them at work.
    Round(Vec<Step>, Working),
}

impl External {
    fn take(&mut self, server: &Server, event: Event) -> Next {
        match event {
            Event::CallBegin { ref name, .. } => {
                self.is_own = self.offer.has(name);
                if self.is_own {
                    self.calls.push((name.clone(), String::new()));
                    return Next::Steps(Vec::new());
                }
                self.client_calls += 1;
            }
            Event::CallArguments(ref text) if self.is_own => {
                self.calls.iter_mut().last().into_iter().for_each(|(_, all)| all.push_str(text));
                return Next::Steps(Vec::new());
            }
            Event::CallEnd if self.is_own => return Next::Steps(Vec::new()),
            Event::Text { ref text, .. } => self.text.push_str(text),
            Event::Finished { end, mut usage } => {
                self.generated_tokens += usage.generated_tokens;
                usage.generated_tokens = self.generated_tokens;
                return self.finish(server, end, |end| Event::Finished { end, usage });
            }
            Event::CallArguments(_) | Event::CallEnd => {}
        }
        Next::Steps(vec![Step::Event(event)])
    }

    fn finish(&mut self, server: &Server, end: End, finished: impl FnOnce(End) -> Event) -> Next {
        let room = self.ask.tokens_max.map(|max| max.saturating_sub(self.generated_tokens));
        let refusal = match &end {
            _ if self.calls.is_empty() => return Next::Steps(vec![Step::Event(finished(end))]),
            End::Length => "the answer was cut",
            _ if self.client_calls > 0 => "calls of the client's tools stand beside it",
            _ if self.rounds_left == 0 => "the model has called tools too often",
            _ if room == Some(0) => "no tokens are left for an answer",
            _ => return self.work(server),
        };
        let calls = std::mem::take(&mut self.calls);
        let mut steps: Vec<Step> = calls
            .into_iter()
            .map(|(name, arguments)| {
                let id = server.ids().next("mcp_");
                self.offer.refuse(id, &name, arguments, &format!("not run: {refusal}"))
            })
            .flat_map(|call| [Step::ExternalBegin(call.clone()), Step::External(call)])
            .collect();
        let end = if self.client_calls > 0 { end } else { End::Length };
        steps.push(Step::Event(finished(end)));
        Next::Steps(steps)
    }

    /// Runs the calls of this round and prepares the next.
    fn work(&mut self, server: &Server) -> Next {
        self.rounds_left -= 1;
        let calls = std::mem::take(&mut self.calls);
        let begun: Vec<ExternalCall> = calls
            .iter()
            .map(|(name, arguments)| {
                let id = server.ids().next("mcp_");
                self.offer.refuse(id, name, arguments.clone(), "it is running")
            })
            .collect();
        let steps = begun.iter().cloned().map(Step::ExternalBegin).collect();
        let text = std::mem::take(&mut self.text);
        let offer = Arc::clone(&self.offer);
        let mut ask = self.ask.clone();
        let tokens_max = ask.tokens_max.map(|max| max.saturating_sub(self.generated_tokens));
        let last = self.rounds_left == 0;
        let server = server.clone();
        let working = Working(tokio::spawn(async move {
            let mut done = Vec::with_capacity(calls.len());
            for ((name, arguments), call) in calls.iter().zip(begun) {
                done.push(offer.run(call.id, name, arguments.clone()).await);
            }
            if let Input::Chat { messages, tools } = &mut ask.input {
                messages.extend(turns(text, &calls, &done));
                // What was asked for is done; and some time the model must answer.
                tools.choice = if last { ToolChoice::None } else { ToolChoice::Auto };
            }
            let next = Ask { tokens_max, ..ask.clone() };
            let prepared = tokio::task::spawn_blocking(move || prepare(&server, next))
                .await
                .map_err(|_| ApiError::internal())??;
            Ok((ask, prepared, done))
        }));
        Next::Round(steps, working)
    }
}

/// The turns that a round adds to the conversation.
fn turns(text: String, calls: &[(String, String)], done: &[ExternalCall]) -> Vec<Message> {
    let tool_calls = calls.iter().zip(done).map(|((name, arguments), call)| ToolCall {
        name: name.clone(),
        arguments: arguments.as_str().into(),
        id: Some(call.id.clone()),
    });
    let said = Message { tool_calls: tool_calls.collect(), ..Message::new("assistant", text) };
    let results = done.iter().map(|call| {
        let content = match &call.result {
            Ok(text) => text.clone(),
            Err(error) => format!("Error: {error}."),
        };
        Message { tool_call_id: Some(call.id.clone()), ..Message::new("tool", content) }
    });
    std::iter::once(said).chain(results).collect()
}
