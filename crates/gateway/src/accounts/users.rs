//! Users in the database.

use super::{AccountError, Accounts};
use crate::clock::unix_millis;
use crate::storage::{Row, StorageError, Transaction, Value, values};

/// Roles.
pub(crate) const USER: i64 = 1;
pub(crate) const ADMINISTRATOR: i64 = 10;

/// A state besides [`crate::ledger::ENABLED`]; 3 is deleted, and never read.
pub(crate) const DISABLED: i64 = 2;

/// Millionths of the currency that are given at a time, at most.
const CREDIT_MAX: i64 = 1_000_000_000_000_000;

/// Somebody, as they were when they were read.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub id: i64,
    pub username: String,
    pub display_name: String,
    pub password: String,
    pub role: i64,
    pub status: i64,
    pub balance: i64,
    pub unlimited: bool,
    pub used: i64,
    pub requests: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
}

/// What becomes of a user; what is absent stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserChange {
    pub display_name: Option<String>,
    pub role: Option<i64>,
    pub status: Option<i64>,
    pub unlimited: Option<bool>,
    pub password: Option<String>,
}

macro_rules! user_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, username, display_name, password, role, status, balance, unlimited, used,
                    requests, created_at FROM users WHERE status <> 3 ",
            $rest
        )
    };
}

const BY_ID: &str = user_columns!("AND id = $1");
const BY_NAME: &str = user_columns!("AND username = $1");
const LIST: &str = user_columns!("ORDER BY id LIMIT $1 OFFSET $2");
const COUNT: &str = "SELECT COUNT(*) FROM users WHERE status <> 3";
const ADD: &str = "INSERT INTO users (username, display_name, password, role, status, balance,
        unlimited, used, requests, created_at)
    VALUES ($1, $2, $3, $4, 1, 0, $5, 0, 0, $6) RETURNING id";
const CHANGE: &str = "UPDATE users SET display_name = $2, role = $3, status = $4, unlimited = $5,
        password = $6 WHERE id = $1 AND status <> 3";
const DELETE: &str = "UPDATE users SET status = 3, username = $2, password = '' WHERE id = $1";
const DELETE_KEYS: &str = "UPDATE keys SET version = version + 1, deleted = 1, hash = '',
    status = 2 WHERE user_id = $1";
const DELETE_SESSIONS: &str = "DELETE FROM sessions WHERE user_id = $1";
const DELETE_TOKENS: &str = "DELETE FROM personal_tokens WHERE user_id = $1";
const DELETE_IDENTITIES: &str = "DELETE FROM identities WHERE user_id = $1";
const ADMINISTRATORS: &str = "SELECT COUNT(*) FROM users WHERE role >= 10 AND status = 1";
/// Up to a thousand times the most that is given at a time: sums stay within 64 bits.
const CREDIT: &str = "UPDATE users SET balance = balance + $2 WHERE id = $1 AND status <> 3
    AND (balance + $2 >= 0 OR $2 > 0) AND balance + $2 <= 1000000000000000000";
const CREDIT_ROW: &str = "INSERT INTO ledger (at, kind, user_id, key_id, request, user_amount,
        key_amount, key_tokens, cost, prompt_tokens, cached_tokens, completion_tokens, model,
        route, stream, status, finish, duration_ms, first_token_ms, note)
    VALUES ($1, 'credit', $2, 0, '', $3, 0, 0, 0, 0, 0, 0, '', '', 0, 0, '', 0, 0, $4)";
const IDENTITY: &str = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";
const ADD_IDENTITY: &str =
    "INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)";

/// A new user.
pub(super) struct NewUser<'a> {
    pub username: &'a str,
    /// Its hash; empty: none fits.
    pub password: &'a str,
    pub role: i64,
    pub unlimited: bool,
    /// Money to begin with.
    pub quota: i64,
}

impl Accounts {
    pub async fn user(&self, id: i64) -> Result<User, AccountError> {
        self.find(BY_ID, values![id]).await?.ok_or(AccountError::NotFound)
    }

