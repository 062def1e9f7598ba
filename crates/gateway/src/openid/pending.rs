//! What a login has to remember between its two halves.

use serde::{Deserialize, Serialize};

use crate::sealing::Seal;

/// What ties the provider's answer to the browser that was sent there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Comes back with the browser.
    pub state: String,
    /// Comes back in the token.
    pub nonce: String,
    /// Proves to the provider that the code is asked for by whoever began (PKCE).
    pub verifier: String,
    /// Seconds since the epoch.
    pub expires: u64,
    /// The user who is signed in already and ties the identity to their account.
    #[serde(default)]
    pub link: Option<i64>,
}

/// Tells these cookies from whatever else is sealed.
pub(super) const PURPOSE: &str = "openid login";

impl Pending {
    /// For the browser to keep.
    pub fn close(&self, seal: &Seal) -> Option<String> {
        seal.close(&serde_json::to_vec(self).ok()?)
    }

    /// What the browser brought back, if it was sealed here.
    pub fn open(seal: &Seal, cookie: &str) -> Option<Self> {
        serde_json::from_slice(&seal.open(cookie)?).ok()
    }
}
