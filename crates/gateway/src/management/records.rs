//! What was used.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;

use super::access::{Administrator, SignedIn};
use super::answer::{Failure, PageQuery, Told, done};
use super::told::Asked;
use crate::clock::day;
use crate::parts::Parts;
use crate::storage::{Row, StorageError, Value, values};
use crate::wire::{LogView, Page, UsageBucket};

macro_rules! of_settled {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " FROM ledger AS l WHERE l.kind = 'settle' AND ($1 = 0 OR l.user_id = $1)
              AND l.at >= $2 AND l.at < $3 AND ($4 = 0 OR l.key_id = $4)
              AND ($5 = '' OR l.model = $5) ",
            $after
        )
    };
}

const LOG: &str = of_settled!(
    "SELECT l.id, l.at, l.user_id,
        COALESCE((SELECT username FROM users WHERE users.id = l.user_id), ''), l.key_id,
        COALESCE((SELECT name FROM keys WHERE keys.id = l.key_id), ''), l.model, l.route,
        l.prompt_tokens, l.cached_tokens, l.completion_tokens, l.cost, l.duration_ms,
        l.first_token_ms, l.stream, l.status, l.finish, l.request",
    "ORDER BY l.id DESC LIMIT $6 OFFSET $7"
);
const LOG_COUNT: &str = of_settled!("SELECT COUNT(*)", "");

const BY_DAY: &str = of_settled!(
    "SELECT l.at / 86400000, CAST(SUM(CASE WHEN l.finish = 'late' THEN 0 ELSE 1 END) AS BIGINT),
        CAST(SUM(l.prompt_tokens) AS BIGINT), CAST(SUM(l.cached_tokens) AS BIGINT),
        CAST(SUM(l.completion_tokens) AS BIGINT), CAST(SUM(l.cost) AS BIGINT),
        CAST(SUM(CASE WHEN l.finish = 'error' THEN 1 ELSE 0 END) AS BIGINT)",
    "GROUP BY l.at / 86400000 ORDER BY l.at / 86400000"
);
const BY_KEY: &str = of_settled!(
    "SELECT l.key_id, CAST(SUM(CASE WHEN l.finish = 'late' THEN 0 ELSE 1 END) AS BIGINT),
        CAST(SUM(l.prompt_tokens) AS BIGINT), CAST(SUM(l.cached_tokens) AS BIGINT),
        CAST(SUM(l.completion_tokens) AS BIGINT), CAST(SUM(l.cost) AS BIGINT),
        CAST(SUM(CASE WHEN l.finish = 'error' THEN 1 ELSE 0 END) AS BIGINT)",
    "GROUP BY l.key_id ORDER BY l.key_id"
);
const BY_MODEL: &str = of_settled!(
    "SELECT l.model, CAST(SUM(CASE WHEN l.finish = 'late' THEN 0 ELSE 1 END) AS BIGINT),
        CAST(SUM(l.prompt_tokens) AS BIGINT), CAST(SUM(l.cached_tokens) AS BIGINT),
        CAST(SUM(l.completion_tokens) AS BIGINT), CAST(SUM(l.cost) AS BIGINT),
        CAST(SUM(CASE WHEN l.finish = 'error' THEN 1 ELSE 0 END) AS BIGINT)",
    "GROUP BY l.model ORDER BY l.model"
);
const KEY_NAMES: &str = "SELECT id, name FROM keys WHERE $1 = 0 OR user_id = $1";

/// What to tell of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    start_timestamp: i64,
    end_timestamp: i64,
    token_id: i64,
    model: String,
}

impl Wanted {
    /// To be bound; `user` 0 is everybody.
    fn values(&self, user: i64) -> Vec<Value> {
        let end = match self.end_timestamp {
            0 => i64::MAX,
            seconds => seconds.saturating_mul(1000),
        };
        // A database that cannot hold this letter must not be asked for it.
        let model = self.model.replace('\0', " ");
        values![user, self.start_timestamp.saturating_mul(1000), end, self.token_id, model]
    }
}

