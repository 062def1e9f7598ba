//! Keys in the database.

use std::sync::Arc;

use super::cache::KeyCache;
use super::format::{self, NewKey};
use super::{InvalidRule, Rules};
use crate::clock::unix_millis;
use crate::secrets::{Pepper, same};
use crate::storage::{Database, Dialect, Row, StorageError, Transaction, values};

/// A key, as it was when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub id: i64,
    pub public_id: String,
    pub hash: String,
    pub hint: String,
    pub user: i64,
    pub status: i64,
    pub version: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// Milliseconds since the epoch; 0: never.
    pub accessed_at: i64,
    pub balance: i64,
    pub used: i64,
    pub token_balance: i64,
    pub change: KeyChange,
    pub rules: Rules,
    pub user_status: i64,
}

/// What may be changed of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyChange {
    pub name: String,
    /// Milliseconds since the epoch; -1: never.
    pub expires_at: i64,
    pub unlimited: bool,
    pub unlimited_tokens: bool,
    pub model_limits_enabled: bool,
    pub model_limits: String,
    pub allow_ips: String,
    pub adapters: String,
    pub modalities: String,
    pub requests_per_minute: i64,
    pub tokens_per_minute: i64,
    pub parallel_requests: i64,
}

impl KeyChange {
    /// What it may be used for, parsed; the error says what cannot be.
    pub fn rules(&self) -> Result<Rules, InvalidRule> {
        let models = self.model_limits_enabled.then_some(self.model_limits.as_str());
        Rules::parse(models, &self.allow_ips, &self.adapters, &self.modalities)
    }
}

macro_rules! key_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " k.id, k.public_id, k.hash, k.hint, k.user_id, k.status, k.version, k.created_at,
              k.accessed_at, k.balance, k.used, k.token_balance, k.name, k.expires_at, k.unlimited,
              k.unlimited_tokens, k.model_limits_enabled, k.model_limits, k.allow_ips, k.adapters,
              k.modalities, k.requests_per_minute, k.tokens_per_minute, k.parallel_requests,
              u.status FROM keys AS k JOIN users AS u ON u.id = k.user_id WHERE k.deleted = 0 ",
            $after
        )
    };
}

const FIND: &str = key_columns!("SELECT", "AND k.public_id = $1");
const PLAYGROUND: &str = key_columns!("SELECT", "AND k.kind = 'playground' AND k.user_id = $1");
const SHOW: &str = key_columns!("SELECT", "AND k.kind = 'key' AND k.user_id = $1 AND k.id = $2");
const LIST: &str = key_columns!(
    "SELECT",
    "AND k.kind = 'key' AND k.user_id = $1 ORDER BY k.id DESC LIMIT $2 OFFSET $3"
);
const COUNT: &str = "SELECT COUNT(*) FROM keys WHERE deleted = 0 AND kind = 'key' AND user_id = $1";
const ADD: &str = "INSERT INTO keys (public_id, hash, hint, user_id, name, kind, status, deleted,
        version, created_at, accessed_at, expires_at, balance, unlimited, used, token_balance,
        unlimited_tokens, model_limits_enabled, model_limits, allow_ips, adapters, modalities,
        requests_per_minute, tokens_per_minute, parallel_requests, open_requests,
        requests_earned_at, tokens_earned_at)
    VALUES ($1, $2, $3, $4, $5, $6, 1, 0, 1, $7, 0, $8, 0, $9, 0, 0, $10, $11, $12, $13, $14, $15,
        $16, $17, $18, 0, 0, 0) RETURNING id";
const CHANGE: &str = "UPDATE keys SET version = version + 1, status = $3, name = $4,
        expires_at = $5, unlimited = $6, unlimited_tokens = $7, model_limits_enabled = $8,
        model_limits = $9, allow_ips = $10, adapters = $11, modalities = $12,
        requests_per_minute = $13, tokens_per_minute = $14, parallel_requests = $15
    WHERE id = $1 AND user_id = $2 AND deleted = 0";
const ROTATE: &str = "UPDATE keys SET version = version + 1, hash = $3, hint = $4
    WHERE id = $1 AND user_id = $2 AND deleted = 0 AND kind = 'key'";
const DELETE: &str = "UPDATE keys SET version = version + 1, deleted = 1, hash = '', status = 2
    WHERE id = $1 AND user_id = $2 AND deleted = 0 AND kind = 'key'";
