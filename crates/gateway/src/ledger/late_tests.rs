//! Nodes that come back late, over one database.

use std::path::Path;
use std::sync::Arc;

use phial_openai::metering::{TokenCounts, UsageSink};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::journal::Journal;
use super::writer::Writer;
use super::{Charge, Ledger, OpenRequest, Price, recovery};
use crate::storage::{self, Database};
use crate::upstream::Demand;

const ADD_USER: &str = "INSERT INTO users (id, username, display_name, password, role, status,
    balance, unlimited, used, requests, created_at) VALUES (1, 'a', 'a', '', 1, 1, 1000, 0, 0, 0, 0)";
const ADD_KEY: &str = "INSERT INTO keys (id, public_id, hash, hint, user_id, name, kind, status,
    deleted, version, created_at, accessed_at, expires_at, balance, unlimited, used, token_balance,
    unlimited_tokens, model_limits_enabled, model_limits, allow_ips, adapters, modalities,
    requests_per_minute, tokens_per_minute, parallel_requests, open_requests, requests_earned_at,
    tokens_earned_at)
    VALUES (1, 'k', '', '', 1, 'k', 'key', 1, 0, 1, 0, 0, -1, 900, 0, 0, 500, 0, 0, '', '', '', '',
    0, 0, 0, 0, 0, 0)";
const END_LEASE: &str = "UPDATE nodes SET lease_until = 0 WHERE id = 'a'";
const OPEN: &str = "SELECT COUNT(*) FROM reservations";
const LOST: &str = "SELECT COUNT(*) FROM lost_requests";
const SETTLED: &str = "SELECT finish, cost, user_amount, key_amount, key_tokens, prompt_tokens,
    completion_tokens FROM ledger WHERE kind = 'settle' ORDER BY id";
const BALANCES: &str = "SELECT users.balance, users.used, users.requests, keys.balance, keys.used,
    keys.token_balance, keys.open_requests FROM users JOIN keys ON keys.user_id = users.id";

/// One unit a token, whichever.
const PRICE: Price = Price { input: 1_000_000, cached_input: 1_000_000, output: 1_000_000 };

struct Place {
    database: Arc<dyn Database>,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("accounts.sqlite");
        let database = storage::open(&file.to_string_lossy()).await.unwrap();
        let place = Self { database, folder };
        for sql in [ADD_USER, ADD_KEY] {
            place.execute(sql).await;
        }
        place
    }

    async fn execute(&self, sql: &'static str) {
        let mut transaction = self.database.begin().await.unwrap();
        transaction.execute(sql, Vec::new()).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let rows = self.database.read(sql, Vec::new()).await.unwrap();
        rows.into_iter().next().unwrap().columns().int().unwrap()
    }

    fn folder_of(&self, node: &str) -> std::path::PathBuf {
        let folder = self.folder.path().join(node);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    async fn ledger(&self, folder: &Path) -> Ledger {
        Ledger::open(Arc::clone(&self.database), folder, "a".to_owned()).await.unwrap()
    }

    /// Another node takes the first for gone, and settles what it has open.
    async fn take_for_gone(&self) {
        let (journal, _) = Journal::open(&self.folder_of("b").join("journal")).unwrap();
        let (orders, _inbox) = mpsc::unbounded_channel();
        let writer = Writer {
            database: Arc::clone(&self.database),
            journal: Arc::new(journal),
            node: "b".to_owned(),
            orders: orders.downgrade(),
        };
        // The first tells of itself every other second.
        while self.count(OPEN).await > 0 {
            self.execute(END_LEASE).await;
            recovery::settle_the_gone(&writer).await.unwrap();
        }
    }

    /// What was settled: how, and for how much; the balances have to be what that comes to.
    async fn settled(&self) -> Vec<(String, i64)> {
        let rows = self.database.read(SETTLED, Vec::new()).await.unwrap();
        let mut settled = Vec::new();
        let (mut cost_all, mut tokens_all) = (0, 0);
        for row in rows {
            let mut row = row.columns();
            let (finish, cost) = (row.text().unwrap(), row.int().unwrap());
            let mut next = || row.int().unwrap();
            let (user, key, _tokens, prompt, completion) = (next(), next(), next(), next(), next());
            assert_eq!(user, key);
            if finish == "late" {
                assert_eq!(user, -cost);
            }
            cost_all += cost;
            tokens_all += prompt + completion;
            settled.push((finish, cost));
        }
        let rows = self.database.read(BALANCES, Vec::new()).await.unwrap();
        let mut row = rows.into_iter().next().unwrap().columns();
        let mut next = || row.int().unwrap();
        assert_eq!([next(), next(), next()], [1000 - cost_all, cost_all, 1]);
        assert_eq!(
            [next(), next(), next(), next()],
            [900 - cost_all, cost_all, 500 - tokens_all, 0]
        );
        settled
    }
}

async fn open(ledger: &Ledger) -> OpenRequest {
    let charge = Charge {
        user: 1,
        key: 1,
        key_version: 1,
        price: PRICE,
        demand: Demand { prompt_tokens: 10, completion_tokens_max: 90 },
        model: "m".into(),
        route: "/v1/completions".into(),
        stream: true,
    };
    ledger.reserve(charge).await.unwrap()
}

fn counts(completion_tokens: u64) -> TokenCounts {
    TokenCounts { prompt_tokens: 10, cached_tokens: 0, completion_tokens }
}

fn told(entries: &[(&str, i64)]) -> Vec<(String, i64)> {
    entries.iter().map(|&(finish, cost)| (finish.to_owned(), cost)).collect()
}

#[tokio::test]
async fn what_a_node_knows_late_is_added_once() {
    let place = Place::new().await;
    let ledger = place.ledger(&place.folder_of("a")).await;
    let request = open(&ledger).await;
    place.take_for_gone().await;
    assert_eq!((place.settled().await, place.count(LOST).await), (told(&[("lost", 0)]), 1));
    // It was there all along, and its answer comes to an end.
    request.report(counts(40));
    drop(request);
    ledger.flush().await;
    assert_eq!(place.settled().await, told(&[("lost", 0), ("late", 50)]));
    assert_eq!(place.count(LOST).await, 0);
    // Its journal has the request still; it is not paid for again.
    drop(ledger);
    place.ledger(&place.folder_of("a")).await.flush().await;
    assert_eq!(place.settled().await, told(&[("lost", 0), ("late", 50)]));
}

#[tokio::test]
async fn a_node_that_was_killed_and_starts_late_adds_what_its_journal_knows() {
    let place = Place::new().await;
    let ledger = place.ledger(&place.folder_of("a")).await;
    let request = open(&ledger).await;
    request.report(counts(7));
    // As the kill leaves it.
    let left = place.folder_of("left");
    std::fs::copy(place.folder_of("a").join("journal"), left.join("journal")).unwrap();
    place.take_for_gone().await;
    std::mem::forget(request);
    place.ledger(&left).await.flush().await;
    assert_eq!(place.settled().await, told(&[("lost", 0), ("late", 17)]));
    place.ledger(&left).await.flush().await;
    assert_eq!(place.settled().await.len(), 2);
}

#[tokio::test]
async fn nothing_is_added_where_all_was_known() {
    let place = Place::new().await;
    let ledger = place.ledger(&place.folder_of("a")).await;
    let request = open(&ledger).await;
    place.take_for_gone().await;
    drop(request);
    ledger.flush().await;
    assert_eq!(place.settled().await, told(&[("lost", 0)]));
    assert_eq!(place.count(LOST).await, 0);
}
