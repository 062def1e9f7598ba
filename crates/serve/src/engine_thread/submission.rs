//! What an answer holds of the engine while it is being made.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Command, EngineHandle, SubmitError, Ticket, Update};

/// Requests that belong to one answer. Dropping it, as happens when the client goes away, cancels
/// what is not done.
pub(crate) struct Submission {
    engine: EngineHandle,
    first_ticket: u64,
    /// Per request, whether more is to come.
    open: Vec<bool>,
    /// Bounded in effect: an engine makes no more updates than a request asked for tokens.
    updates: UnboundedReceiver<(usize, Update)>,
}

impl Submission {
    pub(super) fn new(
        engine: EngineHandle,
        first_ticket: u64,
        count: usize,
        updates: UnboundedReceiver<(usize, Update)>,
    ) -> Self {
        Self { engine, first_ticket, open: vec![true; count], updates }
    }

    /// The next update, with the index of its request. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<(usize, Update), SubmitError> {
        let Some((index, update)) = self.updates.recv().await else {
            return Err(self.engine.shared.gone());
        };
        if matches!(update, Update::Finished { .. } | Update::Rejected(_)) {
            self.open[index] = false;
            self.engine.shared.admitted.fetch_sub(1, Ordering::AcqRel);
        }
        Ok((index, update))
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
