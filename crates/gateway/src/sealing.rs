//! What others keep for us and must neither read nor change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

/// Seals and opens, for one purpose.
pub(crate) struct Seal {
    key: LessSafeKey,
    purpose: &'static str,
}

impl Seal {
    /// With a key that is derived from the server's `secret`; what was sealed for another purpose
    /// is not opened.
    pub fn new(secret: &[u8], purpose: &'static str) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("any length will do");
        mac.update(purpose.as_bytes());
        let key = mac.finalize().into_bytes();
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("both have 32 bytes");
        Self { key: LessSafeKey::new(key), purpose }
    }

    /// `None` when the system has no random bytes.
    pub fn close(&self, open: &[u8]) -> Option<String> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = open.to_vec();
        let aad = Aad::from(self.purpose);
        let bound = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(bound, aad, &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// `None` for whatever this key did not seal.
    pub fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let bound = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key.open_in_place(bound, Aad::from(self.purpose), sealed).ok()?;
        Some(opened.to_vec())
    }
}

/// Random bytes, if the system has any.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_for_this_is_opened() {
        let seal = Seal::new(b"secret", "one");
        let sealed = seal.close(b"text").unwrap();
        assert_eq!(seal.open(&sealed).unwrap(), b"text");
        assert_ne!(seal.close(b"text").unwrap(), sealed);
        assert_eq!(Seal::new(b"another", "one").open(&sealed), None);
        assert_eq!(Seal::new(b"secret", "two").open(&sealed), None);
        for place in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert_eq!(seal.open(&String::from_utf8(forged).unwrap()), None, "byte {place}");
        }
        assert_eq!(seal.open(""), None);
        assert_eq!(seal.open("not base64!"), None);
    }
}