const BALANCES: &str = "SELECT balance, token_balance FROM keys WHERE id = $1";
const BALANCES_LOCKED: &str = "SELECT balance, token_balance FROM keys WHERE id = $1 FOR UPDATE";
const SET_BALANCES: &str = "UPDATE keys SET balance = $2, token_balance = $3 WHERE id = $1";
const LIMIT_ROW: &str = "INSERT INTO ledger (at, kind, user_id, key_id, request, user_amount,
        key_amount, key_tokens, cost, prompt_tokens, cached_tokens, completion_tokens, model,
        route, stream, status, finish, duration_ms, first_token_ms, note)
    VALUES ($1, 'limit', $2, $3, '', 0, $4, $5, 0, 0, 0, 0, '', '', 0, 0, '', 0, 0, '')";

/// What a key may still spend; `None`: that stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remaining {
    pub money: Option<i64>,
    pub tokens: Option<i64>,
}

/// The keys of a node.
pub(crate) struct Keys {
    database: Arc<dyn Database>,
    pepper: Pepper,
    cache: KeyCache,
}

/// What a key's hash is for.
const PURPOSE: &str = "key";

impl Keys {
    pub fn new(database: Arc<dyn Database>, pepper: Pepper) -> Self {
        Self { database, pepper, cache: KeyCache::default() }
    }

    /// The key that is spelt so. `fresh` looks at the database, whatever is remembered.
    pub async fn authenticate(
        &self,
        spelling: &str,
        fresh: bool,
    ) -> Result<Option<Arc<Key>>, StorageError> {
        let Some(public_id) = format::public_id(spelling) else { return Ok(None) };
        let remembered = if fresh { None } else { self.cache.get(public_id) };
        let key = match remembered {
            Some(key) => key,
            None => {
                let generation = self.cache.generation();
                let rows = self.database.read(FIND, values![public_id]).await?;
                let Some(key) = rows.into_iter().next().map(read).transpose()? else {
                    return Ok(None);
                };
                let key = Arc::new(key);
                self.cache.put(&key, generation);
                key
            }
        };
        let is_same = same(&key.hash, &self.pepper.hash(PURPOSE, spelling));
        Ok(is_same.then_some(key))
    }

    /// The key that a request was admitted with before, by its id.
    pub async fn payer(&self, public_id: &str) -> Result<Option<Arc<Key>>, StorageError> {
        let rows = self.database.read(FIND, values![public_id]).await?;
        rows.into_iter().next().map(|row| read(row).map(Arc::new)).transpose()
    }

    /// The key under which a user's requests from the console run. Nobody can spell it.
    pub async fn playground(&self, user: i64) -> Result<Arc<Key>, StorageError> {
        for _ in 0..2 {
            let rows = self.database.read(PLAYGROUND, values![user]).await?;
            if let Some(row) = rows.into_iter().next() {
                return read(row).map(Arc::new);
            }
            let change = KeyChange {
                name: "playground".to_owned(),
                expires_at: -1,
                unlimited: true,
                unlimited_tokens: true,
                ..KeyChange::default()
            };
            // One per user: the id is made of the user's, and a second of it is refused.
            let public_id = format!("playground-{user}");
            let fields = (public_id.as_str(), "", "");
            match self.insert(user, "playground", fields, &change, Remaining::default()).await {
                Err(error) if !error.is_duplicate() => return Err(error),
                _ => {}
            }
        }
        Err(StorageError::Shape("no playground key"))
    }

    pub async fn list(
        &self,
        user: i64,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<Key>, i64), StorageError> {
        let rows = self.database.read(LIST, values![user, limit, offset]).await?;
        let keys = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        let count = self.database.read(COUNT, values![user]).await?;
        let count = count.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        Ok((keys, count.columns().int()?))
    }

    /// A key of this user.
    pub async fn show(&self, user: i64, id: i64) -> Result<Option<Key>, StorageError> {
        let rows = self.database.read(SHOW, values![user, id]).await?;
        rows.into_iter().next().map(read).transpose()
    }

    /// Makes a key; gives its id and the whole of it.
    pub async fn create(
        &self,
        user: i64,
        change: &KeyChange,
        remaining: Remaining,
    ) -> Result<(i64, NewKey), StorageError> {
        let key = NewKey::make(None);
        let hash = self.pepper.hash(PURPOSE, &key.spelling);
        let fields = (key.public_id.as_str(), hash.as_str(), key.hint.as_str());
        let id = self.insert(user, "key", fields, change, remaining).await?;
        Ok((id, key))
    }

