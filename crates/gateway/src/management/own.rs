//! One's own account.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;

use super::access::SignedIn;
use super::answer::{Failure, Told, done};
use super::told::Body;
use crate::accounts::{User, UserChange};
use crate::parts::Parts;
use crate::wire::UserView;

pub(super) fn view(user: &User, csrf_token: Option<String>) -> UserView {
    UserView {
        id: user.id,
        username: user.username.clone(),
        display_name: user.display_name.clone(),
        role: user.role,
        status: user.status,
        quota: user.balance,
        unlimited_quota: user.unlimited,
        used_quota: user.used,
        request_count: user.requests,
        created_time: user.created_at / 1000,
        csrf_token,
    }
}

/// `GET /api/user/self`
pub(super) async fn show(State(parts): State<Arc<Parts>>, signed_in: SignedIn) -> Told<UserView> {
    let csrf_token = signed_in.session.as_deref().map(|s| parts.accounts.csrf_token(s));
    done(view(&signed_in.user, csrf_token))
}

/// What one may change of oneself. Everything else is refused by name, money above all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    display_name: Option<String>,
    original_password: Option<String>,
    password: Option<String>,
}

/// `PUT /api/user/self`
pub(super) async fn change(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    Body(told): Body<Profile>,
) -> Told<UserView> {
    let id = signed_in.user.id;
    if told.password.is_some() {
        let original = told.original_password.as_deref().unwrap_or_default();
        parts.accounts.confirm(&signed_in.user, original).await?;
    }
    let detail = if told.password.is_some() { "password" } else { "" };
    let change = UserChange {
        display_name: told.display_name,
        password: told.password,
        ..UserChange::default()
    };
    parts.accounts.change_user(id, change).await?;
    signed_in.note(&parts, "user.self", id, detail).await?;
    done(view(&parts.accounts.user(id).await?, None))
}

/// `GET /api/user/token`: a new personal access token, told once. It changes something by `GET`,
/// as scripts expect; so a page of another site must not be able to have a browser ask for it.
pub(super) async fn new_token(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
    headers: HeaderMap,
) -> Told<String> {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if signed_in.session.is_some() && !matches!(site, None | Some("same-origin")) {
        return Err(Failure::forbidden("This can be asked for by the console's own pages only."));
    }
    let token = parts.accounts.new_personal_token(signed_in.user.id).await?;
    signed_in.note(&parts, "user.token", signed_in.user.id, "").await?;
    done(token)
}
