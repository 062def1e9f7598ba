//! A request that runs, from its reservation to its settlement.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::Instant;

use phial_openai::metering::{TokenCounts, UsageSink};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::books::{Hold, Refused, Wish};
use super::journal::{Journal, RequestId, Slot};
use super::price::Price;

/// What is written of a reservation, and needed again to settle it.
#[derive(Clone, Debug)]
pub(crate) struct Reservation {
    pub request: RequestId,
    /// Milliseconds since the epoch.
    pub at: i64,
    pub user: i64,
    pub key: i64,
    pub hold: Hold,
    pub price: Price,
    pub model: Arc<str>,
    pub route: Arc<str>,
    pub stream: bool,
}

/// Something for the writer to do.
pub(crate) enum Order {
    Reserve(Box<ReserveOrder>),
    Settle(Box<Settlement>),
    /// Tells when everything that came before is done.
    Flush(oneshot::Sender<()>),
}

pub(crate) struct ReserveOrder {
    /// With nothing held yet.
    pub reservation: Reservation,
    pub wish: Wish,
    pub reply: oneshot::Sender<Result<OpenRequest, Refused>>,
}

/// How an answer ended, in the words of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Finish {
    /// Nobody was there any more to take it.
    Aborted,
    /// To its end.
    Stop,
    /// With a status that says so, or in the middle.
    Error,
    /// The process ended in the middle.
    Lost,
    /// Another node took it for lost, and its own knew more.
    Late,
}

impl Finish {
    pub fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Stop => "stop",
            Self::Error => "error",
            Self::Lost => "lost",
            Self::Late => "late",
        }
    }
}

/// What is to be settled.
#[derive(Clone, Debug)]
pub(crate) struct Settlement {
    pub reservation: Reservation,
    pub counts: TokenCounts,
    pub status: i64,
    pub finish: Finish,
    pub duration_ms: i64,
    pub first_token_ms: i64,
    /// Where it is journalled by this process.
    pub slot: Option<Slot>,
    /// Another node's request: that one may come back and know more.
    pub is_foreign: bool,
}

/// A request that runs. When the last handle is gone it is settled by what was reported last:
/// whichever way a request ends, this is the only one.
pub(crate) struct OpenRequest {
    reservation: Reservation,
    journal: Arc<Journal>,
    slot: Slot,
    orders: UnboundedSender<Order>,
    started: Instant,
    first_token_ms: AtomicI64,
    status: AtomicI64,
    finish: AtomicU8,
}

impl OpenRequest {
    pub fn new(
        reservation: Reservation,
        journal: Arc<Journal>,
        slot: Slot,
        orders: UnboundedSender<Order>,
    ) -> Self {
        Self {
            reservation,
            journal,
            slot,
            orders,
            started: Instant::now(),
            first_token_ms: AtomicI64::new(0),
            status: AtomicI64::new(0),
            finish: AtomicU8::new(Finish::Aborted as u8),
        }
    }

    pub fn request(&self) -> &RequestId {
        &self.reservation.request
    }

    /// The head of the answer is there.
    pub fn answered(&self, status: u16) {
        self.status.store(i64::from(status), Ordering::Relaxed);
    }

    /// The first bytes of the answer are there.
    pub fn first_bytes(&self) {
        let now = self.elapsed_ms();
        // Only the first time counts; nothing else is to be ordered with it.
        let _ = self.first_token_ms.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The answer has ended so; without, its client went away.
    pub fn ended(&self, finish: Finish) {
        self.finish.store(finish as u8, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

impl UsageSink for OpenRequest {
    fn report(&self, counts: TokenCounts) {
        self.journal.report(self.slot, counts);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let finish = match self.finish.load(Ordering::Relaxed) {
            code if code == Finish::Stop as u8 => Finish::Stop,
            code if code == Finish::Error as u8 => Finish::Error,
            _ => Finish::Aborted,
        };
        let settlement = Settlement {
            reservation: self.reservation.clone(),
            counts: self.journal.counts(self.slot),
            status: self.status.load(Ordering::Relaxed),
            finish,
            duration_ms: self.elapsed_ms(),
            first_token_ms: self.first_token_ms.load(Ordering::Relaxed),
            slot: Some(self.slot),
            is_foreign: false,
        };
        if self.orders.send(Order::Settle(Box::new(settlement))).is_err() {
            // The journal has it, and the next start settles it.
            tracing::error!("the ledger has ended before a request that it holds");
        }
    }
}
