//! Who calls the management API.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts as Head;
use axum::http::{HeaderMap, Method, header};

use super::answer::Failure;
use crate::accounts::{ADMINISTRATOR, SESSION_MILLIS, User};
use crate::admission::ClientAddress;
use crate::audit::Deed;
use crate::parts::Parts;
use crate::secrets::same;

/// Somebody who is signed in.
pub(super) struct SignedIn {
    pub user: User,
    /// What is in the cookie; absent if it was a personal access token.
    pub session: Option<String>,
    pub address: String,
}

/// Somebody who is signed in and may administrate.
pub(super) struct Administrator(pub SignedIn);

/// Where a request comes from, for people to read.
pub(super) struct Address(pub String);

impl FromRequestParts<Arc<Parts>> for SignedIn {
    type Rejection = Failure;

    async fn from_request_parts(head: &mut Head, parts: &Arc<Parts>) -> Result<Self, Failure> {
        let address = address(head);
        if let Some(value) = head.headers.get(header::AUTHORIZATION) {
            let text = value.to_str().unwrap_or_default();
            let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
            let user = parts.accounts.personal_token(token).await?;
            let user = user.ok_or_else(Failure::not_signed_in)?;
            return Ok(Self { user, session: None, address });
        }
        let session = session(parts, &head.headers).ok_or_else(Failure::not_signed_in)?;
        let user = parts.accounts.session(&session).await?.ok_or_else(Failure::not_signed_in)?;
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let told = head.headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
            if !told.is_some_and(|told| same(told, &parts.accounts.csrf_token(&session))) {
                let message = "The header X-CSRF-Token is missing or of another session.";
                return Err(Failure::forbidden(message));
            }
        }
        Ok(Self { user, session: Some(session), address })
    }
}

impl FromRequestParts<Arc<Parts>> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(head: &mut Head, parts: &Arc<Parts>) -> Result<Self, Failure> {
        let signed_in = SignedIn::from_request_parts(head, parts).await?;
        if signed_in.user.role < ADMINISTRATOR {
            return Err(Failure::forbidden("Only administrators may do this."));
        }
        Ok(Self(signed_in))
    }
}

impl FromRequestParts<Arc<Parts>> for Address {
    type Rejection = Failure;

    async fn from_request_parts(head: &mut Head, _: &Arc<Parts>) -> Result<Self, Failure> {
        Ok(Self(address(head)))
    }
}

impl SignedIn {
    /// Notes what was done.
    pub async fn note(
        &self,
        parts: &Parts,
        action: &'static str,
        subject: impl ToString,
        detail: impl Into<String>,
    ) -> Result<(), Failure> {
        let deed = Deed {
            user: self.user.id,
            username: &self.user.username,
            action,
            subject: subject.to_string(),
            detail: detail.into(),
            ip: self.address.clone(),
        };
        Ok(parts.audit.note(deed).await?)
    }
}

fn address(head: &Head) -> String {
    let told = head.extensions.get::<ClientAddress>().map(|address| address.0);
    let connected = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    told.or(connected).map_or_else(String::new, |ip: IpAddr| ip.to_canonical().to_string())
}

/// With the prefix, browsers take the cookie from this very host over encrypted connections only.
fn cookie_name(parts: &Parts) -> &'static str {
    if parts.settings.secure_cookies { "__Host-phial" } else { "phial" }
}

fn session(parts: &Parts, headers: &HeaderMap) -> Option<String> {
    named_cookie(headers, cookie_name(parts))
}

/// What is in a cookie; of two of the same name, nothing.
pub(super) fn named_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (Some(value), None) => Some(value.to_owned()),
        _ => None,
    }
}

/// The header that begins a session in a browser.
pub(super) fn set_cookie(parts: &Parts, session: &str) -> String {
    cookie(parts, session, SESSION_MILLIS / 1000)
}

/// The header that ends it.
pub(super) fn clear_cookie(parts: &Parts) -> String {
    cookie(parts, "", 0)
}

fn cookie(parts: &Parts, value: &str, seconds: i64) -> String {
    let secure = if parts.settings.secure_cookies { "; Secure" } else { "" };
    let name = cookie_name(parts);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}
