//! How people come in: the first administrator by a link, others by themselves or invited.

use super::users::{self, ADMINISTRATOR, NewUser, USER};
use super::{AccountError, Accounts};
use crate::clock::unix_millis;
use crate::secrets::{SECRET_LENGTH, random_word, same};
use crate::storage::{StorageError, values};
use crate::wire::InvitationView;

/// How long the link of the first start is good for.
const SETUP_MILLIS: i64 = 24 * 3600 * 1000;

/// How long an invitation is good for.
const INVITATION_MILLIS: i64 = 7 * 24 * 3600 * 1000;

const SET_SETUP: &str = "INSERT INTO options (name, value) VALUES ('setup', $1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const READ_SETUP: &str = "SELECT value FROM options WHERE name = 'setup'";
const END_SETUP: &str = "DELETE FROM options WHERE name = 'setup' AND value = $1";
const INVITE: &str = "INSERT INTO invitations (hash, created_by, created_at, expires_at, used_by)
    VALUES ($1, $2, $3, $4, 0) RETURNING id";
const USE: &str = "UPDATE invitations SET used_by = -1 WHERE hash = $1 AND used_by = 0
    AND expires_at > $2";
const USED: &str = "UPDATE invitations SET used_by = $2 WHERE hash = $1";
const INVITATIONS: &str = "SELECT i.id, i.created_at, i.expires_at,
        COALESCE((SELECT username FROM users WHERE users.id = i.used_by), '')
    FROM invitations AS i ORDER BY i.id DESC LIMIT $1 OFFSET $2";
const INVITATION_COUNT: &str = "SELECT COUNT(*) FROM invitations";

/// How somebody may come in by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    Open,
    Invited(&'a str),
}

impl Accounts {
    /// A new secret for the link by which an administrator is made; older ones end.
    pub async fn new_setup_secret(&self) -> Result<String, StorageError> {
        let secret = random_word(SECRET_LENGTH);
        let hash = self.pepper.hash("setup", &secret);
        let value = format!("{} {hash}", unix_millis() + SETUP_MILLIS);
        let mut transaction = self.database.begin().await?;
        transaction.execute(SET_SETUP, values![value]).await?;
        transaction.commit().await?;
        Ok(secret)
    }

    /// Makes an administrator, once.
    pub async fn set_up(
        &self,
        secret: &str,
        username: &str,
        password: &str,
    ) -> Result<i64, AccountError> {
        const OVER: AccountError = AccountError::Forbidden(
            "This link was used, or its day is over. A new one: phial accounts setup-link",
        );
        let username = users::read_username(username)?;
        let rows = self.database.read(READ_SETUP, Vec::new()).await?;
        let value = rows.into_iter().next().ok_or(OVER)?.columns().text()?;
        let (until, hash) = value.split_once(' ').unwrap_or_default();
        let is_over = until.parse::<i64>().unwrap_or(0) <= unix_millis();
        if is_over || !same(hash, &self.pepper.hash("setup", secret)) {
            return Err(OVER);
        }
        let password = self.passwords.hash(password).await?;
        let mut transaction = self.database.begin().await?;
        // Whoever comes second finds it gone.
        if transaction.execute(END_SETUP, values![value]).await? == 0 {
            return Err(OVER);
        }
        let new = NewUser {
            username: &username,
            password: &password,
            role: ADMINISTRATOR,
            unlimited: true,
            quota: 0,
        };
        let id = users::add(&mut *transaction, &new).await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Makes an account for somebody who comes by themselves.
    pub async fn register(
        &self,
        username: &str,
        password: &str,
        entry: Entry<'_>,
        quota: i64,
    ) -> Result<i64, AccountError> {
        let username = users::read_username(username)?;
        let hash = match entry {
            Entry::Open => None,
            Entry::Invited(code) => Some(self.pepper.hash("invitation", code)),
        };
        let password = self.passwords.hash(password).await?;
        let mut transaction = self.database.begin().await?;
        if let Some(hash) = &hash
            && transaction.execute(USE, values![hash, unix_millis()]).await? == 0
        {
            return Err(AccountError::Forbidden("This invitation was used, or has ended."));
        }
        let new = NewUser {
            username: &username,
            password: &password,
            role: USER,
            unlimited: false,
            quota,
        };
        let id = users::add(&mut *transaction, &new).await?;
        if let Some(hash) = &hash {
            transaction.execute(USED, values![hash, id]).await?;
        }
        transaction.commit().await?;
        Ok(id)
    }

    /// Makes an invitation; its code is told once.
    pub async fn invite(&self, by: i64) -> Result<InvitationView, AccountError> {
        let code = random_word(24);
        let now = unix_millis();
        let hash = self.pepper.hash("invitation", &code);
        let mut transaction = self.database.begin().await?;
        let bound = values![hash, by, now, now + INVITATION_MILLIS];
        let rows = transaction.query(INVITE, bound).await?;
        let row = rows.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        let id = row.columns().int()?;
        transaction.commit().await?;
        Ok(InvitationView {
            id,
            code: Some(code),
            created_time: now / 1000,
            expired_time: (now + INVITATION_MILLIS) / 1000,
            used_by: String::new(),
        })
    }

    pub async fn invitations(
        &self,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<InvitationView>, i64), AccountError> {
        let count = self.database.read(INVITATION_COUNT, Vec::new()).await?;
        let count = count.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        let rows = self.database.read(INVITATIONS, values![limit, offset]).await?;
        let views = rows.into_iter().map(|row| {
            let mut row = row.columns();
            Ok(InvitationView {
                id: row.int()?,
                code: None,
                created_time: row.int()? / 1000,
                expired_time: row.int()? / 1000,
                used_by: row.text()?,
            })
        });
        Ok((views.collect::<Result<_, StorageError>>()?, count.columns().int()?))
    }
}