    async fn insert(
        &self,
        user: i64,
        kind: &str,
        (public_id, hash, hint): (&str, &str, &str),
        change: &KeyChange,
        remaining: Remaining,
    ) -> Result<i64, StorageError> {
        let mut transaction = self.database.begin().await?;
        let bound = values![
            public_id,
            hash,
            hint,
            user,
            &change.name,
            kind,
            unix_millis(),
            change.expires_at,
            change.unlimited,
            change.unlimited_tokens,
            change.model_limits_enabled,
            &change.model_limits,
            &change.allow_ips,
            &change.adapters,
            &change.modalities,
            change.requests_per_minute,
            change.tokens_per_minute,
            change.parallel_requests,
        ];
        let rows = transaction.query(ADD, bound).await?;
        let row = rows.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        let id = row.columns().int()?;
        self.set_remaining(&mut *transaction, user, id, remaining).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Changes a key of this user; false if there is none.
    pub async fn change(
        &self,
        user: i64,
        id: i64,
        status: i64,
        change: &KeyChange,
        remaining: Remaining,
    ) -> Result<bool, StorageError> {
        let mut transaction = self.database.begin().await?;
        let bound = values![
            id,
            user,
            status,
            &change.name,
            change.expires_at,
            change.unlimited,
            change.unlimited_tokens,
            change.model_limits_enabled,
            &change.model_limits,
            &change.allow_ips,
            &change.adapters,
            &change.modalities,
            change.requests_per_minute,
            change.tokens_per_minute,
            change.parallel_requests,
        ];
        if transaction.execute(CHANGE, bound).await? == 0 {
            return Ok(false);
        }
        self.set_remaining(&mut *transaction, user, id, remaining).await?;
        transaction.commit().await?;
        self.cache.clear();
        Ok(true)
    }

    /// What a key may still spend becomes this, whatever it was: the difference is a row.
    async fn set_remaining(
        &self,
        transaction: &mut dyn Transaction,
        user: i64,
        id: i64,
        remaining: Remaining,
    ) -> Result<(), StorageError> {
        if remaining.money.is_none() && remaining.tokens.is_none() {
            return Ok(());
        }
        let locked = match self.database.dialect() {
            Dialect::Sqlite => BALANCES,
            Dialect::Postgres => BALANCES_LOCKED,
        };
        let rows = transaction.query(locked, values![id]).await?;
        let mut row = rows.into_iter().next().ok_or(StorageError::Shape("nothing"))?.columns();
        let (money, tokens) = (row.int()?, row.int()?);
        let after = (remaining.money.unwrap_or(money), remaining.tokens.unwrap_or(tokens));
        let added = (after.0.saturating_sub(money), after.1.saturating_sub(tokens));
        if added != (0, 0) {
            transaction.execute(SET_BALANCES, values![id, after.0, after.1]).await?;
            let bound = values![unix_millis(), user, id, added.0, added.1];
            transaction.execute(LIMIT_ROW, bound).await?;
        }
        Ok(())
    }

    /// Gives a key of this user a new secret; `None` if there is no such key.
    pub async fn rotate(&self, user: i64, id: i64) -> Result<Option<NewKey>, StorageError> {
        let Some(known) = self.show(user, id).await? else { return Ok(None) };
        let key = NewKey::make(Some(&known.public_id));
        let hash = self.pepper.hash(PURPOSE, &key.spelling);
        let bound = values![id, user, hash, &key.hint];
        Ok(self.execute(ROTATE, bound).await?.then_some(key))
    }

    /// Ends a key of this user for good; false if there is none.
    pub async fn delete(&self, user: i64, id: i64) -> Result<bool, StorageError> {
        self.execute(DELETE, values![id, user]).await
    }

    /// Something about users or keys has changed elsewhere in this process.
    pub fn forget(&self) {
        self.cache.clear();
    }

    async fn execute(
        &self,
        sql: &'static str,
        values: Vec<crate::storage::Value>,
    ) -> Result<bool, StorageError> {
        let mut transaction = self.database.begin().await?;
        let changed = transaction.execute(sql, values).await?;
        transaction.commit().await?;
        self.cache.clear();
        Ok(changed > 0)
    }
}

fn read(row: Row) -> Result<Key, StorageError> {
    let mut row = row.columns();
    let mut key = Key {
        id: row.int()?,
        public_id: row.text()?,
        hash: row.text()?,
        hint: row.text()?,
        user: row.int()?,
        status: row.int()?,
        version: row.int()?,
        created_at: row.int()?,
        accessed_at: row.int()?,
        balance: row.int()?,
        used: row.int()?,
        token_balance: row.int()?,
        change: KeyChange {
            name: row.text()?,
            expires_at: row.int()?,
            unlimited: row.yes()?,
            unlimited_tokens: row.yes()?,
            model_limits_enabled: row.yes()?,
            model_limits: row.text()?,
            allow_ips: row.text()?,
            adapters: row.text()?,
            modalities: row.text()?,
            requests_per_minute: row.int()?,
            tokens_per_minute: row.int()?,
            parallel_requests: row.int()?,
        },
        rules: Rules::default(),
        user_status: row.int()?,
    };
    // They were checked when they were written; what cannot be read must not become "all".
    key.rules = key.change.rules().map_err(|_| StorageError::Shape("rules of a key"))?;
    Ok(key)
}
