//! The books as they are in the database, read without the gateway, and held against each other.

use std::collections::HashMap;
use std::path::Path;

use sqlx::{PgPool, Row, SqlitePool};

/// A row of the ledger.
#[derive(Clone, Debug)]
pub struct Entry {
    pub kind: String,
    pub user: i64,
    pub key: i64,
    pub request: String,
    pub user_amount: i64,
    pub key_amount: i64,
    pub key_tokens: i64,
    pub cost: i64,
    pub prompt: i64,
    pub cached: i64,
    pub completion: i64,
    pub finish: String,
    pub status: i64,
}

/// Id, balance, whether it is unlimited, and what was used.
pub type Account = (i64, i64, bool, i64);

/// Everything that has to do with money.
#[derive(Debug)]
pub struct Books {
    /// In the order in which they were written.
    pub entries: Vec<Entry>,
    pub users: Vec<Account>,
    pub keys: Vec<Account>,
    /// Id, tokens left, open requests.
    pub key_tokens: Vec<(i64, i64, i64)>,
    pub reservations: i64,
}

const ENTRIES: &str = "SELECT kind, user_id, key_id, request, user_amount, key_amount, key_tokens,
    cost, prompt_tokens, cached_tokens, completion_tokens, finish, status FROM ledger ORDER BY id";
const USERS: &str = "SELECT id, balance, unlimited, used FROM users";
const KEYS: &str = "SELECT id, balance, unlimited, used FROM keys";
const TOKENS: &str = "SELECT id, token_balance, open_requests FROM keys";
const OPEN: &str = "SELECT COUNT(*) FROM reservations";

macro_rules! read {
    ($pool:expr) => {{
        let pool = $pool;
        let rows = sqlx::query(ENTRIES).fetch_all(&pool).await.unwrap();
        let entries = rows.iter().map(|row| Entry {
            kind: row.get(0),
            user: row.get(1),
            key: row.get(2),
            request: row.get(3),
            user_amount: row.get(4),
            key_amount: row.get(5),
            key_tokens: row.get(6),
            cost: row.get(7),
            prompt: row.get(8),
            cached: row.get(9),
            completion: row.get(10),
            finish: row.get(11),
            status: row.get(12),
        });
        let entries = entries.collect();
        let mut accounts = Vec::new();
        for sql in [USERS, KEYS] {
            let rows = sqlx::query(sql).fetch_all(&pool).await.unwrap();
            let read = rows
                .iter()
                .map(|row| (row.get(0), row.get(1), row.get::<i64, _>(2) != 0, row.get(3)));
            accounts.push(read.collect());
        }
        let rows = sqlx::query(TOKENS).fetch_all(&pool).await.unwrap();
        let key_tokens = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        let reservations = sqlx::query(OPEN).fetch_one(&pool).await.unwrap().get(0);
        pool.close().await;
        let keys = accounts.pop().unwrap();
        let users = accounts.pop().unwrap();
        Books { entries, users, keys, key_tokens, reservations }
    }};
}

impl Books {
    pub async fn open(database: Option<&str>, sqlite: &Path) -> Self {
        match database {
            Some(address) => read!(PgPool::connect(address).await.unwrap()),
            None => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(sqlite);
                read!(SqlitePool::connect_with(options.read_only(true)).await.unwrap())
            }
        }
    }

    pub fn settled(&self) -> HashMap<&str, &Entry> {
        let is_settled = |entry: &&Entry| entry.kind == "settle" && entry.finish != "late";
        let settled = self.entries.iter().filter(is_settled);
        settled.map(|entry| (entry.request.as_str(), entry)).collect()
    }

    /// The only row of a settlement.
    pub fn only_settled(&self) -> &Entry {
        let settled = self.settled();
        assert_eq!(settled.len(), 1, "{:?}", self.entries);
        settled.into_values().next().unwrap()
    }

    /// Holds everything against everything: balances are the sums of rows, nothing was ever
    /// overspent, each request was reserved and settled once, costs are those of its tokens at
    /// the price of the tests, and nothing is left open.
    pub fn check(&self) {
        let mut money: HashMap<(bool, i64), i64> = HashMap::new();
        let mut tokens: HashMap<i64, i64> = HashMap::new();
        let mut costs: HashMap<(bool, i64), i64> = HashMap::new();
        let limited = |accounts: &[Account], id: i64| {
            accounts.iter().any(|account| account.0 == id && !account.2)
        };
        let mut held: HashMap<&str, (i64, i64)> = HashMap::new();
        for entry in &self.entries {
            let user = money.entry((true, entry.user)).or_default();
            *user += entry.user_amount;
            assert!(*user >= 0 || !limited(&self.users, entry.user), "user overspent: {entry:?}");
            let key = money.entry((false, entry.key)).or_default();
            *key += entry.key_amount;
            assert!(*key >= 0 || !limited(&self.keys, entry.key), "key overspent: {entry:?}");
            *tokens.entry(entry.key).or_default() += entry.key_tokens;
            *costs.entry((true, entry.user)).or_default() += entry.cost;
            *costs.entry((false, entry.key)).or_default() += entry.cost;
            match entry.kind.as_str() {
                "reserve" => {
                    let hold = (-entry.user_amount, -entry.key_tokens);
                    assert!(held.insert(&entry.request, hold).is_none(), "twice: {entry:?}");
                }
                // What another node did not know; the settlement is held against the reservation.
                "settle" if entry.finish == "late" => {
                    assert_eq!((entry.user_amount, entry.key_amount), (-entry.cost, -entry.cost));
                }
                "settle" => {
                    let hold = held.remove(entry.request.as_str());
                    let (hold, hold_tokens) = hold.expect("settled once, after a reservation");
                    let Entry { prompt, cached, completion, .. } = *entry;
                    // 1, 0.5 and 2 units a token.
                    let cost = (2 * (prompt - cached) + cached + 4 * completion + 1) / 2;
                    assert_eq!(entry.cost, cost, "{entry:?}");
                    assert_eq!(entry.user_amount, hold - cost, "{entry:?}");
                    assert_eq!(entry.key_tokens, hold_tokens - prompt - completion);
                }
                kind => assert!(["credit", "limit"].contains(&kind)),
            }
        }
        assert!(held.is_empty(), "still reserved: {held:?}");
        assert_eq!(self.reservations, 0);
        for (is_user, accounts) in [(true, &self.users), (false, &self.keys)] {
            for &(id, balance, _, used) in accounts {
                let place = (is_user, id);
                assert_eq!(balance, money.get(&place).copied().unwrap_or(0), "{place:?}");
                assert_eq!(used, costs.get(&place).copied().unwrap_or(0), "{place:?}");
            }
        }
        for &(key, left, open) in &self.key_tokens {
            assert_eq!(left, tokens.get(&key).copied().unwrap_or(0));
            assert_eq!(open, 0);
        }
    }
}
