//! A request and its answer, from the first byte to the last: how long it may take, and what is
//! told of it once it is over.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderMap;
use http_body::{Frame, SizeHint};
use phial_engine::{FinishReason, Request, Usage};
use phial_openai::metering::{Meter, Owner, Payer};

use crate::limits::Limits;
use crate::observer::{FinishedRequest, Observer, Outcome};
use crate::tally::{Share, Tally};

/// Marks requests that nobody waits for, such as those of batches: they have time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unhurried;

/// A request took longer than it may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimedOut;

/// What is known of a request while it is answered. Clones are the same; when the last is gone the
/// answer is over, and the log and the observer are told.
#[derive(Clone, Debug)]
pub(crate) struct Exchange(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    arrived: Instant,
    /// Until when the whole answer must be there.
    deadline: Option<Instant>,
    /// How long the engine may let it wait, each time that it is asked.
    queue_time_max: Option<Duration>,
    observer: Option<Arc<dyn Observer>>,
    /// Told to whoever bills for it.
    tally: Option<Arc<Tally>>,
    /// Whose what it leaves behind is; `None` where nobody is told apart.
    owner: Option<Owner>,
    payer: Option<Payer>,
    facts: Mutex<FinishedRequest>,
}

impl Exchange {
    /// A request that comes in now. `headers` are its own.
    pub(crate) fn begin(
        request: FinishedRequest,
        headers: &HeaderMap,
        limits: Option<&Limits>,
        observer: Option<Arc<dyn Observer>>,
        (meter, owner, payer): (Option<Meter>, Option<Owner>, Option<Payer>),
    ) -> Self {
        let arrived = Instant::now();
        let time_max = limits.and_then(|limits| limits.request_time_max);
        let header = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
        let facts = FinishedRequest {
            host: header("host"),
            traceparent: header("traceparent"),
            tracestate: header("tracestate"),
            ..request
        };
        Self(Arc::new(Inner {
            arrived,
            deadline: time_max.and_then(|time| arrived.checked_add(time)),
            queue_time_max: limits.and_then(|limits| limits.queue_time_max),
            observer,
            tally: meter.map(|meter| Arc::new(Tally::new(meter))),
            owner,
            payer,
            facts: Mutex::new(facts),
        }))
    }

    /// Until when the whole answer must be there.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Until when the engine must have begun with what it is given now.
    pub(crate) fn queue_deadline(&self) -> Option<Instant> {
        let queue = self.0.queue_time_max.and_then(|time| Instant::now().checked_add(time));
        queue.into_iter().chain(self.0.deadline).min()
    }

