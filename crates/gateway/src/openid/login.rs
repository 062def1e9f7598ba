//! The two halves of a login.

use std::fmt;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::pending::{PURPOSE, Pending};
use super::provider::{Document, OpenIdSettings, Provider};
use super::tokens::{Claims, Disbelief, Expected, verify};
use crate::sealing::{Seal, random};

/// Signs people in by one provider.
pub struct OpenId {
    settings: OpenIdSettings,
    secret: String,
    redirect_url: String,
    provider: Provider,
    seal: Seal,
}

/// Somebody, as the provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Names the person there, for ever. With the issuer, all that an account may be tied to.
    pub subject: String,
    /// A name to offer for a new account; not unique, and may change.
    pub username: Option<String>,
    /// What to call the person.
    pub display_name: Option<String>,
    /// An address; proven to be the person's only if the provider says so.
    pub email: Option<String>,
    /// Whether it does.
    pub email_is_verified: bool,
}

/// A login that has begun.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// Where the browser is sent.
    pub url: String,
    /// For a cookie of that browser (HttpOnly, SameSite=Lax) that lasts [`OpenId::COOKIE_SECONDS`].
    pub cookie: String,
}

/// What comes back with the browser.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Callback {
    /// Stands for the person until it is exchanged.
    pub code: Option<String>,
    /// Which login it belongs to.
    pub state: Option<String>,
    /// Who sent it, where the provider says so (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// How long somebody may take to sign in at the provider, in seconds.
pub(super) const LOGIN_SECONDS_MAX: u64 = 600;

/// Why nobody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenIdError {
    /// The configuration makes no sense.
    Settings(String),
    /// The provider does not do what it should; for the operator.
    Provider(String),
    /// What the browser brought belongs to no login of its own, or one that was refused or took too
    /// long.
    Refused(&'static str),
}

impl fmt::Display for OpenIdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(problem) => write!(formatter, "[gateway.openid]: {problem}"),
            Self::Provider(problem) => write!(formatter, "OpenID provider: {problem}"),
            Self::Refused(problem) => write!(formatter, "OpenID login: {problem}"),
        }
    }
}

impl std::error::Error for OpenIdError {}

impl OpenId {
    /// How many seconds the cookie of a login lasts.
    pub const COOKIE_SECONDS: u64 = LOGIN_SECONDS_MAX;

