//! What a reservation and a settlement do to balances and limits: arithmetic alone, without a
//! database or a clock.

use std::time::Duration;

use phial_openai::metering::TokenCounts;

use super::price::{Price, TOKENS_MAX};
use crate::upstream::Demand;

/// Microseconds of a minute, in which what a limit allows is earned back.
const MINUTE: i64 = 60_000_000;

/// A status that lets users and keys do things.
pub(crate) const ENABLED: i64 = 1;

/// What counts of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserState {
    pub id: i64,
    pub status: i64,
    pub balance: i64,
    pub unlimited: bool,
    pub used: i64,
    pub requests: i64,
}

/// What counts of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyState {
    pub id: i64,
    pub status: i64,
    pub deleted: bool,
    pub version: i64,
    /// Milliseconds since the epoch; -1: never.
    pub expires_at: i64,
    pub balance: i64,
    pub unlimited: bool,
    pub used: i64,
    pub token_balance: i64,
    pub unlimited_tokens: bool,
    pub requests_per_minute: i64,
    pub tokens_per_minute: i64,
    pub parallel_requests: i64,
    pub open_requests: i64,
    pub requests_earned_at: i64,
    pub tokens_earned_at: i64,
    pub accessed_at: i64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// The version of the key that was checked.
    pub key_version: i64,
    pub price: Price,
    pub demand: Demand,
    /// Milliseconds since the epoch.
    pub now: i64,
}

/// What is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub money: i64,
    pub tokens: i64,
}

/// Why nothing is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The key was changed after it was checked; it is to be checked again.
    Stale,
    /// The user may do nothing.
    UserDisabled,
    /// Requests per minute.
    RequestRate(Duration),
    /// Tokens per minute.
    TokenRate(Duration),
    /// One request would take more than a minute allows.
    TokenRateNever,
    /// Requests at a time.
    Parallel,
    /// The user's money.
    UserQuota,
    /// The key's money.
    KeyQuota,
    /// The key's tokens.
    KeyTokens,
    /// The books cannot be written.
    Unavailable,
}

/// What a settlement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub cost: i64,
    /// What the balances of user and key get back of what was set aside.
    pub money_back: i64,
    pub tokens_back: i64,
}

/// Sets aside what `wish` can take at most. Everything is checked before anything changes.
pub(crate) fn reserve(
    user: &mut UserState,
    key: &mut KeyState,
    wish: &Wish,
) -> Result<Hold, Refused> {
    let is_over = key.expires_at >= 0 && key.expires_at <= wish.now;
    if key.version != wish.key_version || key.status != ENABLED || key.deleted || is_over {
        return Err(Refused::Stale);
    }
    if user.status != ENABLED {
        return Err(Refused::UserDisabled);
    }
    let hold = Hold { money: wish.price.cost_max(wish.demand), tokens: tokens(wish.demand) };
    let covers = |balance: i64, amount: i64| amount == 0 || balance >= amount;
    if !user.unlimited && !covers(user.balance, hold.money) {
        return Err(Refused::UserQuota);
    }
    if !key.unlimited && !covers(key.balance, hold.money) {
        return Err(Refused::KeyQuota);
    }
    if !key.unlimited_tokens && !covers(key.token_balance, hold.tokens) {
        return Err(Refused::KeyTokens);
    }
    if key.parallel_requests > 0 && key.open_requests >= key.parallel_requests {
        return Err(Refused::Parallel);
    }
    let now = wish.now.saturating_mul(1000);
    let requests = earned_after(key.requests_earned_at, now, 1, key.requests_per_minute)
        .map_err(|wait| Refused::RequestRate(wait.unwrap_or_default()))?;
    let earned = earned_after(key.tokens_earned_at, now, hold.tokens, key.tokens_per_minute)
        .map_err(|wait| wait.map_or(Refused::TokenRateNever, Refused::TokenRate))?;
    key.requests_earned_at = requests;
    key.tokens_earned_at = earned;
    key.open_requests += 1;
    key.accessed_at = key.accessed_at.max(wish.now);
    user.balance = user.balance.saturating_sub(hold.money);
    key.balance = key.balance.saturating_sub(hold.money);
    key.token_balance = key.token_balance.saturating_sub(hold.tokens);
    Ok(hold)
}

