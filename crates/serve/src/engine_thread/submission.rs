//! What an answer holds of the engine while it is being made.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Command, EngineHandle, SubmitError, Ticket, Update};
use crate::exchange::Exchange;

/// Requests that belong to one answer. Dropping it, as happens when the client goes away, cancels
/// what is not done.
pub(crate) struct Submission {
    engine: EngineHandle,
    exchange: Exchange,
    /// Until when the engine must have begun; `None` also once it has.
    queue_deadline: Option<Instant>,
    first_ticket: u64,
    /// Per request, whether more is to come.
    open: Vec<bool>,
    /// Bounded in effect: an engine makes no more updates than a request asked for tokens.
    updates: UnboundedReceiver<(usize, Update)>,
}

impl Submission {
    pub(super) fn new(
        engine: EngineHandle,
        exchange: Exchange,
        first_ticket: u64,
        count: usize,
        updates: UnboundedReceiver<(usize, Update)>,
    ) -> Self {
        let queue_deadline = exchange.queue_deadline();
        Self { engine, exchange, queue_deadline, first_ticket, open: vec![true; count], updates }
    }

    /// The next update, with the index of its request. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<(usize, Update), SubmitError> {
        let (index, update) = self.receive().await.inspect_err(|error| {
            self.exchange.failed(error.code());
        })?;
        match &update {
            Update::Started => self.queue_deadline = None,
            Update::Token { text, .. } => {
                self.exchange.token();
                self.exchange.said(index, text);
            }
            Update::Finished { reason, text, usage } => {
                self.exchange.said(index, text);
                self.exchange.choice_finished(reason, usage);
            }
            Update::Rejected(_) | Update::PromptLogprobs(_) | Update::PromptHidden(_) => {}
        }
        if matches!(update, Update::Finished { .. } | Update::Rejected(_)) {
            self.open[index] = false;
            self.engine.shared.admitted.fetch_sub(1, Ordering::AcqRel);
        }
        Ok((index, update))
    }

    async fn receive(&mut self) -> Result<(usize, Update), SubmitError> {
        let received = match self.queue_deadline.or(self.exchange.deadline()) {
            None => self.updates.recv().await,
            Some(deadline) => tokio::time::timeout_at(deadline.into(), self.updates.recv())
                .await
                .map_err(|_| match self.queue_deadline {
                Some(_) => SubmitError::QueueTimedOut,
                None => SubmitError::TimedOut,
            })?,
        };
        received.ok_or_else(|| self.engine.shared.gone())
    }

    /// Whether every request is done.
    pub(crate) fn is_done(&self) -> bool {
        !self.open.contains(&true)
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        for index in (0..self.open.len()).filter(|&index| self.open[index]) {
            let ticket = Ticket(self.first_ticket + index as u64);
            // A thread that is gone has nothing to cancel.
            let _ = self.engine.commands.send(Command::Cancel(ticket));
            // Only now: whoever takes the place comes after the cancellation in the channel.
            self.engine.shared.admitted.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
