//! Random words, and what is kept of them.

use std::fs;
use std::io::Write;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::private_file::create_private;
use crate::storage::StorageError;

/// Digits and letters, which no address, shell or file has to escape.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Letters of a word that nobody guesses: 256 bit.
pub(crate) const SECRET_LENGTH: usize = 43;

/// Random bytes.
///
/// # Panics
/// When the system has no randomness to give: nothing may go on without.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("randomness from the system");
    bytes
}

/// A random word of digits and letters, each as likely as any other.
pub(crate) fn random_word(length: usize) -> String {
    let mut word = String::with_capacity(length);
    while word.len() < length {
        for byte in random_bytes::<64>() {
            // 248 is the largest multiple of 62 in a byte: what lies above would favour some.
            if byte < 248 && word.len() < length {
                word.push(char::from(ALPHABET[usize::from(byte) % 62]));
            }
        }
    }
    word
}

/// Whether `word` has only digits and letters.
pub(crate) fn is_word(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Six letters that stand for `number`.
pub(crate) fn spell(mut number: u32) -> String {
    let mut letters = [b'0'; 6];
    for letter in letters.iter_mut().rev() {
        *letter = ALPHABET[number as usize % 62];
        number /= 62;
    }
    letters.iter().copied().map(char::from).collect()
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// What only this service knows. Without it nothing in the database opens anything.
#[derive(Clone)]
pub(crate) struct Pepper(Hmac<Sha256>);

impl Pepper {
    /// Reads `file`, or makes it with new bytes if it is not there.
    pub fn open(file: &Path) -> Result<Self, StorageError> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                create(file).map_err(StorageError::file(file))?
            }
            Err(error) => return Err(StorageError::file(file)(error)),
        };
        let text = text.trim();
        if text.len() < SECRET_LENGTH {
            return Err(StorageError::Setting(format!(
                "{}: a pepper has at least {SECRET_LENGTH} letters; restore it from a backup, or \
                 all keys and sessions are lost",
                file.display()
            )));
        }
        Ok(Self::new(text.as_bytes()))
    }

    pub fn new(bytes: &[u8]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("a key of any length"))
    }

    /// What is kept of `secret`, used as `purpose`.
    pub fn hash(&self, purpose: &str, secret: &str) -> String {
        let mut hmac = self.0.clone();
        hmac.update(purpose.as_bytes());
        hmac.update(&[0]);
        hmac.update(secret.as_bytes());
        hex(&hmac.finalize().into_bytes())
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn create(file: &Path) -> std::io::Result<String> {
    let text = random_word(SECRET_LENGTH);
    let mut opened = create_private(file)?;
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_of_the_alphabet_and_never_the_same() {
        let word = random_word(SECRET_LENGTH);
        assert_eq!(word.len(), SECRET_LENGTH);
        assert!(is_word(&word));
        assert_ne!(word, random_word(SECRET_LENGTH));
        assert!(!is_word("a-b"));
    }

    #[test]
    fn numbers_have_six_letters_each_their_own() {
        assert_eq!(spell(0), "000000");
        assert_eq!(spell(61), "00000z");
        assert_eq!(spell(62), "000010");
        assert_eq!(spell(u32::MAX).len(), 6);
        assert_ne!(spell(u32::MAX), spell(u32::MAX - 1));
    }

    #[test]
    fn a_hash_depends_on_secret_purpose_and_pepper() {
        let pepper = Pepper::new(b"one");
        let hash = pepper.hash("key", "secret");
        assert_eq!(hash, pepper.hash("key", "secret"));
        assert_ne!(hash, pepper.hash("session", "secret"));
        assert_ne!(hash, pepper.hash("key", "secret2"));
        assert_ne!(hash, Pepper::new(b"two").hash("key", "secret"));
        assert_eq!(hash.len(), 64);
    }

    #[test]
    fn a_pepper_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pepper");
        let hash = Pepper::open(&file).unwrap().hash("key", "x");
        assert_eq!(hash, Pepper::open(&file).unwrap().hash("key", "x"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&file, "short").unwrap();
        assert!(Pepper::open(&file).is_err());
    }
}
