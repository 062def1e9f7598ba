//! What ties accounts to people whom another service knows.

use super::users::User;
use super::{AccountError, Accounts};
use crate::clock::unix_millis;
use crate::storage::{StorageError, values};
use crate::wire::IdentityView;

const OWNER: &str = "SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2";
const ADD: &str = "INSERT INTO identities (issuer, subject, user_id, created_at)
    VALUES ($1, $2, $3, $4) ON CONFLICT (issuer, subject) DO NOTHING";
const OF_USER: &str = "SELECT issuer, subject, created_at FROM identities WHERE user_id = $1
    ORDER BY created_at, subject";
/// Without a password nobody could come in any more.
const REMOVE: &str = "DELETE FROM identities WHERE user_id = $1
    AND EXISTS (SELECT 1 FROM users WHERE id = $1 AND password <> '')";

impl Accounts {
    /// Ties an identity to an account, which stays tied to those it had.
    pub async fn link_identity(
        &self,
        user: i64,
        (issuer, subject): (&str, &str),
    ) -> Result<(), AccountError> {
        let mut transaction = self.database.begin().await?;
        transaction.execute(ADD, values![issuer, subject, user, unix_millis()]).await?;
        let rows = transaction.query(OWNER, values![issuer, subject]).await?;
        let row = rows.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        if row.columns().int()? != user {
            return Err(AccountError::Conflict("It belongs to another account here."));
        }
        Ok(transaction.commit().await?)
    }

    /// Unties all identities of an account, which has to have a password.
    pub async fn unlink_identities(&self, user: &User) -> Result<(), AccountError> {
        let mut transaction = self.database.begin().await?;
        let removed = transaction.execute(REMOVE, values![user.id]).await?;
        if removed == 0 && user.password.is_empty() {
            return Err(AccountError::Conflict(
                "This account has no password, and nobody could sign in any more.",
            ));
        }
        Ok(transaction.commit().await?)
    }

    /// Identities that an account is tied to, the first one first.
    pub async fn identities(&self, user: i64) -> Result<Vec<IdentityView>, AccountError> {
        let rows = self.database.read(OF_USER, values![user]).await?;
        let views = rows.into_iter().map(|row| {
            let mut row = row.columns();
            Ok(IdentityView {
                issuer: row.text()?,
                subject: row.text()?,
                created_time: row.int()? / 1000,
            })
        });
        Ok(views.collect::<Result<_, StorageError>>()?)
    }
}