    /// The provider sends browsers back to `redirect_url`. `server_secret` is the same on all nodes.
    /// Nothing is asked of the provider yet.
    ///
    /// # Errors
    /// The settings make no sense, or the file of the secret cannot be read.
    pub fn new(
        settings: OpenIdSettings,
        redirect_url: &str,
        server_secret: &[u8],
    ) -> Result<Self, OpenIdError> {
        let wrong = |problem: &str| Err(OpenIdError::Settings(problem.to_owned()));
        let is_safe = settings.issuer.starts_with("https://")
            || settings.allow_private && settings.issuer.starts_with("http://");
        if !is_safe {
            return wrong("issuer: has to begin with https:// (or allow_private has to be set)");
        }
        if settings.client_id.is_empty() {
            return wrong("client_id: is empty");
        }
        let secret = match &settings.client_secret_file {
            None => settings.client_secret.clone(),
            Some(_) if !settings.client_secret.is_empty() => {
                return wrong("client_secret or client_secret_file, not both");
            }
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => text.trim().to_owned(),
                Err(error) => {
                    let problem =
                        format!("client_secret_file: cannot read {}: {error}", path.display());
                    return Err(OpenIdError::Settings(problem));
                }
            },
        };
        Ok(Self {
            provider: Provider::new(&settings),
            redirect_url: redirect_url.to_owned(),
            seal: Seal::new(server_secret, PURPOSE),
            secret,
            settings,
        })
    }

    /// What the button says.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether everybody whom the provider knows may have an account.
    pub fn signs_up(&self) -> bool {
        self.settings.sign_up
    }

    /// Begins a login at `now` (seconds since the epoch).
    ///
    /// # Errors
    /// The provider cannot be asked who it is.
    pub async fn begin(&self, now: u64) -> Result<Begun, OpenIdError> {
        self.begin_for(None, now).await
    }

    /// Begins what ties an identity to the account of `user`, who is signed in.
    ///
    /// # Errors
    /// As [`OpenId::begin`].
    pub async fn begin_link(&self, user: i64, now: u64) -> Result<Begun, OpenIdError> {
        self.begin_for(Some(user), now).await
    }

    /// The user for whom the login of `cookie` was begun by [`OpenId::begin_link`].
    pub fn linking(&self, cookie: &str) -> Option<i64> {
        Pending::open(&self.seal, cookie)?.link
    }

    async fn begin_for(&self, link: Option<i64>, now: u64) -> Result<Begun, OpenIdError> {
        let known = self.provider.known(now).await.map_err(OpenIdError::Provider)?;
        let word = || random::<32>().map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        let begun = (|| {
            let pending = Pending {
                state: word()?,
                nonce: word()?,
                verifier: word()?,
                expires: now + LOGIN_SECONDS_MAX,
                link,
            };
            let url = self.authorization_url(&known.document, &pending);
            Some(Begun { url, cookie: pending.close(&self.seal)? })
        })();
        begun.ok_or_else(|| OpenIdError::Provider("the system has no random numbers".into()))
    }

    fn authorization_url(&self, document: &Document, pending: &Pending) -> String {
        let mut scope = "openid".to_owned();
        for more in self.settings.scopes.iter().filter(|scope| *scope != "openid") {
            scope.push(' ');
            scope.push_str(more);
        }
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&pending.verifier));
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.redirect_url)
            .append_pair("scope", &scope)
            .append_pair("state", &pending.state)
            .append_pair("nonce", &pending.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish();
        let endpoint = &document.authorization_endpoint;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{separator}{query}")
    }

    /// Finishes the login whose `cookie` the browser brought, at `now`.
    ///
    /// # Errors
    /// It is no login of this browser, the provider refused it, or says what cannot be believed.
    pub async fn finish(
        &self,
        cookie: &str,
        callback: &Callback,
        now: u64,
    ) -> Result<Identity, OpenIdError> {
        let refused = OpenIdError::Refused;
        let pending = Pending::open(&self.seal, cookie);
        let pending = pending.ok_or(refused("this browser has not begun it; please try again"))?;
        let state = callback.state.as_deref().unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(pending.state.as_bytes())) {
            return Err(refused("it belongs to another login; please try again"));
        }
        if now >= pending.expires {
            return Err(refused("it took too long; please try again"));
        }
        if callback.error.is_some() {
            return Err(refused("the provider refused it"));
        }
        let code = callback.code.as_deref().ok_or(refused("the provider sent no code"))?;
        let known = self.provider.known(now).await.map_err(OpenIdError::Provider)?;
        let must_say = known.document.authorization_response_iss_parameter_supported;
        match &callback.iss {
            Some(issuer) if *issuer != self.settings.issuer => {
                return Err(refused("another provider sent it"));
            }
            None if must_say => return Err(refused("it does not say which provider sent it")),
            _ => {}
        }
        let token = self.exchange(&known.document, code, &pending.verifier).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &pending.nonce,
            now,
        };
        let mut claims = verify(&token, &known.keys, expected);
        if claims == Err(Disbelief::UnknownKey) {
            let renewed = self.provider.renewed(now).await.map_err(OpenIdError::Provider)?;
            claims = verify(&token, &renewed.keys, expected);
        }
        match claims {
            Ok(claims) => Ok(identity(claims)),
            Err(Disbelief::UnknownKey) => Err(OpenIdError::Provider(
                "the ID token is signed by a key it does not list".into(),
            )),
            Err(Disbelief::Wrong(why)) => {
                Err(OpenIdError::Provider(format!("the ID token is not believed: {why}")))
            }
        }
    }

    /// What the provider wants for an ID token: our name, our secret and the code.
    fn token_request(
        &self,
        document: &Document,
        code: &str,
        verifier: &str,
    ) -> (HeaderMap, String) {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_url)
            .append_pair("code_verifier", verifier);
        let mut headers = HeaderMap::new();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        let methods = &document.token_endpoint_auth_methods_supported;
        let has = |method: &str| methods.iter().any(|known| known == method);
        let id = &self.settings.client_id;
        // Basic is what a provider takes that does not say.
        if self.secret.is_empty() || !methods.is_empty() && !has("client_secret_basic") {
            form.append_pair("client_id", id);
            if !self.secret.is_empty() {
                form.append_pair("client_secret", &self.secret);
            }
        } else {
            let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(&self.secret)));
            if let Ok(mut value) = HeaderValue::try_from(format!("Basic {pair}")) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        (headers, form.finish())
    }

    /// The code for an ID token.
    async fn exchange(
        &self,
        document: &Document,
        code: &str,
        verifier: &str,
    ) -> Result<String, OpenIdError> {
        let (headers, form) = self.token_request(document, code, verifier);
        let url = &document.token_endpoint;
        let answer = self.provider.fetcher.post(url, headers, form.into()).await;
        let (status, body) = answer.map_err(|error| OpenIdError::Provider(error.to_string()))?;
        if status.is_client_error() {
            // A code that was used before, mostly; our own secret, at worst. The log says which.
            let error = serde_json::from_slice::<Refusal>(&body).unwrap_or_default().error;
            tracing::warn!(%status, error, "OpenID: the provider does not exchange the code");
            return Err(OpenIdError::Refused(
                "the provider does not know the code; please try again",
            ));
        }
        let token = serde_json::from_slice::<Exchanged>(&body).ok().filter(|_| status.is_success());
        token.map(|exchanged| exchanged.id_token).ok_or_else(|| {
            OpenIdError::Provider(format!("{url}: status {status}, and no ID token"))
        })
    }
}

#[derive(Deserialize)]
struct Exchanged {
    id_token: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
}

fn identity(claims: Claims) -> Identity {
    Identity {
        issuer: claims.iss,
        subject: claims.sub,
        username: claims.preferred_username,
        display_name: claims.name,
        email: claims.email,
        email_is_verified: claims.email_verified.unwrap_or(false),
    }
}