/// `GET /api/log/self`
pub(super) async fn own_log(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Asked(page): Asked<PageQuery>,
    Asked(wanted): Asked<Wanted>,
) -> Told<Page<LogView>> {
    log_of(&parts, signed_in.user.id, page, &wanted).await
}

/// `GET /api/log/`
pub(super) async fn log(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(page): Asked<PageQuery>,
    Asked(wanted): Asked<Wanted>,
) -> Told<Page<LogView>> {
    log_of(&parts, 0, page, &wanted).await
}

async fn log_of(parts: &Parts, user: i64, page: PageQuery, wanted: &Wanted) -> Told<Page<LogView>> {
    let total = parts.database.read(LOG_COUNT, wanted.values(user)).await?;
    let total = total.into_iter().next().ok_or(StorageError::Shape("nothing"))?.columns().int()?;
    let mut bound = wanted.values(user);
    bound.extend(values![page.limit(), page.offset()]);
    let rows = parts.database.read(LOG, bound).await?;
    let views: Vec<LogView> = rows.into_iter().map(log_view).collect::<Result<_, _>>()?;
    done(page.of(views, total))
}

fn log_view(row: Row) -> Result<LogView, StorageError> {
    let mut row = row.columns();
    Ok(LogView {
        id: row.int()?,
        created_at: row.int()? / 1000,
        kind: "usage",
        user_id: row.int()?,
        username: row.text()?,
        token_id: row.int()?,
        token_name: row.text()?,
        model_name: row.text()?,
        route: row.text()?,
        prompt_tokens: row.int()?,
        cached_tokens: row.int()?,
        completion_tokens: row.int()?,
        quota: row.int()?,
        duration_ms: row.int()?,
        first_token_ms: row.int()?,
        is_stream: row.yes()?,
        status: row.int()?,
        finish: row.text()?,
        request_id: row.text()?,
    })
}

/// What to add up.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct By {
    by: String,
}

/// `GET /api/data/self`
pub(super) async fn own_data(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Asked(by): Asked<By>,
    Asked(wanted): Asked<Wanted>,
) -> Told<Vec<UsageBucket>> {
    data_of(&parts, signed_in.user.id, &by.by, &wanted).await
}

/// `GET /api/data/`
pub(super) async fn data(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(by): Asked<By>,
    Asked(wanted): Asked<Wanted>,
) -> Told<Vec<UsageBucket>> {
    data_of(&parts, 0, &by.by, &wanted).await
}

async fn data_of(parts: &Parts, user: i64, by: &str, wanted: &Wanted) -> Told<Vec<UsageBucket>> {
    let sql = match by {
        "" | "day" => BY_DAY,
        "token" => BY_KEY,
        "model" => BY_MODEL,
        _ => return Err(Failure::invalid("by: one of day, token and model.")),
    };
    let rows = parts.database.read(sql, wanted.values(user)).await?;
    let mut names = HashMap::new();
    if sql == BY_KEY {
        for row in parts.database.read(KEY_NAMES, values![user]).await? {
            let mut row = row.columns();
            names.insert(row.int()?, row.text()?);
        }
    }
    let buckets = rows.into_iter().map(|row| {
        let first = row.0.first().cloned().ok_or(StorageError::Shape("nothing"))?;
        let mut rest = row.columns();
        let bucket = match first {
            Value::Text(_) => rest.text()?,
            Value::Int(number) => {
                rest.int()?;
                match sql == BY_KEY {
                    true => names.get(&number).cloned().unwrap_or_else(|| number.to_string()),
                    false => day(number.saturating_mul(86_400_000)),
                }
            }
        };
        Ok(UsageBucket {
            bucket,
            requests: rest.int()?,
            prompt_tokens: rest.int()?,
            cached_tokens: rest.int()?,
            completion_tokens: rest.int()?,
            quota: rest.int()?,
            errors: rest.int()?,
        })
    });
    done(buckets.collect::<Result<Vec<_>, StorageError>>()?)
}
