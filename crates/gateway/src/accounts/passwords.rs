//! Passwords: what is kept of them, and how often somebody may guess.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::AccountError;

/// A hash takes a core for tens of milliseconds and 19 MiB; so many are worked out at a time.
const AT_A_TIME: usize = 2;

/// So many may wait for their turn.
const WAITING_MAX: usize = 32;

pub(super) const LENGTH_MIN: usize = 8;
pub(super) const LENGTH_MAX: usize = 256;

/// The hash of a password that nobody has: a name that is not known takes as long as one that is.
const OF_NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                         AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(super) struct Passwords {
    turns: Semaphore,
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_A_TIME), places: Semaphore::new(AT_A_TIME + WAITING_MAX) }
    }
}

impl Passwords {
    /// What is kept of a new password.
    pub async fn hash(&self, password: &str) -> Result<String, AccountError> {
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&password.len()) {
            let message = format!("A password has from {LENGTH_MIN} to {LENGTH_MAX} bytes.");
            return Err(AccountError::Invalid(message));
        }
        let password = password.to_owned();
        self.work(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash: PasswordHash| hash.to_string()).ok()
        })
        .await?
        .ok_or_else(|| AccountError::Invalid("This password cannot be used.".to_owned()))
    }

    /// Whether `password` is the one that `kept` was made of; without `kept` it is not.
    pub async fn verify(&self, password: &str, kept: Option<&str>) -> Result<bool, AccountError> {
        if password.len() > LENGTH_MAX {
            return Ok(false);
        }
        let known = kept.is_some_and(|kept| !kept.is_empty());
        let kept = kept.filter(|kept| !kept.is_empty()).unwrap_or(OF_NOBODY).to_owned();
        let password = password.to_owned();
        let fits = self.work(move || {
            let Ok(kept) = PasswordHash::new(&kept) else { return false };
            Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()
        });
        Ok(fits.await? && known)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let busy = || AccountError::TooMany(Duration::from_secs(2));
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let _turn = self.turns.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| busy())
    }
}

/// Guesses of one name or from one address.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<String, (Instant, u32)>>);

/// After so many wrong guesses it takes a while until the next.
const GUESSES_MAX: u32 = 10;
const GUESSES_TIME: Duration = Duration::from_secs(300);
const GUESSERS_MAX: usize = 10_000;

impl Attempts {
    /// Whether another guess may be made.
    pub fn check(&self, who: &str) -> Result<(), AccountError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((since, guesses)) = known.get(who) else { return Ok(()) };
        match GUESSES_TIME.checked_sub(since.elapsed()) {
            Some(wait) if *guesses >= GUESSES_MAX => Err(AccountError::TooMany(wait)),
            _ => Ok(()),
        }
    }

    /// A guess was wrong.
    pub fn wrong(&self, who: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= GUESSERS_MAX {
            known.retain(|_, (since, _)| since.elapsed() < GUESSES_TIME);
        }
        if known.len() >= GUESSERS_MAX && !known.contains_key(who) {
            // Names cost an attacker nothing; the count by address still holds.
            return;
        }
        let entry = known.entry(who.to_owned()).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= GUESSES_TIME {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }

    /// A guess was right.
    pub fn right(&self, who: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = Passwords::default();
        let kept = passwords.hash("correct horse").await.unwrap();
        assert!(kept.starts_with("$argon2id$"));
        assert!(passwords.verify("correct horse", Some(&kept)).await.unwrap());
        assert!(!passwords.verify("correct horsf", Some(&kept)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
        assert!(!passwords.verify("", Some("")).await.unwrap());
        assert!(passwords.hash("short").await.is_err());
        assert!(PasswordHash::new(OF_NOBODY).is_ok(), "or an unknown name answers at once");
    }

    #[test]
    fn guessing_ends() {
        let attempts = Attempts::default();
        for _ in 0..GUESSES_MAX {
            attempts.check("a").unwrap();
            attempts.wrong("a");
        }
        assert!(matches!(attempts.check("a"), Err(AccountError::TooMany(_))));
        attempts.check("b").unwrap();
        attempts.right("a");
        attempts.check("a").unwrap();
    }
}
