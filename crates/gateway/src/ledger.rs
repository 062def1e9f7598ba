//! The only thing that moves money.
//!
//! A request is reserved for in one transaction that checks balances and limits, runs as an
//! [`OpenRequest`], and is settled when the last handle of that is gone. Every change of a balance
//! is a row of the table `ledger`; balances are the sums of rows, kept beside them in the same
//! transaction. What a running request has taken is in the `journal` of its node, so that a process
//! that is killed loses nothing: its next start settles by it. A node that does not come back is
//! settled by the others, by what it told last; if it comes back all the same, what it knows beyond that
//! is added, once.

mod books;
mod journal;
#[cfg(test)]
mod late_tests;
mod open_request;
mod price;
mod recovery;
mod statements;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::clock::unix_millis;
use crate::secrets::{hex, random_bytes};
use crate::storage::{Database, StorageError};
use crate::upstream::Demand;
use books::{Hold, Wish};
use journal::Journal;
use open_request::{Order, ReserveOrder};
use writer::Writer;

pub(crate) use books::{ENABLED, Refused};
pub(crate) use open_request::{Finish, OpenRequest, Reservation};
pub(crate) use price::{PRICE_MAX, Price};

/// What a request asks of the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub user: i64,
    pub key: i64,
    /// The version of the key that was checked.
    pub key_version: i64,
    pub price: Price,
    pub demand: Demand,
    pub model: Arc<str>,
    pub route: Arc<str>,
    pub stream: bool,
}

/// The ledger of a node.
pub(crate) struct Ledger {
    orders: mpsc::UnboundedSender<Order>,
}

impl Ledger {
    /// Opens the ledger of `node`, whose journal lies in `folder`, and settles what the last
    /// process of this node left open.
    pub async fn open(
        database: Arc<dyn Database>,
        folder: &Path,
        node: String,
    ) -> Result<Self, StorageError> {
        let file = folder.join("journal");
        let (journal, left) = Journal::open(&file).map_err(StorageError::file(&file))?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let writer = Arc::new(Writer {
            database,
            journal: Arc::new(journal),
            node,
            orders: orders.downgrade(),
        });
        recovery::settle_own(&writer, &left).await?;
        writer.journal.clear().map_err(StorageError::file(&file))?;
        recovery::begin_lease(&writer).await?;
        tokio::spawn(recovery::keep_lease(Arc::clone(&writer)));
        tokio::spawn(async move { writer.run(inbox).await });
        Ok(Self { orders })
    }

    /// Sets aside what a request can take at most, or says why not.
    pub async fn reserve(&self, charge: Charge) -> Result<OpenRequest, Refused> {
        let now = unix_millis();
        let Charge { user, key, key_version, price, demand, model, route, stream } = charge;
        let request = hex(&random_bytes::<16>());
        let hold = Hold { money: 0, tokens: 0 };
        let reservation =
            Reservation { request, at: now, user, key, hold, price, model, route, stream };
        let wish = Wish { key_version, price, demand, now };
        let (reply, answer) = oneshot::channel();
        let order = Order::Reserve(Box::new(ReserveOrder { reservation, wish, reply }));
        self.orders.send(order).map_err(|_| Refused::Unavailable)?;
        answer.await.map_err(|_| Refused::Unavailable)?
    }

    /// Waits until all that has ended is settled.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_ok() {
            // Gone means that there is nothing left to wait for.
            let _ = flushed.await;
        }
    }
}
