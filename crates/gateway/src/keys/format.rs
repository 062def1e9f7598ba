//! How keys are spelt: `sk-<id>-<secret><checksum>`.
//!
//! The id finds the key without a search that could tell anything about secrets; the checksum lets
//! a mistyped or made-up key be refused before anything is looked up.

use crate::secrets::{SECRET_LENGTH, is_word, random_word, same, spell};

const PREFIX: &str = "sk-";
const ID_LENGTH: usize = 12;
const CHECKSUM_LENGTH: usize = 6;
const LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH + CHECKSUM_LENGTH;

/// A key that was just made. It is shown once; what is kept is its hash.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    pub public_id: String,
    /// The whole key.
    pub spelling: String,
    /// What of it may be shown again.
    pub hint: String,
}

impl NewKey {
    /// A new key under an id of its own, or under that of the key it takes the place of.
    pub fn make(public_id: Option<&str>) -> Self {
        let public_id = public_id.map_or_else(|| random_word(ID_LENGTH), str::to_owned);
        let body = format!("{PREFIX}{public_id}-{}", random_word(SECRET_LENGTH));
        let spelling = format!("{body}{}", checksum(&body));
        let hint = format!("{PREFIX}{}…{}", &public_id[..4], &spelling[LENGTH - 4..]);
        Self { public_id, spelling, hint }
    }
}

/// The id within what may be a key; `None` if it cannot be one.
pub(super) fn public_id(key: &str) -> Option<&str> {
    if key.len() != LENGTH || !key.is_ascii() {
        return None;
    }
    let (id, secret) = key.strip_prefix(PREFIX)?.split_at(ID_LENGTH);
    let secret = secret.strip_prefix('-')?;
    let (body, sum) = key.split_at(LENGTH - CHECKSUM_LENGTH);
    (is_word(id) && is_word(secret) && same(sum, &checksum(body))).then_some(id)
}

fn checksum(body: &str) -> String {
    spell(crc32fast::hash(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_id_and_shown_by_its_ends() {
        let key = NewKey::make(None);
        assert_eq!(key.spelling.len(), LENGTH);
        assert_eq!(public_id(&key.spelling), Some(key.public_id.as_str()));
        assert!(key.spelling.starts_with(&format!("sk-{}-", key.public_id)));
        assert!(key.hint.chars().count() == 12 && key.spelling.ends_with(&key.hint[10..]));
        let rotated = NewKey::make(Some(&key.public_id));
        assert_eq!(rotated.public_id, key.public_id);
        assert_ne!(rotated.spelling, key.spelling);
    }

    #[test]
    fn what_is_no_key_is_told_by_its_spelling_alone() {
        let key = NewKey::make(None).spelling;
        assert_eq!(public_id(""), None);
        assert_eq!(public_id("sk-"), None);
        assert_eq!(public_id(&key[1..]), None);
        assert_eq!(public_id(&format!("{key}0")), None);
        for at in 0..key.len() {
            let mut wrong = key.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(public_id(&String::from_utf8(wrong).unwrap()), None, "letter {at}");
        }
        let quote = format!("sk-' OR 1=1 --{}", &key[14..]);
        assert_eq!(quote.len(), key.len());
        assert_eq!(public_id(&quote), None);
        let wide = format!("{}é", &key[..key.len() - 2]);
        assert_eq!(wide.len(), key.len());
        assert_eq!(public_id(&wide), None);
    }
}
