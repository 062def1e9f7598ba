//! What administrators do.

use std::sync::Arc;

use axum::extract::State;
use serde::Deserialize;

use super::access::Administrator;
use super::answer::{Failure, PageQuery, Told, done};
use super::own::view;
use super::told::{Asked, Body, Id};
use crate::accounts::{ADMINISTRATOR, DISABLED, USER, UserChange};
use crate::ledger::ENABLED;
use crate::options::{SignUp, check_prices};
use crate::parts::Parts;
use crate::wire::{AuditView, InvitationView, OptionsDraft, OptionsView, Page, UserView};

/// Money that a new user may get at most.
const NEW_USER_QUOTA_MAX: i64 = 1_000_000_000_000_000;

/// Prices by model at most.
const PRICES_MAX: usize = 1000;

/// `GET /api/user/`
pub(super) async fn list(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(page): Asked<PageQuery>,
) -> Told<Page<UserView>> {
    let (users, total) = parts.accounts.users(page.limit(), page.offset()).await?;
    done(page.of(users.iter().map(|user| view(user, None)).collect(), total))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    username: String,
    password: String,
    #[serde(default = "user_role")]
    role: i64,
    #[serde(default)]
    quota: i64,
}

fn user_role() -> i64 {
    USER
}

/// `POST /api/user/`
pub(super) async fn create(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Body(told): Body<NewUser>,
) -> Told<UserView> {
    check_role(told.role)?;
    check_quota("quota", told.quota)?;
    let accounts = &parts.accounts;
    let id = accounts.create_user(&told.username, &told.password, told.role, told.quota).await?;
    by.note(&parts, "user.create", id, told.username).await?;
    done(view(&accounts.user(id).await?, None))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedUser {
    id: i64,
    display_name: Option<String>,
    role: Option<i64>,
    status: Option<i64>,
    unlimited_quota: Option<bool>,
    password: Option<String>,
}

/// `PUT /api/user/`
pub(super) async fn change(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Body(told): Body<ChangedUser>,
) -> Told<UserView> {
    told.role.map_or(Ok(()), check_role)?;
    if told.status.is_some_and(|status| ![ENABLED, DISABLED].contains(&status)) {
        return Err(Failure::invalid("status: 1 is enabled, 2 is disabled."));
    }
    let mut what = Vec::new();
    if let Some(role) = told.role {
        what.push(format!("role {role}"));
    }
    if let Some(status) = told.status {
        what.push(format!("status {status}"));
    }
    if told.password.is_some() {
        what.push("password".to_owned());
    }
    let change = UserChange {
        display_name: told.display_name,
        role: told.role,
        status: told.status,
        unlimited: told.unlimited_quota,
        password: told.password,
    };
    parts.accounts.change_user(told.id, change).await?;
    parts.keys.forget();
    by.note(&parts, "user.change", told.id, what.join(", ")).await?;
    done(view(&parts.accounts.user(told.id).await?, None))
}

/// `DELETE /api/user/{id}`
pub(super) async fn delete(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Id(id): Id,
) -> Told<()> {
    parts.accounts.delete_user(id).await?;
    parts.keys.forget();
    by.note(&parts, "user.delete", id, "").await?;
    done(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credit {
    amount: i64,
    #[serde(default)]
    note: String,
}

/// `POST /api/user/{id}/credit`
pub(super) async fn credit(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Id(id): Id,
    Body(told): Body<Credit>,
) -> Told<UserView> {
    parts.accounts.credit(id, told.amount, &told.note).await?;
    by.note(&parts, "user.credit", id, told.amount.to_string()).await?;
    done(view(&parts.accounts.user(id).await?, None))
}

/// `GET /api/invitation`
pub(super) async fn invitations(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(page): Asked<PageQuery>,
) -> Told<Page<InvitationView>> {
    let (views, total) = parts.accounts.invitations(page.limit(), page.offset()).await?;
    done(page.of(views, total))
}

/// `POST /api/invitation`
pub(super) async fn invite(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
) -> Told<InvitationView> {
    let invitation = parts.accounts.invite(by.user.id).await?;
    by.note(&parts, "invitation.create", invitation.id, "").await?;
    done(invitation)
}

/// `GET /api/option/`
pub(super) async fn options(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
) -> Told<OptionsView> {
    done(parts.options.view())
}

/// `PUT /api/option/`
pub(super) async fn set_options(
    State(parts): State<Arc<Parts>>,
    Administrator(by): Administrator,
    Body(draft): Body<OptionsDraft>,
) -> Told<OptionsView> {
    let (sign_up_is_fixed, prices_are_fixed) = parts.options.fixed();
    let is_fixed =
        draft.sign_up.is_some() && sign_up_is_fixed || draft.prices.is_some() && prices_are_fixed;
    if is_fixed {
        return Err(Failure::conflict("The server's configuration file decides this."));
    }
    let mut decided = parts.options.current().as_ref().clone();
    if let Some(word) = &draft.sign_up {
        decided.sign_up = SignUp::read(word)
            .ok_or_else(|| Failure::invalid("sign_up: one of off, invitation and open."))?;
    }
    if let Some(prices) = draft.prices {
        check_prices(&prices).map_err(Failure::invalid)?;
        let is_name = |name: &String| name.len() <= 256 && !name.chars().any(char::is_control);
        if prices.len() > PRICES_MAX || !prices.keys().all(is_name) {
            return Err(Failure::invalid(format!("prices: at most {PRICES_MAX} names of models.")));
        }
        decided.prices = prices;
    }
    if let Some(quota) = draft.new_user_quota {
        check_quota("new_user_quota", quota)?;
        decided.new_user_quota = quota;
    }
    parts.options.decide(&decided).await?;
    by.note(&parts, "option.change", "options", "").await?;
    done(parts.options.view())
}

/// `GET /api/audit`
pub(super) async fn audit(
    State(parts): State<Arc<Parts>>,
    _: Administrator,
    Asked(page): Asked<PageQuery>,
) -> Told<Page<AuditView>> {
    let (views, total) = parts.audit.list(page.limit(), page.offset()).await?;
    done(page.of(views, total))
}

fn check_role(role: i64) -> Result<(), Failure> {
    match role {
        USER | ADMINISTRATOR => Ok(()),
        _ => Err(Failure::invalid("role: 1 is a user, 10 an administrator.")),
    }
}

fn check_quota(name: &str, quota: i64) -> Result<(), Failure> {
    match (0..=NEW_USER_QUOTA_MAX).contains(&quota) {
        true => Ok(()),
        false => Err(Failure::invalid(format!("{name}: from 0 to {NEW_USER_QUOTA_MAX}."))),
    }
}