    /// Waits for `work` as long as the request may take.
    ///
    /// # Errors
    /// If that is not long enough.
    pub(crate) async fn within<F: Future>(&self, work: F) -> Result<F::Output, TimedOut> {
        let Some(deadline) = self.0.deadline else { return Ok(work.await) };
        tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| {
            self.failed("request_timeout");
            TimedOut
        })
    }

    /// The engine is given `requests`.
    pub(crate) fn submitted(&self, requests: &[Request]) {
        let mut facts = self.0.facts();
        let generation = facts.generation.get_or_insert_default();
        let Some(first) = requests.first() else { return };
        let sampling = first.sampling.options();
        generation.tokens_max = first.tokens_max;
        generation.temperature = Some(sampling.temperature);
        generation.top_p = Some(sampling.top_p);
        generation.seed = sampling.seed;
        generation.stop = first.stop_strings.clone();
        generation.choices = requests.len();
    }

    /// What choices add to the bill, by the indices of their prompts; none if nobody bills.
    pub(crate) fn shares(&self, prompts: &[usize]) -> Vec<Share> {
        self.0.tally.as_ref().map_or_else(Vec::new, |tally| tally.shares(prompts))
    }

    /// Whose what the request leaves behind is, and whose it may see.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.0.owner.as_ref()
    }

    /// By what later requests that this one leads to are billed.
    pub(crate) fn payer(&self) -> Option<&Payer> {
        self.0.payer.as_ref()
    }

    /// `model` is to write the answer named `answer`, in pieces if it is streamed, to prompts of so
    /// many tokens.
    pub(crate) fn answers(&self, model: &str, answer: &str, streamed: bool, prompt_tokens: usize) {
        let mut facts = self.0.facts();
        let generation = facts.generation.get_or_insert_default();
        generation.model = model.to_owned();
        generation.answer = answer.to_owned();
        generation.streamed = streamed;
        generation.prompt_tokens = prompt_tokens;
    }

    /// The model is asked again, with a prompt of so many tokens.
    pub(crate) fn asked_again(&self, prompt_tokens: usize) {
        self.0.facts().generation.get_or_insert_default().prompt_tokens += prompt_tokens;
    }

    /// What the model is told, by roles; only for an observer that wants it.
    pub(crate) fn asked(&self, input: Vec<(String, String)>) {
        let mut facts = self.0.facts();
        let content = facts.generation.get_or_insert_default().content.get_or_insert_default();
        content.input.extend(input);
    }

    /// Text of a choice; kept where [`Exchange::asked`] was told of the prompt.
    pub(crate) fn said(&self, choice: usize, text: &str) {
        let mut facts = self.0.facts();
        let content = facts.generation.as_mut().and_then(|generation| generation.content.as_mut());
        let Some(content) = content.filter(|_| !text.is_empty()) else { return };
        if content.output.len() <= choice {
            content.output.resize(choice + 1, String::new());
        }
        content.output[choice].push_str(text);
    }

    /// A token came.
    pub(crate) fn token(&self) {
        let mut facts = self.0.facts();
        let generation = facts.generation.get_or_insert_default();
        generation.first_token.get_or_insert_with(|| self.0.arrived.elapsed());
    }

    /// A choice is done.
    pub(crate) fn choice_finished(&self, reason: &FinishReason, usage: &Usage) {
        let mut facts = self.0.facts();
        let generation = facts.generation.get_or_insert_default();
        generation.cached_tokens = generation.cached_tokens.max(usage.cached_tokens);
        generation.generated_tokens += usage.generated_tokens;
        generation.queued = generation.queued.max(usage.queued);
        generation.finish_reasons.push(match reason {
            FinishReason::StopToken | FinishReason::StopString(_) => "stop",
            FinishReason::Length | FinishReason::Constraint(_) => "length",
        });
    }

    /// The answer is an error, or ends with one.
    pub(crate) fn failed(&self, code: &'static str) {
        self.0.facts().error = Some(code);
    }

    /// The answer begins.
    pub(crate) fn answered(&self, status: u16) {
        self.0.facts().status = Some(status);
    }

    /// How long ago the request came.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.arrived.elapsed()
    }

    /// `body`, as part of this exchange.
    pub(crate) fn body(self, body: Body) -> Body {
        let watched = Watched { body, exchange: self };
        watched.note_end();
        Body::new(watched)
    }
}

impl Inner {
    fn facts(&self) -> MutexGuard<'_, FinishedRequest> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.facts().took = self.arrived.elapsed();
        let facts = self.facts();
        facts.log();
        if let Some(observer) = &self.observer {
            observer.finished(&facts);
        }
    }
}

impl FinishedRequest {
    /// A request that comes in now.
    pub(crate) fn new(id: String, method: String, route: String, path: String) -> Self {
        Self {
            id,
            method,
            route,
            path,
            host: None,
            traceparent: None,
            tracestate: None,
            began: SystemTime::now(),
            took: Duration::ZERO,
            status: None,
            outcome: Outcome::Disconnected,
            error: None,
            generation: None,
        }
    }
}

/// A body that knows whether it went out to its end.
struct Watched {
    body: Body,
    exchange: Exchange,
}

impl Watched {
    fn note_end(&self) {
        if self.body.is_end_stream() {
            self.exchange.0.facts().outcome = Outcome::Complete;
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.exchange.0.facts().outcome = Outcome::Complete,
            Poll::Ready(Some(Ok(_))) => self.note_end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
