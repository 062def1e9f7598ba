//! Signing in by OpenID Connect: the authorization code flow with state, nonce and PKCE.
//!
//! **Owns:** what is asked of the provider, and what is believed of what it says. **Does not know:**
//! accounts. Whoever holds them ties an [`Identity`] to one by its issuer and subject alone: names
//! and addresses can change hands.
//!
//! What has to be remembered between the two halves of a login stands sealed in a cookie, so that
//! any node can finish what another began, and nobody else's browser can.
//!
//! **Start at** [`OpenId`].

mod keys;
mod login;
mod pending;
mod provider;
mod tokens;

pub use login::{Begun, Callback, Identity, OpenId, OpenIdError};
pub use provider::OpenIdSettings;
