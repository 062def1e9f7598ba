//! The one task of a node that writes reservations and settlements: it takes all that have come
//! meanwhile into one transaction, so that the more there is to do, the less each costs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use phial_openai::metering::TokenCounts;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::books::{self, Hold, KeyState, Refused, Settled, UserState};
use super::journal::Journal;
use super::open_request::{Finish, OpenRequest, Order, Reservation, ReserveOrder, Settlement};
use super::{recovery, statements};
use crate::clock::unix_millis;
use crate::storage::{
    Columns, Database, Field, List, Row, StorageError, Transaction, fields, values,
};

/// Orders of one transaction at most.
const BATCH_MAX: usize = 512;

/// How long settlements wait for a reservation to share a transaction with. Nobody waits for them,
/// and a reservation that came while one is written would.
const GATHER_TIME: Duration = Duration::from_millis(2);

/// How long to leave a database alone that did not do what it was asked.
const RETRY_DELAY: Duration = Duration::from_millis(200);

pub(super) struct Writer {
    pub database: Arc<dyn Database>,
    pub journal: Arc<Journal>,
    pub node: String,
    /// Given to the requests that are let in.
    pub orders: mpsc::WeakUnboundedSender<Order>,
}

/// Changes of one transaction, as they are worked out.
#[derive(Default)]
struct Batch {
    users: BTreeMap<i64, UserState>,
    keys: BTreeMap<i64, KeyState>,
    reserved: List,
    rows: List,
    lost: List,
}

/// Orders of the next transaction; false: there are no more.
async fn gather(inbox: &mut mpsc::UnboundedReceiver<Order>, orders: &mut Vec<Order>) -> bool {
    if inbox.recv_many(orders, BATCH_MAX).await == 0 {
        return false;
    }
    let deadline = Instant::now() + GATHER_TIME;
    while orders.len() < BATCH_MAX && orders.iter().all(|order| matches!(order, Order::Settle(_))) {
        let room = BATCH_MAX - orders.len();
        let came = timeout_at(deadline, inbox.recv_many(orders, room)).await;
        if !came.is_ok_and(|count| count > 0) {
            break;
        }
    }
    true
}

