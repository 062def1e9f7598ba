//! ID tokens: what has to hold before one is believed (OpenID Connect Core, 3.1.3.7).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::keys::{KeySet, Verdict};

/// What a token has to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
}

/// What a token says of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    pub sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: u64,
    iat: Option<u64>,
    nbf: Option<u64>,
    nonce: Option<String>,
    pub preferred_username: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    #[serde(default)]
    pub email_verified: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disbelief {
    /// It may be signed by a key that is new.
    UnknownKey,
    /// What is wrong with it.
    Wrong(&'static str),
}

/// Clocks differ by so many seconds at most.
const SKEW_SECONDS: u64 = 60;

/// The longest subject that a provider may give (the standard's bound).
const SUBJECT_BYTES_MAX: usize = 255;

/// The claims of `token`, if they are the provider's and meant for this login.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    expected: Expected<'_>,
) -> Result<Claims, Disbelief> {
    let wrong = Disbelief::Wrong;
    let (message, signature) = token.rsplit_once('.').ok_or(wrong("it has no signature"))?;
    let (header, payload) = message.split_once('.').ok_or(wrong("it is no token"))?;
    let header: Header = part(header).ok_or(wrong("its header cannot be read"))?;
    let signature =
        URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong("its signature cannot be read"))?;
    if header.crit.is_some() {
        return Err(wrong("it needs extensions that are not known"));
    }
    match keys.verify(&header.alg, header.kid.as_deref(), message.as_bytes(), &signature) {
        Verdict::Good => {}
        Verdict::Bad => return Err(wrong("its signature is not the provider's")),
        Verdict::UnknownKey => return Err(Disbelief::UnknownKey),
    }
    let claims: Claims = part(payload).ok_or(wrong("its claims cannot be read"))?;
    check(&claims, expected).map_err(Disbelief::Wrong)?;
    Ok(claims)
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), &'static str> {
    let Expected { issuer, client_id, nonce, now } = expected;
    if claims.iss != issuer {
        return Err("another issuer made it");
    }
    let (is_ours, others) = match &claims.aud {
        Audience::One(one) => (one == client_id, 0),
        Audience::Many(all) => (
            all.iter().any(|one| one == client_id),
            all.iter().filter(|one| *one != client_id).count(),
        ),
    };
    if !is_ours {
        return Err("it is meant for another client");
    }
    match &claims.azp {
        None if others > 0 => return Err("it is meant for several clients"),
        Some(party) if party != client_id => return Err("another client asked for it"),
        _ => {}
    }
    if now >= claims.exp.saturating_add(SKEW_SECONDS) {
        return Err("it has expired");
    }
    let begins = claims.iat.max(claims.nbf).unwrap_or(0);
    if begins > now.saturating_add(SKEW_SECONDS) {
        return Err("it is from the future");
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return Err("it was made for another login");
    }
    if claims.sub.is_empty() || claims.sub.len() > SUBJECT_BYTES_MAX {
        return Err("its subject is empty or too long");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://id.example", client_id: "phial", nonce: "n", now: NOW };

    struct Signer(EcdsaKeyPair);

    impl Signer {
        fn new() -> Self {
            let way = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let random = SystemRandom::new();
            let key = EcdsaKeyPair::generate_pkcs8(way, &random).unwrap();
            Self(EcdsaKeyPair::from_pkcs8(way, key.as_ref(), &random).unwrap())
        }

        fn keys(&self) -> KeySet {
            let point = self.0.public_key().as_ref();
            let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let key = json!({"kty": "EC", "crv": "P-256", "kid": "1",
                "x": text(&point[1..33]), "y": text(&point[33..])});
            serde_json::from_value(json!({ "keys": [key] })).unwrap()
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", text(header), text(claims));
            let signature = self.0.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "sub": "u1", "aud": "phial", "exp": NOW + 300,
            "iat": NOW, "nonce": "n", "email": "u@example.org", "email_verified": true})
    }

    #[test]
    fn a_good_token_is_believed() {
        let signer = Signer::new();
        let token = signer.sign(&json!({"alg": "ES256", "kid": "1"}), &claims());
        let read = verify(&token, &signer.keys(), EXPECTED).unwrap();
        assert_eq!((read.sub.as_str(), read.email.as_deref()), ("u1", Some("u@example.org")));
        let mut several = claims();
        several["aud"] = json!(["phial", "other"]);
        several["azp"] = json!("phial");
        let token = signer.sign(&json!({"alg": "ES256"}), &several);
        assert!(verify(&token, &signer.keys(), EXPECTED).is_ok());
    }

    #[test]
    fn every_claim_that_matters_is_checked() {
        let signer = Signer::new();
        for (name, value, word) in [
            ("iss", json!("https://evil.example"), "issuer"),
            ("iss", json!("https://id.example/"), "issuer"),
            ("aud", json!("other"), "another client"),
            ("aud", json!([]), "another client"),
            ("aud", json!(["phial", "other"]), "several"),
            ("azp", json!("other"), "asked for"),
            ("exp", json!(NOW - 61), "expired"),
            ("exp", json!(null), "claims"),
            ("iat", json!(NOW + 61), "future"),
            ("nbf", json!(NOW + 61), "future"),
            ("nonce", json!("m"), "another login"),
            ("nonce", json!(null), "another login"),
            ("sub", json!(""), "subject"),
            ("sub", json!("x".repeat(256)), "subject"),
        ] {
            let mut claims = claims();
            claims[name] = value.clone();
            let token = signer.sign(&json!({"alg": "ES256", "kid": "1"}), &claims);
            let Err(Disbelief::Wrong(why)) = verify(&token, &signer.keys(), EXPECTED) else {
                panic!("{name} = {value} is believed");
            };
            assert!(why.contains(word), "{name} = {value}: {why}");
        }
    }

    #[test]
    fn signatures_cannot_be_left_out_or_swapped() {
        let signer = Signer::new();
        let good = signer.sign(&json!({"alg": "ES256", "kid": "1"}), &claims());
        let other = Signer::new().sign(&json!({"alg": "ES256", "kid": "1"}), &claims());
        let none = signer.sign(&json!({"alg": "none"}), &claims());
        let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
        let critical = signer.sign(&json!({"alg": "ES256", "crit": ["x"]}), &claims());
        for token in [other.as_str(), &none, &unsigned, &critical, "", "a.b", "a.b.c", &good[1..]] {
            let error = verify(token, &signer.keys(), EXPECTED).unwrap_err();
            assert!(matches!(error, Disbelief::Wrong(_)), "{token}");
        }
        let renewed = signer.sign(&json!({"alg": "ES256", "kid": "2"}), &claims());
        let error = verify(&renewed, &signer.keys(), EXPECTED).unwrap_err();
        assert_eq!(error, Disbelief::UnknownKey);
    }
}