/// Takes what was used from what was set aside, and gives the rest back. What an upstream counts
/// beyond that is not charged: no key spends what was not there.
pub(crate) fn settle(
    user: &mut UserState,
    key: &mut KeyState,
    hold: Hold,
    price: Price,
    counts: TokenCounts,
) -> Settled {
    let cost = price.cost(counts).min(hold.money);
    let used = used_tokens(counts).min(hold.tokens);
    let settled = Settled { cost, money_back: hold.money - cost, tokens_back: hold.tokens - used };
    user.balance = user.balance.saturating_add(settled.money_back);
    user.used = user.used.saturating_add(cost);
    user.requests += 1;
    key.balance = key.balance.saturating_add(settled.money_back);
    key.used = key.used.saturating_add(cost);
    key.token_balance = key.token_balance.saturating_add(settled.tokens_back);
    key.open_requests = (key.open_requests - 1).max(0);
    let limit = key.tokens_per_minute;
    if limit > 0 {
        key.tokens_earned_at -= price_in_time(hold.tokens, limit) - price_in_time(used, limit);
    }
    settled
}

/// What a correction comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrected {
    /// What is still to be paid.
    pub owed: i64,
    /// What is; nothing comes back, so those amounts are not above zero.
    pub taken: Settled,
}

/// Takes what a request used beyond what it was `settled` to. It was set aside, and given back when
/// nobody knew better; what was spent since is not taken again, so that no balance falls below
/// zero. The limits of the minute in which it ran are over.
pub(crate) fn correct(
    user: &mut UserState,
    key: &mut KeyState,
    hold: Hold,
    price: Price,
    settled: TokenCounts,
    counts: TokenCounts,
) -> Corrected {
    let there = |is_unlimited: bool, balance: i64| match is_unlimited {
        true => i64::MAX,
        false => balance.max(0),
    };
    let cost = |counts| price.cost(counts).min(hold.money);
    let used = |counts| used_tokens(counts).min(hold.tokens);
    let owed = (cost(counts) - cost(settled)).max(0);
    let money = owed.min(there(user.unlimited, user.balance));
    let money = money.min(there(key.unlimited, key.balance));
    let tokens = (used(counts) - used(settled)).max(0);
    let tokens = tokens.min(there(key.unlimited_tokens, key.token_balance));
    user.balance = user.balance.saturating_sub(money);
    user.used = user.used.saturating_add(money);
    key.balance = key.balance.saturating_sub(money);
    key.used = key.used.saturating_add(money);
    key.token_balance = key.token_balance.saturating_sub(tokens);
    let taken = Settled { cost: money, money_back: -money, tokens_back: -tokens };
    Corrected { owed, taken }
}

/// All tokens of a use.
pub(crate) fn used_tokens(counts: TokenCounts) -> i64 {
    let all = counts.prompt_tokens.saturating_add(counts.completion_tokens).min(TOKENS_MAX);
    i64::try_from(all).unwrap_or(i64::MAX)
}

/// All tokens of a demand.
fn tokens(demand: Demand) -> i64 {
    used_tokens(TokenCounts {
        prompt_tokens: demand.prompt_tokens,
        cached_tokens: 0,
        completion_tokens: demand.completion_tokens_max,
    })
}

/// How long `amount` takes to be earned back when `limit` is earned in a minute.
fn price_in_time(amount: i64, limit: i64) -> i64 {
    let time = i128::from(amount) * i128::from(MINUTE) / i128::from(limit);
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// When everything is earned back if `amount` is used at `now`: a bucket that holds a minute's
/// worth and fills at that rate. The error says how long to wait; `None`: for ever.
fn earned_after(
    earned_at: i64,
    now: i64,
    amount: i64,
    limit: i64,
) -> Result<i64, Option<Duration>> {
    if limit <= 0 {
        return Ok(earned_at);
    }
    let takes = price_in_time(amount, limit);
    if takes > MINUTE {
        return Err(None);
    }
    let after = earned_at.max(now).saturating_add(takes);
    match after.saturating_sub(now).saturating_sub(MINUTE) {
        wait if wait > 0 => Err(Some(Duration::from_micros(wait.unsigned_abs()))),
        _ => Ok(after),
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
