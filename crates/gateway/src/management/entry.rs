//! Coming in and going out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::access::{Address, SignedIn, clear_cookie, set_cookie};
use super::answer::{Failure, Told, done};
use super::own::view;
use super::told::Body;
use crate::accounts::{Entry, User};
use crate::audit::Deed;
use crate::openid::OpenId;
use crate::options::SignUp;
use crate::origins;
use crate::parts::Parts;
use crate::wire::{Answer, OpenidStatus, Status, UserView};

/// `GET /api/status`
pub(super) async fn status(State(parts): State<Arc<Parts>>, headers: HeaderMap) -> Told<Status> {
    done(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: parts.settings.name.clone(),
        sign_up: parts.options.current().sign_up.name().to_owned(),
        openid: parts.openid.as_ref().map(openid_status),
        currency: parts.settings.currency.clone(),
        quota_per_unit: 1_000_000,
        models: parts.upstream.models(),
        setup_needed: !parts.accounts.has_administrator().await?,
        base_url: origins::base_url(&parts.settings, &headers),
        api_origin: origins::api_origin(&parts.settings, &headers),
    })
}

fn openid_status(openid: &OpenId) -> OpenidStatus {
    OpenidStatus { enabled: true, name: openid.name().to_owned() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUp {
    secret: String,
    username: String,
    password: String,
}

/// `POST /api/setup`
pub(super) async fn set_up(
    State(parts): State<Arc<Parts>>,
    Address(ip): Address,
    Body(told): Body<SetUp>,
) -> Result<impl IntoResponse, Failure> {
    let id = parts.accounts.set_up(&told.secret, &told.username, &told.password).await?;
    begin(&parts, id, "setup", ip).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Register {
    username: String,
    password: String,
    #[serde(default)]
    invitation: Option<String>,
}

/// `POST /api/user/register`
pub(super) async fn register(
    State(parts): State<Arc<Parts>>,
    Address(ip): Address,
    Body(told): Body<Register>,
) -> Result<impl IntoResponse, Failure> {
    let decided = parts.options.current();
    let entry = match (decided.sign_up, told.invitation.as_deref()) {
        (SignUp::Off, _) => return Err(Failure::forbidden("Signing up is off.")),
        (SignUp::Open, _) => Entry::Open,
        (SignUp::Invitation, Some(code)) => Entry::Invited(code),
        (SignUp::Invitation, None) => {
            return Err(Failure::forbidden("Signing up needs an invitation."));
        }
    };
    let quota = decided.new_user_quota;
    let id = parts.accounts.register(&told.username, &told.password, entry, quota).await?;
    begin(&parts, id, "user.register", ip).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignIn {
    username: String,
    password: String,
}

/// `POST /api/user/login`
pub(super) async fn sign_in(
    State(parts): State<Arc<Parts>>,
    Address(ip): Address,
    Body(told): Body<SignIn>,
) -> Result<impl IntoResponse, Failure> {
    let user = parts.accounts.sign_in(&told.username, &told.password, &ip).await?;
    begin(&parts, user.id, "user.login", ip).await
}

/// Begins a session and notes why.
async fn begin(
    parts: &Parts,
    user: i64,
    action: &'static str,
    ip: String,
) -> Result<([(header::HeaderName, String); 1], Json<Answer<UserView>>), Failure> {
    let user: User = parts.accounts.user(user).await?;
    let session = parts.accounts.begin_session(user.id).await?;
    let (subject, detail) = (user.username.clone(), String::new());
    let deed = Deed { user: user.id, username: &user.username, action, subject, detail, ip };
    parts.audit.note(deed).await?;
    let csrf_token = Some(parts.accounts.csrf_token(&session));
    let cookie = [(header::SET_COOKIE, set_cookie(parts, &session))];
    Ok((cookie, done(view(&user, csrf_token))?))
}

/// `POST /api/user/logout`
pub(super) async fn sign_out(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
) -> Result<impl IntoResponse, Failure> {
    if let Some(session) = &signed_in.session {
        parts.accounts.end_session(session).await?;
    }
    Ok(([(header::SET_COOKIE, clear_cookie(&parts))], done(())?))
}
