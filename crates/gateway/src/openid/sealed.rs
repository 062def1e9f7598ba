//! What a login has to remember, sealed for the browser to keep.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

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
}

/// Seals and opens.
pub(super) struct Seal(LessSafeKey);

/// Tells these cookies from whatever else is made with the server's secret.
const PURPOSE: &[u8] = b"phial openid login";

impl Seal {
    /// With a key that is derived from the server's `secret`.
    pub fn new(secret: &[u8]) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
        mac.update(PURPOSE);
        let key = mac.finalize().into_bytes();
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("both have 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// `None` when the system has no random bytes.
    pub fn close(&self, pending: &Pending) -> Option<String> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = serde_json::to_vec(pending).ok()?;
        let aad = Aad::from(PURPOSE);
        let bound = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(bound, aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// `None` for whatever this key did not seal.
    pub fn open(&self, cookie: &str) -> Option<Pending> {
        let mut bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let bound = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(bound, Aad::from(PURPOSE), sealed).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_here_is_opened() {
        let seal = Seal::new(b"secret");
        let pending =
            Pending { state: "s".into(), nonce: "n".into(), verifier: "v".into(), expires: 7 };
        let cookie = seal.close(&pending).unwrap();
        assert_eq!(seal.open(&cookie), Some(pending.clone()));
        assert_ne!(seal.close(&pending).unwrap(), cookie);
        assert_eq!(Seal::new(b"another").open(&cookie), None);
        for place in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(&String::from_utf8(forged).unwrap()), None, "byte {place}");
        }
        assert_eq!(seal.open(""), None);
        assert_eq!(seal.open("not base64!"), None);
    }
}
