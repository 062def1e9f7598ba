//! Signing in at an OpenID provider: both halves are pages that a browser visits.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::{Address, SignedIn, named_cookie, set_cookie};
use super::answer::{Failure, Told, done};
use super::told::Asked;
use crate::audit::Deed;
use crate::clock::unix_millis;
use crate::ledger::ENABLED;
use crate::openid::{Callback, Identity, OpenId, OpenIdError};
use crate::options::SignUp;
use crate::parts::Parts;
use crate::wire::SignInView;

/// Where a browser goes that is signed in.
const CONSOLE: &str = "/console/";

/// And one whose account was tied to an identity.
const ACCOUNT: &str = "/console/account";

impl From<OpenIdError> for Failure {
    fn from(error: OpenIdError) -> Self {
        match error {
            OpenIdError::Refused(_) => Self::unauthorized(error.to_string()),
            OpenIdError::Provider(_) | OpenIdError::Settings(_) => {
                tracing::error!(%error, "nobody can sign in by OpenID Connect");
                Self::bad_gateway("The OpenID provider cannot be used at the moment.")
            }
        }
    }
}

/// `GET /api/oauth/openid`
pub(super) async fn begin(State(parts): State<Arc<Parts>>) -> Result<Response, Failure> {
    let begun = openid(&parts)?.begin(unix_seconds()).await?;
    let cookie = login_cookie(&parts, &begun.cookie, OpenId::COOKIE_SECONDS);
    redirect(&begun.url, &[cookie])
}

/// `POST /api/oauth/openid/link`: where the browser is to go, for the one who is signed in to tie
/// the account to who they are there. Never by a name or an address alone: whoever can choose
/// those at a provider would have the account.
pub(super) async fn begin_link(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    if signed_in.session.is_none() {
        return Err(Failure::forbidden("This is done in a browser, by somebody signed in there."));
    }
    let begun = openid(&parts)?.begin_link(signed_in.user.id, unix_seconds()).await?;
    let cookie = login_cookie(&parts, &begun.cookie, OpenId::COOKIE_SECONDS);
    Ok(([(header::SET_COOKIE, cookie)], done(begun.url)?).into_response())
}

/// `GET /api/oauth/openid/link`
pub(super) async fn show_links(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
) -> Told<SignInView> {
    done(SignInView {
        has_password: !signed_in.user.password.is_empty(),
        identities: parts.accounts.identities(signed_in.user.id).await?,
    })
}

/// `DELETE /api/oauth/openid/link`
pub(super) async fn unlink(
    State(parts): State<Arc<Parts>>,
    signed_in: SignedIn,
) -> Told<SignInView> {
    parts.accounts.unlink_identities(&signed_in.user).await?;
    signed_in.note(&parts, "user.openid.unlink", signed_in.user.id, "").await?;
    show_links(State(parts), signed_in).await
}

/// `GET /api/oauth/openid/callback`
pub(super) async fn finish(
    State(parts): State<Arc<Parts>>,
    Address(ip): Address,
    headers: HeaderMap,
    Asked(callback): Asked<Callback>,
) -> Result<Response, Failure> {
    let openid = openid(&parts)?;
    let cookie = named_cookie(&headers, login_cookie_name(&parts)).unwrap_or_default();
    let identity = openid.finish(&cookie, &callback, unix_seconds()).await?;
    if let Some(user) = openid.linking(&cookie) {
        return finish_link(&parts, user, &identity, ip).await;
    }
    let decided = parts.options.current();
    let may_sign_up = openid.signs_up() || decided.sign_up == SignUp::Open;
    let quota = may_sign_up.then_some(decided.new_user_quota);
    let known = (identity.issuer.as_str(), identity.subject.as_str());
    let suggested = identity.username.as_deref().unwrap_or_default();
    let user = parts.accounts.user_of_identity(known, suggested, quota).await?;
    if user.status != ENABLED {
        return Err(Failure::forbidden("This account is disabled."));
    }
    let session = parts.accounts.begin_session(user.id).await?;
    let deed = Deed {
        user: user.id,
        username: &user.username,
        action: "user.openid",
        subject: user.username.clone(),
        detail: format!("{} {}", identity.issuer, identity.subject),
        ip,
    };
    parts.audit.note(deed).await?;
    redirect(CONSOLE, &[set_cookie(&parts, &session), login_cookie(&parts, "", 0)])
}

async fn finish_link(
    parts: &Parts,
    user: i64,
    identity: &Identity,
    ip: String,
) -> Result<Response, Failure> {
    let user = parts.accounts.user(user).await?;
    if user.status != ENABLED {
        return Err(Failure::forbidden("This account is disabled."));
    }
    let known = (identity.issuer.as_str(), identity.subject.as_str());
    parts.accounts.link_identity(user.id, known).await?;
    let deed = Deed {
        user: user.id,
        username: &user.username,
        action: "user.openid.link",
        subject: user.username.clone(),
        detail: format!("{} {}", identity.issuer, identity.subject),
        ip,
    };
    parts.audit.note(deed).await?;
    redirect(ACCOUNT, &[login_cookie(parts, "", 0)])
}

fn openid(parts: &Parts) -> Result<&OpenId, Failure> {
    parts.openid.as_ref().ok_or_else(|| Failure::not_found("OpenID Connect is not set up."))
}

fn unix_seconds() -> u64 {
    u64::try_from(unix_millis() / 1000).unwrap_or_default()
}

fn login_cookie_name(parts: &Parts) -> &'static str {
    if parts.settings.secure_cookies { "__Host-phial-login" } else { "phial-login" }
}

/// Comes back with the provider's redirect, which is another site's: hence Lax.
fn login_cookie(parts: &Parts, value: &str, seconds: u64) -> String {
    let secure = if parts.settings.secure_cookies { "; Secure" } else { "" };
    let name = login_cookie_name(parts);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

fn redirect(url: &str, cookies: &[String]) -> Result<Response, Failure> {
    let unusable = |_| Failure::bad_gateway("The OpenID provider's address cannot be used.");
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::try_from(url).map_err(unusable)?);
    for cookie in cookies {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).map_err(unusable)?);
    }
    Ok(response)
}
