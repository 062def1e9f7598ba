//! A provider: how it is configured, and what it says of itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::Mutex;

use super::keys::KeySet;
use crate::networks::{AddressPolicy, FetchError, Fetcher};

/// `[gateway.openid]` of the configuration file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIdSettings {
    /// The provider, exactly as it calls itself (`https://accounts.example.org`).
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// What we prove that with.
    #[serde(default)]
    pub client_secret: String,
    /// A file that has the secret, rather than the field.
    pub client_secret_file: Option<PathBuf>,
    /// What the button says.
    #[serde(default = "usual_name")]
    pub name: String,
    /// Asked for beside `openid`.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// Whoever the provider knows may have an account, however signing up is regulated otherwise.
    #[serde(default)]
    pub sign_up: bool,
    /// The provider may be on this machine or in a private network, and without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

fn usual_name() -> String {
    "OpenID".into()
}

fn usual_scopes() -> Vec<String> {
    vec!["profile".into(), "email".into()]
}

impl fmt::Debug for OpenIdSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("OpenIdSettings");
        debug
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// `/.well-known/openid-configuration`, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Document {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// What is known of the provider.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub document: Document,
    pub keys: KeySet,
    /// Seconds since the epoch.
    fetched: u64,
}

/// Asks the provider, and remembers.
pub(super) struct Provider {
    issuer: String,
    pub fetcher: Fetcher,
    allow_private: bool,
    known: Mutex<Option<Arc<Known>>>,
}

/// What is older is asked for again.
const FRESH_SECONDS: u64 = 3600;

/// A token with an unknown key is a reason to ask again, but whoever sends such tokens must not
/// have us ask all the time.
const RENEWAL_SECONDS_MIN: u64 = 30;

impl Provider {
    pub fn new(settings: &OpenIdSettings) -> Self {
        let policy = match settings.allow_private {
            true => AddressPolicy::Operator,
            false => AddressPolicy::Public,
        };
        Self {
            issuer: settings.issuer.clone(),
            fetcher: Fetcher::new(policy),
            allow_private: settings.allow_private,
            known: Mutex::default(),
        }
    }

    /// What is known of it, asked for where it is not known or old.
    pub async fn known(&self, now: u64) -> Result<Arc<Known>, String> {
        self.fresh(now, FRESH_SECONDS).await
    }

    /// The same, asked for again where it is not brand new.
    pub async fn renewed(&self, now: u64) -> Result<Arc<Known>, String> {
        self.fresh(now, RENEWAL_SECONDS_MIN).await
    }

    async fn fresh(&self, now: u64, age_max: u64) -> Result<Arc<Known>, String> {
        // Held while asking, so that many logins ask once.
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && now.saturating_sub(known.fetched) < age_max
        {
            return Ok(known.clone());
        }
        match self.fetch(now).await {
            Ok(fetched) => Ok(known.insert(Arc::new(fetched)).clone()),
            Err(problem) => match &*known {
                // Keys outlive an outage of the place that publishes them.
                Some(old) if now.saturating_sub(old.fetched) < 24 * FRESH_SECONDS => {
                    tracing::warn!(problem, "OpenID: what was known of the provider stays");
                    Ok(old.clone())
                }
                _ => Err(problem),
            },
        }
    }

    async fn fetch(&self, now: u64) -> Result<Known, String> {
        let fetch_failed = |error: FetchError| error.to_string();
        let base = self.issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let body = self.fetcher.get(&url).await.map_err(fetch_failed)?;
        let document: Document =
            serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))?;
        if document.issuer != self.issuer {
            let actual = &document.issuer;
            return Err(format!("{url} is of the issuer '{actual}', not '{}'", self.issuer));
        }
        // The browser goes there; the other addresses are checked when they are fetched.
        let is_safe = document.authorization_endpoint.starts_with("https://")
            || self.allow_private && document.authorization_endpoint.starts_with("http://");
        if !is_safe {
            return Err(format!("{url}: authorization_endpoint has to begin with https://"));
        }
        let body = self.fetcher.get(&document.jwks_uri).await.map_err(fetch_failed)?;
        let keys = serde_json::from_slice(&body)
            .map_err(|error| format!("{}: {error}", document.jwks_uri))?;
        Ok(Known { document, keys, fetched: now })
    }
}
