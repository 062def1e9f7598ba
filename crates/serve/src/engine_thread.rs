//! The thread that owns the engine, and the way to it.
//!
//! The engine is synchronous and works in steps; everything else here is asynchronous. Commands go
//! to the thread through one channel and are taken between steps, updates come back through one
//! channel per submission. Nobody waits for a step in order to submit.

mod metrics;
mod submission;
mod worker;

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use phial_engine::{Engine, Rejected, Request, TokenLogprobs, Usage};
use phial_model::Forward;
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::exchange::Exchange;
use crate::tally::Share;

pub(crate) use metrics::EngineMetrics;
pub(crate) use submission::Submission;

/// The way to an engine on its own thread. Clones lead to the same one; the thread ends when it is
/// told to, or when the last of them is gone.
#[derive(Clone)]
pub struct EngineHandle {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
}

/// How an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// At work, or ready for it.
    Running,
    /// Told to end.
    Stopped,
    /// It panicked; every request has ended and none is taken.
    Failed,
}

/// What the thread and the handles both see.
struct Shared {
    state: AtomicU8,
    /// Requests that a submission holds a place for.
    admitted: AtomicUsize,
    admitted_max: usize,
    /// Requests that the engine holds.
    active: AtomicUsize,
    next_ticket: AtomicU64,
    context_tokens: usize,
    metrics: EngineMetrics,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Names a request from before the engine has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Ticket(u64);

enum Command {
    Submit { ticket: Ticket, request: Box<Request>, client: Client },
    Cancel(Ticket),
    Stop,
}

/// Where the updates of a request go.
struct Client {
    index: usize,
    updates: UnboundedSender<(usize, Update)>,
    timing: metrics::Timing,
    /// Ends with the request, whatever becomes of its client.
    share: Option<Share>,
}

/// What a submission hears of one of its requests.
#[derive(Debug)]
pub(crate) enum Update {
    /// The request has had its first part in a step.
    Started,
    /// Log-probabilities of the next tokens of the prompt.
    PromptLogprobs(Vec<TokenLogprobs>),
    /// The mean of the hidden states of the prompt.
    PromptHidden(Vec<f32>),
    /// A token was generated, and some text may have become certain.
    Token { token: phial_engine::TokenId, text: String, logprobs: Option<TokenLogprobs> },
    /// The request is done.
    Finished { reason: phial_engine::FinishReason, text: String, usage: Usage },
    /// The engine does not take the request.
    Rejected(Rejected),
}

/// Why the engine cannot be asked, or stopped answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum SubmitError {
    #[error("the queue is full")]
    Full,
    #[error("the request took too long")]
    TimedOut,
    #[error("the request waited too long")]
    QueueTimedOut,
    #[error("the engine is stopped")]
    Stopped,
    #[error("the engine has failed")]
    Failed,
}

impl SubmitError {
    /// As errors of the API name it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Full => "rate_limit_exceeded",
            Self::TimedOut => "request_timeout",
            Self::QueueTimedOut => "queue_timeout",
            Self::Stopped => "server_shutting_down",
            Self::Failed => "internal_error",
        }
    }
}

impl EngineHandle {
    /// Gives `engine` a thread.
    ///
    /// No more requests are let in than the engine would take, so that a full queue is known
    /// before an answer begins.
    ///
    /// # Panics
    /// When the system has no thread to give.
    pub fn start<M: Forward + ?Sized + 'static>(engine: Engine<M>) -> Self {
        let (commands, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            state: AtomicU8::new(EngineState::Running as u8),
            admitted: AtomicUsize::new(0),
            admitted_max: engine.limits().running_max + engine.limits().waiting_max,
            active: AtomicUsize::new(0),
            next_ticket: AtomicU64::new(0),
            context_tokens: engine.context_tokens(),
            metrics: EngineMetrics::new(),
            thread: Mutex::new(None),
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || worker::run(engine, inbox, &for_thread))
            .expect("a thread for the engine");
        shared.keep_thread(thread);
        Self { commands, shared }
    }

    /// Tokens of a sequence at most.
    pub fn context_tokens(&self) -> usize {
        self.shared.context_tokens
    }

    /// How the engine is.
    pub fn state(&self) -> EngineState {
        self.shared.state()
    }

    /// Requests that are let in at a time, running and waiting together.
    pub fn requests_max(&self) -> usize {
        self.shared.admitted_max
    }

    /// Requests that the engine works on or keeps waiting.
    pub fn requests_active(&self) -> usize {
        self.shared.active.load(Ordering::Acquire)
    }

    pub(crate) fn metrics(&self) -> &EngineMetrics {
        &self.shared.metrics
    }

    /// Requests that wait for their turn.
    pub fn requests_waiting(&self) -> usize {
        self.shared.metrics.requests_waiting.get().unsigned_abs() as usize
    }

    /// Ends all requests with an error, and then the thread. Does not wait for it.
    pub fn stop(&self) {
        // A thread that is gone needs no telling.
        let _ = self.commands.send(Command::Stop);
    }

    /// Waits for the thread to end; at once the second time.
    pub fn join(&self) {
        if let Some(thread) = self.shared.take_thread() {
            // The panic of an engine is caught and reported within the thread.
            let _ = thread.join();
        }
    }

    /// Asks for all of `requests` or none; updates name them by their index. `prompts` has the
    /// index of the prompt of each, for the bill. `exchange` says how long it may take, and is told
    /// what comes of it.
    pub(crate) fn submit(
        &self,
        requests: Vec<Request>,
        prompts: &[usize],
        exchange: &Exchange,
    ) -> Result<Submission, SubmitError> {
        let count = requests.len();
        exchange.submitted(&requests);
        self.shared.admit(count)?;
        let first = self.shared.next_ticket.fetch_add(count as u64, Ordering::Relaxed);
        let (sender, updates) = unbounded_channel();
        // From here on the submission gives the places back, whatever happens.
        let submission = Submission::new(self.clone(), exchange.clone(), first, count, updates);
        let mut shares = exchange.shares(prompts).into_iter();
        for (index, request) in requests.into_iter().enumerate() {
            let ticket = Ticket(first + index as u64);
            let timing = metrics::Timing::new(request.prompt.len());
            let client = Client { index, updates: sender.clone(), timing, share: shares.next() };
            let command = Command::Submit { ticket, request: Box::new(request), client };
            self.commands.send(command).map_err(|_| self.shared.gone())?;
        }
        Ok(submission)
    }
}

impl fmt::Debug for EngineHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EngineHandle")
            .field("state", &self.state())
            .field("requests_active", &self.requests_active())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> EngineState {
        match self.state.load(Ordering::Acquire) {
            state if state == EngineState::Running as u8 => EngineState::Running,
            state if state == EngineState::Failed as u8 => EngineState::Failed,
            _ => EngineState::Stopped,
        }
    }

    fn set_state(&self, state: EngineState) {
        self.state.store(state as u8, Ordering::Release);
    }

    /// Why there is no thread to talk to any more. It sets its state before it goes.
    fn gone(&self) -> SubmitError {
        match self.state() {
            EngineState::Failed => SubmitError::Failed,
            EngineState::Running | EngineState::Stopped => SubmitError::Stopped,
        }
    }

    fn admit(&self, count: usize) -> Result<(), SubmitError> {
        if self.state() != EngineState::Running {
            return Err(self.gone());
        }
        let room = |admitted: usize| Some(admitted + count).filter(|&sum| sum <= self.admitted_max);
        self.admitted
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .map(drop)
            .map_err(|_| SubmitError::Full)
    }

    fn keep_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
