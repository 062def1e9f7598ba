//! From the engine's updates to events, for one choice.

use std::collections::VecDeque;

use phial_engine::{FinishReason, TokenId, TokenLogprobs, Usage};
use phial_openai::{TokenLogprob, TopLogprob};

use super::alignment::Alignment;
use super::calls::{self, CallReader, Marker, Output};
use super::tools::Tools;
use super::{End, Event};
use crate::server::Server;

/// JSON has no infinity; the official API gives this for what cannot happen.
const LOGPROB_MIN: f32 = -9999.0;

/// A log-probability that JSON can hold.
pub(crate) fn finite(logprob: f32) -> f32 {
    logprob.max(LOGPROB_MIN)
}

/// Turns what the engine says about one choice into events.
pub(super) struct Reader {
    server: Server,
    /// Where in the text tokens begin, as far as anything is to be said about them.
    tokens: Option<Alignment<Noted>>,
    /// Whether log-probabilities are reported.
    reports: bool,
    /// Log-probabilities of tokens that have come up, with the byte of the text at which each
    /// begins. A token is reported with the piece of text in which its first character begins, so
    /// that tokens and text always match, and what a stop string cuts off is not reported.
    logprobs: VecDeque<(usize, TokenLogprob)>,
    /// Bytes of text that have come up.
    received: usize,
    /// Bytes of text that events were made of.
    given: usize,
    /// Present if tools are offered.
    calls: Option<Calls>,
}

/// What is to be said about a token.
struct Noted {
    logprob: Option<TokenLogprob>,
    /// With the bytes of its text.
    marker: Option<(Marker, usize)>,
}

struct Calls {
    reader: CallReader,
    /// Tokens that are markers.
    markers: Vec<(TokenId, Marker)>,
    /// Bytes of text to come that a marker has taken already.
    taken: usize,
}

impl Reader {
    /// With `formed`, an answer that does not begin with a call has a form and is all content.
    pub(super) fn new(
        server: &Server,
        tools: Option<&Tools>,
        formed: bool,
        logprobs: bool,
    ) -> Self {
        let tokenizer = &server.model().tokenizer;
        let marker = |(spelling, marker)| Some((tokenizer.token_id(spelling)?, marker));
        let offers = |tools: &&Tools| match formed {
            true => tools.callable().next().is_some(),
            false => !tools.list.is_empty(),
        };
        let calls = tools.filter(offers).map(|tools| Calls {
            reader: match formed {
                true => CallReader::new(tools).beside_form(),
                false => CallReader::new(tools),
            },
            markers: calls::spellings().filter_map(marker).collect(),
            taken: 0,
        });
        let needs_tokens =
            logprobs || calls.as_ref().is_some_and(|calls| !calls.markers.is_empty());
        Self {
            server: server.clone(),
            tokens: needs_tokens.then(Alignment::new),
            reports: logprobs,
            logprobs: VecDeque::new(),
            received: 0,
            given: 0,
            calls,
        }
    }

    /// A token was generated.
    pub(super) fn token(&mut self, token: TokenId, logprobs: Option<&TokenLogprobs>) {
        let Some(tokens) = &mut self.tokens else { return };
        let model = self.server.model();
        // The engine leaves their text out.
        if model.stop_tokens.contains(&token) {
            return;
        }
        let markers = self.calls.iter().flat_map(|calls| &calls.markers);
        let marker = markers.copied().find(|(id, _)| *id == token).map(|(_, marker)| marker);
        let is_control = model.tokenizer.is_control(token);
        if is_control && marker.is_none() {
            return;
        }
        let bytes = match is_control {
            true => &[],
            false => model.tokenizer.token_bytes(token).unwrap_or_default(),
        };
        let logprob = match logprobs {
            Some(logprobs) if self.reports && !is_control => Some(self.server.spell(logprobs)),
            _ => None,
        };
        tokens.push(bytes, Noted { logprob, marker: marker.map(|marker| (marker, bytes.len())) });
    }

