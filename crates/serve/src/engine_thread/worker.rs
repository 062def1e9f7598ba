//! What the engine's thread does.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use phial_engine::{Engine, Event, Progress, Request, RequestId};
use phial_model::Forward;

use super::{Client, Command, EngineState, Shared, Ticket, Update};
use crate::tally::Share;

/// Runs `engine` until it is told to stop, nobody is left to tell it, or it panics.
pub(super) fn run<M: Forward + ?Sized>(
    engine: Engine<M>,
    inbox: Receiver<Command>,
    shared: &Shared,
) {
    let mut worker = Worker {
        engine,
        inbox,
        shared,
        clients: HashMap::new(),
        tickets: HashMap::new(),
        unstarted: Vec::new(),
        started: Instant::now(),
    };
    // The engine is not used again after a panic, so it does not matter how it was left.
    let end = catch_unwind(AssertUnwindSafe(|| worker.work()));
    let state = if end.is_ok() { EngineState::Stopped } else { EngineState::Failed };
    // Before the channels close, which is how submissions learn of it.
    shared.set_state(state);
    shared.active.store(0, Ordering::Release);
    shared.metrics.clear();
    if state == EngineState::Failed {
        tracing::error!("the engine panicked; all requests are ended");
    }
}

struct Worker<'a, M: Forward + ?Sized> {
    engine: Engine<M>,
    inbox: Receiver<Command>,
    shared: &'a Shared,
    clients: HashMap<RequestId, (Ticket, Client)>,
    tickets: HashMap<Ticket, RequestId>,
    /// Requests whose clients have not heard that it begins.
    unstarted: Vec<RequestId>,
    started: Instant,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Order {
    Go,
    End,
}

impl<M: Forward + ?Sized> Worker<'_, M> {
    fn work(&mut self) {
        let mut events = Vec::new();
        let mut idle = true;
        while self.take_commands(idle) == Order::Go {
            let progress = self.engine.step(self.started.elapsed(), &mut events);
            idle = progress == Progress::Idle;
            self.tell_started();
            for event in events.drain(..) {
                self.deliver(event);
            }
            self.shared.active.store(self.clients.len(), Ordering::Release);
            self.shared.metrics.observe(&self.engine);
        }
    }

    /// Takes all commands that are there; `idle` waits for one.
    fn take_commands(&mut self, idle: bool) -> Order {
        let mut next = if idle {
            self.inbox.recv().map_err(TryRecvError::from)
        } else {
            self.inbox.try_recv()
        };
        loop {
            match next {
                Ok(command) => {
                    if self.take(command) == Order::End {
                        return Order::End;
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Order::End,
            }
            next = self.inbox.try_recv();
        }
        self.shared.metrics.observe(&self.engine);
        self.shared.active.store(self.clients.len(), Ordering::Release);
        Order::Go
    }

    fn take(&mut self, command: Command) -> Order {
        match command {
            Command::Submit { ticket, request, client } => self.submit(ticket, *request, client),
            Command::Cancel(ticket) => {
                if let Some(id) = self.tickets.remove(&ticket)
                    && let Some((_, mut client)) = self.clients.remove(&id)
                {
                    let has_begun = !self.engine.is_waiting(id);
                    let Some(usage) = self.engine.cancel(id) else { return Order::Go };
                    self.shared.metrics.cancelled(&client.timing, &usage);
                    if has_begun {
                        client.share.iter_mut().for_each(|share| share.ended(&usage));
                    }
                }
            }
            Command::Stop => return Order::End,
        }
        Order::Go
    }

    fn submit(&mut self, ticket: Ticket, request: Request, client: Client) {
        match self.engine.submit(request, self.started.elapsed()) {
            Ok(id) => {
                self.unstarted.push(id);
                self.tickets.insert(ticket, id);
                self.clients.insert(id, (ticket, client));
            }
            Err(rejected) => client.send(Update::Rejected(rejected)),
        }
    }

    fn tell_started(&mut self) {
        let mut unstarted = std::mem::take(&mut self.unstarted);
        unstarted.retain(|&id| {
            let waits = self.engine.is_waiting(id);
            if !waits {
                self.bill_prompt(id);
                self.send(id, Update::Started);
            }
            waits
        });
        self.unstarted = unstarted;
    }

    /// Before the client can see anything that came of it.
    fn bill_prompt(&mut self, id: RequestId) {
        let usage = self.engine.usage(id);
        if let Some((_, client)) = self.clients.get_mut(&id)
            && let (Some(share), Some(usage)) = (&mut client.share, usage)
        {
            share.begun(&usage);
        }
    }

    fn send(&self, id: RequestId, update: Update) {
        // A request that was cancelled has no client.
        if let Some((_, client)) = self.clients.get(&id) {
            client.send(update);
        }
    }

    fn deliver(&mut self, event: Event) {
        let id = event.request();
        match event {
            Event::PromptLogprobs { logprobs, .. } => {
                self.send(id, Update::PromptLogprobs(logprobs));
            }
            Event::PromptHidden { mean, .. } => self.send(id, Update::PromptHidden(mean)),
            Event::Token { token, text, logprobs, .. } => {
                if let Some((_, client)) = self.clients.get_mut(&id) {
                    self.shared.metrics.token(&mut client.timing);
                    client.share.iter_mut().for_each(Share::token);
                }
                self.send(id, Update::Token { token, text, logprobs });
            }
            Event::Finished { reason, text, usage, .. } => {
                if let Some((ticket, mut client)) = self.clients.remove(&id) {
                    self.tickets.remove(&ticket);
                    self.shared.metrics.finished(&client.timing, &reason, &usage);
                    client.share.iter_mut().for_each(|share| share.ended(&usage));
                    client.send(Update::Finished { reason, text, usage });
                }
            }
        }
    }
}

impl Client {
    fn send(&self, update: Update) {
        // Without a receiver the submission was dropped, and its cancellation is on the way.
        let _ = self.updates.send((self.index, update));
    }
}