impl Writer {
    pub async fn run(&self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut orders = Vec::with_capacity(BATCH_MAX);
        while gather(&mut inbox, &mut orders).await {
            let (mut reserves, mut settlements, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
            for order in orders.drain(..) {
                match order {
                    Order::Reserve(order) => reserves.push(*order),
                    Order::Settle(settlement) => settlements.push(*settlement),
                    Order::Flush(done) => flushes.push(done),
                }
            }
            match self.write(&reserves, &settlements).await {
                Ok(outcomes) => self.reply(reserves, outcomes),
                Err(error) => {
                    tracing::error!(%error, "requests cannot be accounted for");
                    for order in reserves {
                        // Whoever asked may be gone.
                        let _ = order.reply.send(Err(Refused::Unavailable));
                    }
                    self.settle_until_done(&settlements).await;
                }
            }
            for slot in settlements.iter().filter_map(|settlement| settlement.slot) {
                self.journal.end(slot);
            }
            for done in flushes {
                let _ = done.send(());
            }
        }
    }

    /// Settlements must be written, whatever happens; nothing new is let in before. After the end
    /// of the gateway they are left to the journal, and the next start settles them.
    async fn settle_until_done(&self, settlements: &[Settlement]) {
        while !settlements.is_empty() {
            tokio::time::sleep(RETRY_DELAY).await;
            match self.write(&[], settlements).await {
                Ok(_) => break,
                Err(error) if error.is_closed() => break,
                Err(error) => tracing::error!(%error, "requests cannot be settled"),
            }
        }
    }

    /// Answers whoever waits. A client that is gone meanwhile drops its request, which settles it.
    fn reply(&self, reserves: Vec<ReserveOrder>, outcomes: Vec<Result<Hold, Refused>>) {
        for (order, outcome) in reserves.into_iter().zip(outcomes) {
            let opened = outcome.and_then(|hold| {
                let reservation = Reservation { hold, ..order.reservation };
                self.open(reservation)
            });
            let _ = order.reply.send(opened);
        }
    }

    fn open(&self, reservation: Reservation) -> Result<OpenRequest, Refused> {
        // The ledger is there as long as anybody can ask it.
        let orders = self.orders.upgrade().ok_or(Refused::Unavailable)?;
        match self.journal.begin(&reservation.request) {
            Ok(slot) => Ok(OpenRequest::new(reservation, Arc::clone(&self.journal), slot, orders)),
            Err(error) => {
                tracing::error!(%error, "the journal of running requests cannot be written");
                let settlement = Settlement::of_nothing(reservation);
                let _ = orders.send(Order::Settle(Box::new(settlement)));
                Err(Refused::Unavailable)
            }
        }
    }

    /// Writes all of it or nothing.
    pub async fn write(
        &self,
        reserves: &[ReserveOrder],
        settlements: &[Settlement],
    ) -> Result<Vec<Result<Hold, Refused>>, StorageError> {
        if reserves.is_empty() && settlements.is_empty() {
            return Ok(Vec::new());
        }
        let ids = |id: fn(&Reservation) -> i64| {
            let reserved = reserves.iter().map(|order| id(&order.reservation));
            let settled = settlements.iter().map(|settlement| id(&settlement.reservation));
            let all: BTreeSet<i64> = reserved.chain(settled).collect();
            list(all)
        };
        let ended = list(settlements.iter().map(|s| s.reservation.request.as_str()))?;
        let lists = vec![ids(|reservation| reservation.user)?, ids(|r| r.key)?, ended];
        let (mut transaction, found) = self.database.begin_with(&statements::BEGIN, lists).await?;
        let Ok([users, keys, ended]) = <[Vec<Row>; 3]>::try_from(found) else {
            return Err(StorageError::Shape("too few answers"));
        };
        let mut batch = Batch::read(users, keys)?;
        self.settle(&mut batch, &mut *transaction, settlements, ended).await?;
        let outcomes = reserves.iter().map(|order| batch.reserve(order, &self.node));
        let outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
        match batch.rows.is_empty() {
            true => transaction.commit().await?,
            false => transaction.commit_with(&statements::COMMIT, batch.lists()?).await?,
        }
        Ok(outcomes)
    }

    /// Settles those whose reservations have `ended` here.
    async fn settle(
        &self,
        batch: &mut Batch,
        transaction: &mut dyn Transaction,
        settlements: &[Settlement],
        ended: Vec<Row>,
    ) -> Result<(), StorageError> {
        let ended = ended.into_iter().map(|row| row.columns().text());
        let ended = ended.collect::<Result<HashSet<_>, _>>()?;
        let (own, late): (Vec<_>, Vec<_>) =
            settlements.iter().partition(|s| ended.contains(&s.reservation.request));
        // Whoever comes second finds nothing to settle: no request is paid for twice.
        for settlement in own {
            batch.settle(settlement)?;
        }
        self.settle_late(batch, transaction, &late).await
    }

    /// What others settled while this node could not be seen: as lost, then what is known here and
    /// was not there is added, once; else they knew all.
    async fn settle_late(
        &self,
        batch: &mut Batch,
        transaction: &mut dyn Transaction,
        late: &[&Settlement],
    ) -> Result<(), StorageError> {
        let own: Vec<_> = late.iter().filter(|settlement| !settlement.is_foreign).collect();
        if own.is_empty() {
            return Ok(());
        }
        let requests: Vec<&str> = own.iter().map(|s| s.reservation.request.as_str()).collect();
        let end = statements::END_LOST.of(self.database.dialect());
        let mut lost = HashMap::new();
        for row in transaction.query(end, values![json!(requests).to_string()]).await? {
            let mut row = row.columns();
            let request = row.text()?;
            lost.insert(request, recovery::read_counts(&mut row)?);
        }
        for settlement in own {
            let request = &settlement.reservation.request;
            tracing::warn!(request, "another node has settled this request already");
            if let Some(settled) = lost.remove(request) {
                batch.correct(settlement, settled)?;
            }
        }
        Ok(())
    }
}

impl Batch {
    fn read(users: Vec<Row>, keys: Vec<Row>) -> Result<Self, StorageError> {
        let mut batch = Self::default();
        for row in users {
            let user = read_user(&mut row.columns())?;
            batch.users.insert(user.id, user);
        }
        for row in keys {
            let key = read_key(&mut row.columns())?;
            batch.keys.insert(key.id, key);
        }
        Ok(batch)
    }

    /// What the statements of `COMMIT` take.
    fn lists(self) -> Result<Vec<List>, StorageError> {
        let users = list(self.users.values().map(user_fields))?;
        let keys = list(self.keys.values().map(key_fields))?;
        Ok(vec![users, keys, self.reserved, self.rows, self.lost])
    }

