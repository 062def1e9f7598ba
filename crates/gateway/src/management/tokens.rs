//! Keys of the one who is signed in.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;

use super::access::SignedIn;
use super::answer::{Failure, PageQuery, Told, done};
use super::told::{Asked, Body, Id};
use crate::clock::unix_millis;
use crate::keys::{Key, KeyChange, Remaining};
use crate::ledger::ENABLED;
use crate::parts::Parts;
use crate::wire::{Page, TokenDraft, TokenView};

const DISABLED: i64 = 2;
const EXPIRED: i64 = 3;
const EXHAUSTED: i64 = 4;

const NAME_LENGTH_MAX: usize = 50;
const LIST_BYTES_MAX: usize = 4096;
const KEYS_MAX: i64 = 1000;

/// More than anybody can use up; sums of such stay within 64 bit.
const REMAIN_MAX: i64 = 1_000_000_000_000_000;
const RATE_MAX: i64 = 1_000_000_000;

/// Seconds since the epoch that milliseconds have room for.
const MOMENT_MAX: i64 = 100_000_000_000;

fn no_such_key() -> Failure {
    Failure::not_found("There is no such key.")
}

fn view(key: &Key) -> TokenView {
    let now = unix_millis();
    let change = &key.change;
    let is_exhausted =
        !change.unlimited && key.balance <= 0 || !change.unlimited_tokens && key.token_balance <= 0;
    let status = match key.status {
        ENABLED if change.expires_at >= 0 && change.expires_at <= now => EXPIRED,
        ENABLED if is_exhausted => EXHAUSTED,
        status => status,
    };
    TokenView {
        id: key.id,
        name: change.name.clone(),
        key: key.hint.clone(),
        status,
        created_time: key.created_at / 1000,
        accessed_time: key.accessed_at / 1000,
        expired_time: if change.expires_at < 0 { -1 } else { change.expires_at / 1000 },
        // What is left of no limit is less than nothing as soon as something was used.
        remain_quota: key.balance.max(0),
        used_quota: key.used,
        unlimited_quota: change.unlimited,
        model_limits_enabled: change.model_limits_enabled,
        model_limits: change.model_limits.clone(),
        allow_ips: change.allow_ips.clone(),
        adapters: change.adapters.clone(),
        modalities: change.modalities.clone(),
        requests_per_minute: change.requests_per_minute,
        tokens_per_minute: change.tokens_per_minute,
        parallel_requests: change.parallel_requests,
        remain_tokens: key.token_balance.max(0),
        unlimited_tokens: change.unlimited_tokens,
    }
}

/// `GET /api/token/`
pub(super) async fn list(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Asked(page): Asked<PageQuery>,
) -> Told<Page<TokenView>> {
    let user = signed_in.user.id;
    let (keys, total) = parts.keys.list(user, page.limit(), page.offset()).await?;
    done(page.of(keys.iter().map(view).collect(), total))
}

/// `GET /api/token/{id}`
pub(super) async fn show(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Id(id): Id,
) -> Told<TokenView> {
    let key = parts.keys.show(signed_in.user.id, id).await?.ok_or_else(no_such_key)?;
    done(view(&key))
}