    pub async fn user_named(&self, username: &str) -> Result<Option<User>, AccountError> {
        self.find(BY_NAME, values![username.to_lowercase()]).await
    }

    async fn find(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Option<User>, AccountError> {
        let rows = self.database.read(sql, values).await?;
        Ok(rows.into_iter().next().map(read).transpose()?)
    }

    pub async fn users(&self, limit: i64, offset: i64) -> Result<(Vec<User>, i64), AccountError> {
        let rows = self.database.read(LIST, values![limit, offset]).await?;
        let users = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok((users, count(self.database.read(COUNT, Vec::new()).await?)?))
    }

    /// Whether anybody can administrate.
    pub async fn has_administrator(&self) -> Result<bool, StorageError> {
        Ok(count(self.database.read(ADMINISTRATORS, Vec::new()).await?)? > 0)
    }

    /// Makes an account, as an administrator does.
    pub async fn create_user(
        &self,
        username: &str,
        password: &str,
        role: i64,
        quota: i64,
    ) -> Result<i64, AccountError> {
        let username = read_username(username)?;
        let password = self.passwords.hash(password).await?;
        let unlimited = role == ADMINISTRATOR;
        let new = NewUser { username: &username, password: &password, role, unlimited, quota };
        let mut transaction = self.database.begin().await?;
        let id = add(&mut *transaction, &new).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Changes a user. Whoever may not sign in any more, or has another password, is signed out.
    pub async fn change_user(&self, id: i64, change: UserChange) -> Result<(), AccountError> {
        let user = self.user(id).await?;
        let password = match &change.password {
            Some(password) => self.passwords.hash(password).await?,
            None => user.password.clone(),
        };
        let status = change.status.unwrap_or(user.status);
        let display_name = match change.display_name {
            Some(name) => read_display_name(&name)?,
            None => user.display_name.clone(),
        };
        let mut transaction = self.database.begin().await?;
        let bound = values![
            id,
            display_name,
            change.role.unwrap_or(user.role),
            status,
            change.unlimited.unwrap_or(user.unlimited),
            password,
        ];
        if transaction.execute(CHANGE, bound).await? == 0 {
            return Err(AccountError::NotFound);
        }
        if status != user.status || change.password.is_some() {
            transaction.execute(DELETE_SESSIONS, values![id]).await?;
        }
        // Whoever knew the old password may have made one.
        if change.password.is_some() {
            transaction.execute(DELETE_TOKENS, values![id]).await?;
        }
        keep_an_administrator(&mut *transaction, &user).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Ends an account. What it did stays in the ledger.
    pub async fn delete_user(&self, id: i64) -> Result<(), AccountError> {
        let user = self.user(id).await?;
        let mut transaction = self.database.begin().await?;
        // The name is free for others.
        let name = format!("{} (deleted {id})", user.username);
        transaction.execute(DELETE, values![id, name]).await?;
        for sql in [DELETE_KEYS, DELETE_SESSIONS, DELETE_TOKENS, DELETE_IDENTITIES] {
            transaction.execute(sql, values![id]).await?;
        }
        keep_an_administrator(&mut *transaction, &user).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Gives a user money, or takes some back; never more than is there.
    pub async fn credit(&self, id: i64, amount: i64, note: &str) -> Result<(), AccountError> {
        if amount == 0 || amount.unsigned_abs() > CREDIT_MAX.unsigned_abs() {
            let message = format!("amount: a whole number other than 0, up to {CREDIT_MAX}.");
            return Err(AccountError::Invalid(message));
        }
        let note = read_note(note)?;
        self.user(id).await?;
        let mut transaction = self.database.begin().await?;
        if transaction.execute(CREDIT, values![id, amount]).await? == 0 {
            return Err(AccountError::Conflict(match amount > 0 {
                true => "An account cannot have that much.",
                false => "There is less than that to take back.",
            }));
        }
        let bound = values![unix_millis(), id, amount, note];
        transaction.execute(CREDIT_ROW, bound).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The user whom another service knows as `subject`; made, with `quota`, if that is allowed.
    pub async fn user_of_identity(
        &self,
        (issuer, subject): (&str, &str),
        suggested: &str,
        quota: Option<i64>,
    ) -> Result<User, AccountError> {
        let rows = self.database.read(IDENTITY, values![issuer, subject]).await?;
        if let Some(row) = rows.into_iter().next() {
            return self.user(row.columns().int()?).await;
        }
        let quota = quota.ok_or(AccountError::Forbidden("Signing up is not open."))?;
        let username = self.free_name(suggested).await?;
        let new =
            NewUser { username: &username, password: "", role: USER, unlimited: false, quota };
        let mut transaction = self.database.begin().await?;
        let id = add(&mut *transaction, &new).await?;
        let bound = values![issuer, subject, id, unix_millis()];
        transaction.execute(ADD_IDENTITY, bound).await?;
        transaction.commit().await?;
        self.user(id).await
    }

    /// A name like `suggested` that nobody has.
    async fn free_name(&self, suggested: &str) -> Result<String, AccountError> {
        let plain: String =
            suggested.chars().filter(|letter| is_name_letter(*letter)).take(40).collect();
        let plain = if plain.len() < 2 { "user".to_owned() } else { plain.to_lowercase() };
        if self.user_named(&plain).await?.is_none() {
            return Ok(plain);
        }
        Ok(format!("{plain}-{}", crate::secrets::random_word(8).to_lowercase()))
    }
}

/// Adds a user with what there is to begin with.
pub(super) async fn add(
    transaction: &mut dyn Transaction,
    new: &NewUser<'_>,
) -> Result<i64, AccountError> {
    let now = unix_millis();
    let bound = values![new.username, new.username, new.password, new.role, new.unlimited, now];
    let rows = transaction.query(ADD, bound).await.map_err(|error| {
        if error.is_duplicate() {
            AccountError::Conflict("This name is taken.")
        } else {
            AccountError::Storage(error)
        }
    })?;
    let id = count(rows)?;
    if new.quota > 0 {
        transaction.execute(CREDIT, values![id, new.quota]).await?;
        transaction.execute(CREDIT_ROW, values![now, id, new.quota, "to begin with"]).await?;
    }
    Ok(id)
}

/// Somebody must be able to undo what was just done.
async fn keep_an_administrator(
    transaction: &mut dyn Transaction,
    user: &User,
) -> Result<(), AccountError> {
    if user.role == ADMINISTRATOR && count(transaction.query(ADMINISTRATORS, vec![]).await?)? == 0 {
        return Err(AccountError::Conflict("This is the last administrator."));
    }
    Ok(())
}

fn is_name_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._-@".contains(letter)
}

/// A name to sign in with: small letters, so that nobody passes for another.
pub(super) fn read_username(name: &str) -> Result<String, AccountError> {
    if (2..=64).contains(&name.len()) && name.chars().all(is_name_letter) {
        return Ok(name.to_lowercase());
    }
    let message = "username: from 2 to 64 of the letters a-z, digits, and . _ - @.";
    Err(AccountError::Invalid(message.to_owned()))
}

fn read_display_name(name: &str) -> Result<String, AccountError> {
    let name = name.trim();
    if (1..=100).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let message = "display_name: from 1 to 100 letters on one line.";
    Err(AccountError::Invalid(message.to_owned()))
}

fn read_note(note: &str) -> Result<String, AccountError> {
    if note.chars().count() <= 200 && !note.chars().any(char::is_control) {
        return Ok(note.to_owned());
    }
    Err(AccountError::Invalid("note: at most 200 letters on one line.".to_owned()))
}

fn count(rows: Vec<Row>) -> Result<i64, StorageError> {
    rows.into_iter().next().ok_or(StorageError::Shape("nothing"))?.columns().int()
}

pub(super) fn read(row: Row) -> Result<User, StorageError> {
    let mut row = row.columns();
    Ok(User {
        id: row.int()?,
        username: row.text()?,
        display_name: row.text()?,
        password: row.text()?,
        role: row.int()?,
        status: row.int()?,
        balance: row.int()?,
        unlimited: row.yes()?,
        used: row.int()?,
        requests: row.int()?,
        created_at: row.int()?,
    })
}