    /// What is set aside, or why nothing is.
    fn reserve(
        &mut self,
        order: &ReserveOrder,
        node: &str,
    ) -> Result<Result<Hold, Refused>, StorageError> {
        let reservation = &order.reservation;
        let found = (self.users.get_mut(&reservation.user), self.keys.get_mut(&reservation.key));
        let (Some(user), Some(key)) = found else { return Ok(Err(Refused::Stale)) };
        let hold = match books::reserve(user, key, &order.wish) {
            Ok(hold) => hold,
            Err(refused) => return Ok(Err(refused)),
        };
        let Reservation { request, at, price, model, route, stream, .. } = reservation;
        let (user, key) = (user.id, key.id);
        self.reserved.push(&fields![
            request.as_str(),
            node,
            *at,
            user,
            key,
            hold.money,
            hold.tokens,
            price.input,
            price.cached_input,
            price.output,
            &**model,
            &**route,
            *stream,
        ])?;
        self.rows.push(&fields![
            *at,
            "reserve",
            user,
            key,
            request.as_str(),
            -hold.money,
            -hold.money,
            -hold.tokens,
            0_i64,
            0_i64,
            0_i64,
            0_i64,
            &**model,
            &**route,
            *stream,
            0_i64,
            "",
            0_i64,
            0_i64,
        ])?;
        Ok(Ok(hold))
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<(), StorageError> {
        let reservation = &settlement.reservation;
        let found = (self.users.get_mut(&reservation.user), self.keys.get_mut(&reservation.key));
        let (Some(user), Some(key)) = found else {
            // Users and keys are marked, never removed.
            tracing::error!(request = reservation.request, "whose request this was is not known");
            return Ok(());
        };
        let counts = settlement.counts;
        let settled = books::settle(user, key, reservation.hold, reservation.price, counts);
        if reservation.price.cost(counts) > settled.cost {
            let request = &reservation.request;
            tracing::warn!(request, "an upstream counted more than can have been used");
        }
        self.rows.push(&settled_row(settlement, settlement.finish, settled, counts))?;
        if settlement.is_foreign {
            self.lost.push(&lost_row(settlement))?;
        }
        Ok(())
    }

    /// Takes what a request used beyond what it was `settled` to, as far as it is there.
    fn correct(
        &mut self,
        settlement: &Settlement,
        settled: TokenCounts,
    ) -> Result<(), StorageError> {
        let reservation = &settlement.reservation;
        let found = (self.users.get_mut(&reservation.user), self.keys.get_mut(&reservation.key));
        let (Some(user), Some(key)) = found else { return Ok(()) };
        let counts = settlement.counts;
        let Reservation { hold, price, .. } = *reservation;
        let corrected = books::correct(user, key, hold, price, settled, counts);
        if corrected.owed > corrected.taken.cost {
            let request = &reservation.request;
            tracing::warn!(request, "not all that this request used is there any more");
        }
        let more = TokenCounts {
            prompt_tokens: counts.prompt_tokens.saturating_sub(settled.prompt_tokens),
            cached_tokens: counts.cached_tokens.saturating_sub(settled.cached_tokens),
            completion_tokens: counts.completion_tokens.saturating_sub(settled.completion_tokens),
        };
        if more != TokenCounts::default() {
            self.rows.push(&settled_row(settlement, Finish::Late, corrected.taken, more))?;
        }
        Ok(())
    }
}

/// All of these, to be bound.
fn list<T: serde::Serialize>(items: impl IntoIterator<Item = T>) -> Result<List, StorageError> {
    let mut list = List::default();
    for item in items {
        list.push(&item)?;
    }
    Ok(list)
}

fn settled_row(
    settlement: &Settlement,
    finish: Finish,
    settled: Settled,
    counts: TokenCounts,
) -> [Field<'_>; 19] {
    let reservation = &settlement.reservation;
    fields![
        unix_millis(),
        "settle",
        reservation.user,
        reservation.key,
        reservation.request.as_str(),
        settled.money_back,
        settled.money_back,
        settled.tokens_back,
        settled.cost,
        counts.prompt_tokens,
        counts.cached_tokens,
        counts.completion_tokens,
        &*reservation.model,
        &*reservation.route,
        reservation.stream,
        settlement.status,
        finish.name(),
        settlement.duration_ms,
        settlement.first_token_ms,
    ]
}

fn lost_row(settlement: &Settlement) -> [Field<'_>; 16] {
    let Reservation { request, at, user, key, hold, price, model, route, stream } =
        &settlement.reservation;
    let counts = settlement.counts;
    fields![
        request.as_str(),
        unix_millis(),
        *at,
        *user,
        *key,
        hold.money,
        hold.tokens,
        price.input,
        price.cached_input,
        price.output,
        &**model,
        &**route,
        *stream,
        counts.prompt_tokens,
        counts.cached_tokens,
        counts.completion_tokens,
    ]
}

fn read_user(row: &mut Columns) -> Result<UserState, StorageError> {
    Ok(UserState {
        id: row.int()?,
        status: row.int()?,
        balance: row.int()?,
        unlimited: row.yes()?,
        used: row.int()?,
        requests: row.int()?,
    })
}

fn read_key(row: &mut Columns) -> Result<KeyState, StorageError> {
    Ok(KeyState {
        id: row.int()?,
        status: row.int()?,
        deleted: row.yes()?,
        version: row.int()?,
        expires_at: row.int()?,
        balance: row.int()?,
        unlimited: row.yes()?,
        used: row.int()?,
        token_balance: row.int()?,
        unlimited_tokens: row.yes()?,
        requests_per_minute: row.int()?,
        tokens_per_minute: row.int()?,
        parallel_requests: row.int()?,
        open_requests: row.int()?,
        requests_earned_at: row.int()?,
        tokens_earned_at: row.int()?,
        accessed_at: row.int()?,
    })
}

fn user_fields(user: &UserState) -> [i64; 4] {
    [user.id, user.balance, user.used, user.requests]
}

fn key_fields(key: &KeyState) -> [i64; 8] {
    [
        key.id,
        key.balance,
        key.used,
        key.token_balance,
        key.open_requests,
        key.requests_earned_at,
        key.tokens_earned_at,
        key.accessed_at,
    ]
}