/// `POST /api/token/`
pub(super) async fn create(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Body(draft): Body<TokenDraft>,
) -> Told<TokenView> {
    if draft.id.is_some() || draft.status.is_some_and(|status| status != ENABLED) {
        return Err(Failure::invalid("A new key has no id yet, and is enabled."));
    }
    let user = signed_in.user.id;
    let unset = KeyChange {
        expires_at: -1,
        // Without a word about quota, the user's is the bound.
        unlimited: draft.remain_quota.is_none(),
        unlimited_tokens: draft.remain_tokens.is_none(),
        model_limits_enabled: draft.model_limits.as_deref().is_some_and(|list| !list.is_empty()),
        ..KeyChange::default()
    };
    let change = changed(unset, &draft)?;
    if change.name.is_empty() {
        return Err(Failure::invalid("name: a key needs one."));
    }
    if parts.keys.list(user, 1, 0).await?.1 >= KEYS_MAX {
        return Err(Failure::conflict("There are as many keys as an account may have."));
    }
    let (id, new) = parts.keys.create(user, &change, remaining(&draft)?).await?;
    signed_in.note(&parts, "token.create", id, change.name).await?;
    let key = parts.keys.show(user, id).await?.ok_or_else(no_such_key)?;
    done(TokenView { key: new.spelling, ..view(&key) })
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ChangeQuery {
    status_only: bool,
}

/// `PUT /api/token/`
pub(super) async fn change(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Asked(query): Asked<ChangeQuery>,
    Body(draft): Body<TokenDraft>,
) -> Told<TokenView> {
    let user = signed_in.user.id;
    let id = draft.id.ok_or_else(|| Failure::invalid("id: which key is to be changed?"))?;
    let key = parts.keys.show(user, id).await?.ok_or_else(no_such_key)?;
    let status = match draft.status {
        None => key.status,
        Some(status @ (ENABLED | DISABLED)) => status,
        // What a list shows may be sent back as it is: it is worked out, not set.
        Some(EXPIRED | EXHAUSTED) => key.status,
        Some(_) => return Err(Failure::invalid("status: 1 is enabled, 2 is disabled.")),
    };
    let (change, remaining) = match query.status_only {
        true => (key.change, Remaining::default()),
        false => (changed(key.change, &draft)?, remaining(&draft)?),
    };
    if !parts.keys.change(user, id, status, &change, remaining).await? {
        return Err(no_such_key());
    }
    let detail = match (key.status, status) {
        (ENABLED, DISABLED) => "disabled",
        (DISABLED, ENABLED) => "enabled",
        _ => "",
    };
    signed_in.note(&parts, "token.change", id, detail).await?;
    let key = parts.keys.show(user, id).await?.ok_or_else(no_such_key)?;
    done(view(&key))
}

/// `POST /api/token/{id}/rotate`
pub(super) async fn rotate(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Id(id): Id,
) -> Told<TokenView> {
    let user = signed_in.user.id;
    let new = parts.keys.rotate(user, id).await?.ok_or_else(no_such_key)?;
    signed_in.note(&parts, "token.rotate", id, "").await?;
    let key = parts.keys.show(user, id).await?.ok_or_else(no_such_key)?;
    done(TokenView { key: new.spelling, ..view(&key) })
}

/// `DELETE /api/token/{id}`
pub(super) async fn delete(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Id(id): Id,
) -> Told<()> {
    if !parts.keys.delete(signed_in.user.id, id).await? {
        return Err(no_such_key());
    }
    signed_in.note(&parts, "token.delete", id, "").await?;
    done(())
}

/// A key as it was, with what the draft says.
fn changed(mut key: KeyChange, draft: &TokenDraft) -> Result<KeyChange, Failure> {
    if let Some(name) = &draft.name {
        name.trim().clone_into(&mut key.name);
        let length = key.name.chars().count();
        if !(1..=NAME_LENGTH_MAX).contains(&length) || key.name.chars().any(char::is_control) {
            let message = format!("name: from 1 to {NAME_LENGTH_MAX} letters on one line.");
            return Err(Failure::invalid(message));
        }
    }
    match draft.expired_time {
        None => {}
        Some(-1) => key.expires_at = -1,
        Some(seconds @ 0..=MOMENT_MAX) => key.expires_at = seconds * 1000,
        Some(_) => {
            return Err(Failure::invalid("expired_time: seconds since 1970, or -1 for never."));
        }
    }
    let lists = [
        ("model_limits", &draft.model_limits, &mut key.model_limits),
        ("allow_ips", &draft.allow_ips, &mut key.allow_ips),
        ("adapters", &draft.adapters, &mut key.adapters),
        ("modalities", &draft.modalities, &mut key.modalities),
    ];
    for (name, told, place) in lists {
        let Some(told) = told else { continue };
        let is_line = |letter: char| letter.is_control() && !"\n\r\t".contains(letter);
        if told.len() > LIST_BYTES_MAX || told.chars().any(is_line) {
            let message = format!("{name}: at most {LIST_BYTES_MAX} bytes of text.");
            return Err(Failure::invalid(message));
        }
        place.clone_from(told);
    }
    let rates = [
        ("requests_per_minute", draft.requests_per_minute, &mut key.requests_per_minute),
        ("tokens_per_minute", draft.tokens_per_minute, &mut key.tokens_per_minute),
        ("parallel_requests", draft.parallel_requests, &mut key.parallel_requests),
    ];
    for (name, told, place) in rates {
        let Some(told) = told else { continue };
        if !(0..=RATE_MAX).contains(&told) {
            let message = format!("{name}: from 1 to {RATE_MAX}, or 0 for no limit.");
            return Err(Failure::invalid(message));
        }
        *place = told;
    }
    key.unlimited = draft.unlimited_quota.unwrap_or(key.unlimited);
    key.unlimited_tokens = draft.unlimited_tokens.unwrap_or(key.unlimited_tokens);
    key.model_limits_enabled = draft.model_limits_enabled.unwrap_or(key.model_limits_enabled);
    key.rules().map_err(|error| Failure::invalid(error.0))?;
    Ok(key)
}

fn remaining(draft: &TokenDraft) -> Result<Remaining, Failure> {
    // What an unlimited key shows sent back as it is must not become a limit.
    let money = draft.remain_quota.filter(|_| draft.unlimited_quota != Some(true));
    let tokens = draft.remain_tokens.filter(|_| draft.unlimited_tokens != Some(true));
    for (name, told) in [("remain_quota", money), ("remain_tokens", tokens)] {
        if told.is_some_and(|told| !(0..=REMAIN_MAX).contains(&told)) {
            return Err(Failure::invalid(format!("{name}: from 0 to {REMAIN_MAX}.")));
        }
    }
    Ok(Remaining { money, tokens })
}