    /// Text has become certain.
    pub(super) fn text(&mut self, text: &str) -> Vec<Event> {
        if text.is_empty() {
            return Vec::new();
        }
        let noted = self.tokens.as_mut().map(|tokens| tokens.take(text)).unwrap_or_default();
        let mut markers = Vec::new();
        for (place, Noted { logprob, marker }) in noted {
            self.logprobs.extend(logprob.map(|logprob| (self.received + place, logprob)));
            markers.extend(marker.map(|(marker, bytes)| (place, marker, bytes)));
        }
        self.received += text.len();
        let Some(calls) = &mut self.calls else {
            return vec![self.text_event(text.to_owned())];
        };
        let outputs = calls.read(text, &markers);
        self.events(outputs)
    }

    /// The choice ends after `text`.
    pub(super) fn finish(&mut self, text: &str, reason: FinishReason, usage: Usage) -> Vec<Event> {
        let mut events = self.text(text);
        let mut called = false;
        if let Some(calls) = &mut self.calls {
            // Markers without text, behind which no text has come.
            let rest = self.tokens.iter_mut().flat_map(Alignment::take_rest);
            let mut outputs = Vec::new();
            for (marker, bytes) in rest.filter_map(|noted| noted.marker) {
                if bytes == 0 {
                    outputs.extend(calls.reader.marker(marker, 0));
                }
            }
            outputs.extend(
                calls
                    .reader
                    .finish(matches!(reason, FinishReason::Length | FinishReason::Constraint(_))),
            );
            called = calls.reader.calls() > 0;
            events.extend(self.events(outputs));
        }
        let end = match reason {
            FinishReason::Length => End::Length,
            // A limit was reached, and the text is not complete: clients know it as that.
            FinishReason::Constraint(reason) => {
                tracing::warn!(reason, "a constraint was given up");
                End::Length
            }
            _ if called => End::Calls,
            FinishReason::StopToken => End::Turn,
            FinishReason::StopString(stop) => End::StopString(stop),
        };
        events.push(Event::Finished { end, usage });
        events
    }

    fn events(&mut self, outputs: Vec<Output>) -> Vec<Event> {
        let mut events = Vec::new();
        for output in outputs {
            events.push(match output {
                Output::Text(text) => self.text_event(text),
                Output::Markup(bytes) => {
                    self.given += bytes;
                    while self.logprobs.pop_front_if(|(at, _)| *at < self.given).is_some() {}
                    continue;
                }
                Output::Begin(name) => {
                    Event::CallBegin { id: self.server.ids().next("call_"), name }
                }
                Output::Arguments(text) => Event::CallArguments(text),
                Output::End => Event::CallEnd,
            });
        }
        events
    }

    fn text_event(&mut self, text: String) -> Event {
        self.given += text.len();
        let mut logprobs = Vec::new();
        while let Some((_, logprob)) = self.logprobs.pop_front_if(|(at, _)| *at < self.given) {
            logprobs.push(logprob);
        }
        Event::Text { text, logprobs }
    }
}

impl Calls {
    /// Reads text in which tokens that are markers begin at some bytes and are some bytes long.
    fn read(&mut self, text: &str, markers: &[(usize, Marker, usize)]) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut done = self.taken.min(text.len());
        for &(place, marker, bytes) in markers {
            outputs.extend(self.reader.push(&text[done.min(place)..place]));
            outputs.extend(self.reader.marker(marker, bytes));
            done = place + bytes;
        }
        outputs.extend(self.reader.push(text.get(done..).unwrap_or_default()));
        self.taken = done.saturating_sub(text.len());
        outputs
    }
}

impl Server {
    /// A token that was generated, and others that might have been, as the API tells them.
    fn spell(&self, logprobs: &TokenLogprobs) -> TokenLogprob {
        let tokenizer = &self.model().tokenizer;
        let spell = |token| {
            let bytes = tokenizer.token_bytes(token).unwrap_or_default();
            (String::from_utf8_lossy(bytes).into_owned(), bytes.to_vec())
        };
        let top = logprobs.top.iter().map(|top| {
            let (token, bytes) = spell(top.token);
            TopLogprob { token, logprob: top.logprob.max(LOGPROB_MIN), bytes }
        });
        let (token, bytes) = spell(logprobs.chosen.token);
        let logprob = logprobs.chosen.logprob.max(LOGPROB_MIN);
        TokenLogprob { token, logprob, bytes, top_logprobs: top.collect() }
    }
}
