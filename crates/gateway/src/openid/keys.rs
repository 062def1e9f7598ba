//! The keys by which a provider signs, and signatures that are checked with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// A provider's set of keys (RFC 7517).
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One of them. What is in it depends on its kind; keys of unknown kinds are passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Key {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

/// Ways to sign with a private key. A shared secret (`HS256`) and no signature at all (`none`) are
/// not among them.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    Rsa(&'static RsaParameters),
    P256,
    P384,
    Ed25519,
}

impl Algorithm {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::P256,
            "ES384" => Self::P384,
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    /// The kind of key, and the curve where it has one.
    fn kind(self) -> (&'static str, &'static str) {
        match self {
            Self::Rsa(_) => ("RSA", ""),
            Self::P256 => ("EC", "P-256"),
            Self::P384 => ("EC", "P-384"),
            Self::Ed25519 => ("OKP", "Ed25519"),
        }
    }
}

/// What a signature came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the provider's.
    Good,
    /// It is not, or made in a way that is not taken.
    Bad,
    /// No key of the set could have made it: the provider may have new ones.
    UnknownKey,
}

impl KeySet {
    /// Whether `signature` is one of `message`, made in the way `algorithm` by the key `id`.
    pub fn verify(
        &self,
        algorithm: &str,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Verdict {
        let Some(way) = Algorithm::from_name(algorithm) else { return Verdict::Bad };
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm, way, id)).peekable();
        if fitting.peek().is_none() {
            return Verdict::UnknownKey;
        }
        let is_good = fitting.any(|key| key.verify(way, message, signature).is_some());
        if is_good { Verdict::Good } else { Verdict::Bad }
    }
}

impl Key {
    fn fits(&self, algorithm: &str, way: Algorithm, id: Option<&str>) -> bool {
        let (kind, curve) = way.kind();
        self.kty == kind
            && self.crv == curve
            && self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm)
            && id.is_none_or(|id| self.kid.as_deref() == Some(id))
    }

    fn verify(&self, way: Algorithm, message: &[u8], signature: &[u8]) -> Option<()> {
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let point = || Some([&[4][..], &bytes(&self.x)?, &bytes(&self.y)?].concat());
        match way {
            Algorithm::Rsa(parameters) => {
                let key = RsaPublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? };
                key.verify(parameters, message, signature).ok()
            }
            Algorithm::P256 => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point()?)
                    .verify(message, signature)
                    .ok()
            }
            Algorithm::P384 => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point()?)
                    .verify(message, signature)
                    .ok()
            }
            Algorithm::Ed25519 => UnparsedPublicKey::new(&signature::ED25519, bytes(&self.x)?)
                .verify(message, signature)
                .ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and signatures of `phial openid` that another library made: each way of signing.
    const VECTORS: &str = include_str!("keys/vectors.json");

    #[derive(Deserialize)]
    struct Vector {
        alg: String,
        key: serde_json::Value,
        signature: String,
    }

    const MESSAGE: &[u8] = b"phial openid";

    fn vectors() -> Vec<(String, KeySet, Vec<u8>)> {
        let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
        let read = |vector: Vector| {
            let keys = serde_json::json!({ "keys": [{"kty": "oct", "k": "AA"}, vector.key] });
            let signature = URL_SAFE_NO_PAD.decode(vector.signature).unwrap();
            (vector.alg, serde_json::from_value(keys).unwrap(), signature)
        };
        vectors.into_iter().map(read).collect()
    }

    #[test]
    fn every_way_of_signing_is_checked_against_another_library() {
        let vectors = vectors();
        let names: Vec<_> = vectors.iter().map(|(alg, ..)| alg.as_str()).collect();
        assert_eq!(
            names,
            ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
        );
        for (alg, keys, signature) in &vectors {
            assert_eq!(keys.verify(alg, Some("k"), MESSAGE, signature), Verdict::Good, "{alg}");
            assert_eq!(keys.verify(alg, None, MESSAGE, signature), Verdict::Good, "{alg}");
            assert_eq!(keys.verify(alg, Some("k"), b"other", signature), Verdict::Bad, "{alg}");
            let mut forged = signature.clone();
            forged[9] ^= 1;
            assert_eq!(keys.verify(alg, Some("k"), MESSAGE, &forged), Verdict::Bad, "{alg}");
            assert_eq!(keys.verify(alg, Some("l"), MESSAGE, signature), Verdict::UnknownKey);
            for other in names.iter().filter(|other| **other != alg.as_str()) {
                assert_ne!(keys.verify(other, Some("k"), MESSAGE, signature), Verdict::Good);
            }
            for other in ["none", "HS256", "", "rs256"] {
                assert_eq!(keys.verify(other, Some("k"), MESSAGE, signature), Verdict::Bad);
            }
        }
    }

    #[test]
    fn a_key_for_something_else_is_not_taken() {
        let (alg, mut keys, signature) = vectors().remove(0);
        keys.keys[1].purpose = Some("enc".into());
        assert_eq!(keys.verify(&alg, None, MESSAGE, &signature), Verdict::UnknownKey);
        keys.keys[1].purpose = Some("sig".into());
        keys.keys[1].alg = Some("RS512".into());
        assert_eq!(keys.verify(&alg, None, MESSAGE, &signature), Verdict::UnknownKey);
    }
}
