//! Being signed in: sessions of browsers, and personal access tokens of scripts.

use super::users::{User, read_username};
use super::{AccountError, Accounts};
use crate::clock::unix_millis;
use crate::ledger::ENABLED;
use crate::secrets::{SECRET_LENGTH, is_word, random_word};
use crate::storage::values;

/// After so many milliseconds one signs in again.
pub(crate) const SESSION_MILLIS: i64 = 7 * 24 * 3600 * 1000;

const TOKEN_PREFIX: &str = "pat-";

const ADD: &str =
    "INSERT INTO sessions (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)";
const FIND: &str = "SELECT user_id FROM sessions WHERE hash = $1 AND expires_at > $2";
const END: &str = "DELETE FROM sessions WHERE hash = $1";
const SWEEP: &str = "DELETE FROM sessions WHERE expires_at <= $1";
const SET_TOKEN: &str = "INSERT INTO personal_tokens (user_id, hash, created_at)
    VALUES ($1, $2, $3)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at";
const FIND_TOKEN: &str = "SELECT user_id FROM personal_tokens WHERE hash = $1";

const WRONG: AccountError = AccountError::Denied("Wrong name or password.");

impl Accounts {
    /// The user of this name and password. `address` is where the guess comes from.
    pub async fn sign_in(
        &self,
        username: &str,
        password: &str,
        address: &str,
    ) -> Result<User, AccountError> {
        // What cannot be a name is nobody's, and takes as long to find out.
        let username = read_username(username).unwrap_or_default();
        let guessers = [format!("name {username}"), format!("address {address}")];
        for guesser in &guessers {
            self.attempts.check(guesser)?;
        }
        let user = match username.as_str() {
            "" => None,
            name => self.user_named(name).await?,
        };
        let kept = user.as_ref().map(|user| user.password.as_str());
        let fits = self.passwords.verify(password, kept).await?;
        let Some(user) = user.filter(|user| fits && user.status == ENABLED) else {
            guessers.iter().for_each(|guesser| self.attempts.wrong(guesser));
            return Err(WRONG);
        };
        self.attempts.right(&guessers[0]);
        Ok(user)
    }

    /// Whether `password` is the user's.
    pub async fn confirm(&self, user: &User, password: &str) -> Result<(), AccountError> {
        let guesser = format!("name {}", user.username);
        self.attempts.check(&guesser)?;
        if self.passwords.verify(password, Some(&user.password)).await? {
            return Ok(());
        }
        self.attempts.wrong(&guesser);
        Err(AccountError::Denied("The present password is another."))
    }

    /// Begins a session; what comes back is for the cookie.
    pub async fn begin_session(&self, user: i64) -> Result<String, AccountError> {
        let secret = random_word(SECRET_LENGTH);
        let now = unix_millis();
        let mut transaction = self.database.begin().await?;
        transaction.execute(SWEEP, values![now]).await?;
        let hash = self.pepper.hash("session", &secret);
        transaction.execute(ADD, values![hash, user, now, now + SESSION_MILLIS]).await?;
        transaction.commit().await?;
        Ok(secret)
    }

    /// Whose session a cookie stands for.
    pub async fn session(&self, secret: &str) -> Result<Option<User>, AccountError> {
        if secret.len() != SECRET_LENGTH || !is_word(secret) {
            return Ok(None);
        }
        let hash = self.pepper.hash("session", secret);
        let rows = self.database.read(FIND, values![hash, unix_millis()]).await?;
        match rows.into_iter().next() {
            Some(row) => self.enabled(row.columns().int()?).await,
            None => Ok(None),
        }
    }

    /// What requests of a session that change something carry beside its cookie.
    pub fn csrf_token(&self, secret: &str) -> String {
        self.pepper.hash("csrf", secret)
    }

    pub async fn end_session(&self, secret: &str) -> Result<(), AccountError> {
        let mut transaction = self.database.begin().await?;
        transaction.execute(END, values![self.pepper.hash("session", secret)]).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// A new personal access token in the place of the last.
    pub async fn new_personal_token(&self, user: i64) -> Result<String, AccountError> {
        let token = format!("{TOKEN_PREFIX}{}", random_word(SECRET_LENGTH));
        let hash = self.pepper.hash("personal token", &token);
        let mut transaction = self.database.begin().await?;
        transaction.execute(SET_TOKEN, values![user, hash, unix_millis()]).await?;
        transaction.commit().await?;
        Ok(token)
    }

    /// Whose personal access token it is.
    pub async fn personal_token(&self, token: &str) -> Result<Option<User>, AccountError> {
        let Some(secret) = token.strip_prefix(TOKEN_PREFIX) else { return Ok(None) };
        if secret.len() != SECRET_LENGTH || !is_word(secret) {
            return Ok(None);
        }
        let hash = self.pepper.hash("personal token", token);
        let rows = self.database.read(FIND_TOKEN, values![hash]).await?;
        match rows.into_iter().next() {
            Some(row) => self.enabled(row.columns().int()?).await,
            None => Ok(None),
        }
    }

    async fn enabled(&self, id: i64) -> Result<Option<User>, AccountError> {
        match self.user(id).await {
            Ok(user) => Ok(Some(user).filter(|user| user.status == ENABLED)),
            Err(AccountError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
