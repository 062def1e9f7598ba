//! What becomes of reservations whose process ended before them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use phial_openai::metering::TokenCounts;
use serde_json::json;

use super::books::Hold;
use super::journal::RequestId;
use super::open_request::{Finish, Reservation, Settlement};
use super::price::Price;
use super::statements;
use super::writer::Writer;
use crate::clock::unix_millis;
use crate::storage::{Columns, Row, StorageError, values};

/// How often a node tells that it is there, and what its requests have taken.
const TELL_INTERVAL: Duration = Duration::from_secs(2);

/// A node that has not told for so long is gone, and others settle what it left.
const LEASE: Duration = Duration::from_secs(20);

/// How long it is known what a lost request was settled to, for its node to come back.
const LATE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

impl Settlement {
    /// A request that took nothing.
    pub fn of_nothing(reservation: Reservation) -> Self {
        Self {
            reservation,
            counts: TokenCounts::default(),
            status: 0,
            finish: Finish::Lost,
            duration_ms: 0,
            first_token_ms: 0,
            slot: None,
            is_foreign: false,
        }
    }
}

/// Settles what the last process of this node left open, by its journal. A request that the
/// journal does not know had not begun.
pub(super) async fn settle_own(
    writer: &Writer,
    journal: &HashMap<RequestId, TokenCounts>,
) -> Result<(), StorageError> {
    let node = writer.node.as_str();
    let rows = writer.database.read(statements::RESERVATIONS_OF_NODE, values![node]).await?;
    let mut settlements = Vec::with_capacity(rows.len());
    for row in rows {
        let mut settlement = read(row)?;
        if let Some(counts) = journal.get(&settlement.reservation.request) {
            settlement.counts = settlement.counts.max(*counts);
        }
        settlements.push(settlement);
    }
    if !settlements.is_empty() {
        tracing::warn!(requests = settlements.len(), "settling what the last process left open");
    }
    for some in settlements.chunks(256) {
        writer.write(&[], some).await?;
    }
    settle_late(writer, journal).await
}

/// Settles what other nodes took for lost while this one was away, where its journal knows more.
async fn settle_late(
    writer: &Writer,
    journal: &HashMap<RequestId, TokenCounts>,
) -> Result<(), StorageError> {
    if journal.is_empty() {
        return Ok(());
    }
    let requests: Vec<_> = journal.keys().collect();
    let lost = statements::LOST.of(writer.database.dialect());
    let rows = writer.database.read(lost, values![json!(requests).to_string()]).await?;
    let settlements = rows.into_iter().map(|row| {
        let settlement = read(row)?;
        let counts = journal.get(&settlement.reservation.request).copied().unwrap_or_default();
        Ok(Settlement { counts: settlement.counts.max(counts), ..settlement })
    });
    let settlements = settlements.collect::<Result<Vec<_>, StorageError>>()?;
    for some in settlements.chunks(256) {
        writer.write(&[], some).await?;
    }
    Ok(())
}

/// Says that this node is there.
pub(super) async fn begin_lease(writer: &Writer) -> Result<(), StorageError> {
    let until = unix_millis() + LEASE.as_millis() as i64;
    let mut transaction = writer.database.begin().await?;
    let node = writer.node.as_str();
    transaction.execute(statements::RENEW_LEASE, values![node, until]).await?;
    transaction.commit().await
}

/// Tells of this node as long as its ledger is there, and settles what others left.
pub(super) async fn keep_lease(writer: Arc<Writer>) {
    while writer.orders.upgrade().is_some() {
        tokio::time::sleep(TELL_INTERVAL).await;
        let told = async {
            begin_lease(&writer).await?;
            tell_counts(&writer).await?;
            settle_the_gone(&writer).await
        };
        if let Err(error) = told.await {
            tracing::error!(%error, "other nodes cannot be told of this one");
        }
    }
}

async fn tell_counts(writer: &Writer) -> Result<(), StorageError> {
    let running: Vec<_> = writer
        .journal
        .running()
        .into_iter()
        .filter(|(_, counts)| *counts != TokenCounts::default())
        .map(|(request, counts)| {
            let TokenCounts { prompt_tokens, cached_tokens, completion_tokens } = counts;
            json!([request, prompt_tokens, cached_tokens, completion_tokens])
        })
        .collect();
    if running.is_empty() {
        return Ok(());
    }
    let mut transaction = writer.database.begin().await?;
    let sql = statements::TELL_COUNTS.of(writer.database.dialect());
    transaction.execute(sql, values![json!(running).to_string()]).await?;
    transaction.commit().await
}

pub(super) async fn settle_the_gone(writer: &Writer) -> Result<(), StorageError> {
    let now = unix_millis();
    let sql = statements::RESERVATIONS_OF_THE_GONE;
    let rows = writer.database.read(sql, values![now]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    tracing::warn!(requests = rows.len(), "settling what a node left that is gone");
    let foreign = |row| Ok(Settlement { is_foreign: true, ..read(row)? });
    let settlements = rows.into_iter().map(foreign).collect::<Result<Vec<_>, StorageError>>()?;
    for some in settlements.chunks(256) {
        writer.write(&[], some).await?;
    }
    let mut transaction = writer.database.begin().await?;
    let oldest = now - LATE_MAX.as_millis() as i64;
    transaction.execute(statements::FORGET_LOST, values![oldest]).await?;
    transaction.commit().await
}

fn read(row: Row) -> Result<Settlement, StorageError> {
    let mut row = row.columns();
    let reservation = Reservation {
        request: row.text()?,
        at: row.int()?,
        user: row.int()?,
        key: row.int()?,
        hold: Hold { money: row.int()?, tokens: row.int()? },
        price: Price { input: row.int()?, cached_input: row.int()?, output: row.int()? },
        model: row.text()?.into(),
        route: row.text()?.into(),
        stream: row.yes()?,
    };
    let counts = read_counts(&mut row)?;
    Ok(Settlement { counts, ..Settlement::of_nothing(reservation) })
}

pub(super) fn read_counts(row: &mut Columns) -> Result<TokenCounts, StorageError> {
    let mut count = || Ok::<_, StorageError>(u64::try_from(row.int()?).unwrap_or(0));
    Ok(TokenCounts {
        prompt_tokens: count()?,
        cached_tokens: count()?,
        completion_tokens: count()?,
    })
}
