//! Who did what to accounts, keys and options.

use std::sync::Arc;

use crate::clock::unix_millis;
use crate::storage::{Database, StorageError, values};
use crate::wire::AuditView;

const ADD: &str = "INSERT INTO audit (at, user_id, username, action, subject, detail, ip)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const LIST: &str = "SELECT id, at, username, action, subject, detail, ip FROM audit
    ORDER BY id DESC LIMIT $1 OFFSET $2";
const COUNT: &str = "SELECT COUNT(*) FROM audit";

/// Something that was done.
#[derive(Clone, Debug)]
pub(crate) struct Deed<'a> {
    /// 0: nobody who is signed in.
    pub user: i64,
    pub username: &'a str,
    pub action: &'static str,
    pub subject: String,
    /// Never a secret.
    pub detail: String,
    pub ip: String,
}

pub(crate) struct Audit(Arc<dyn Database>);

impl Audit {
    pub fn new(database: Arc<dyn Database>) -> Self {
        Self(database)
    }

    pub async fn note(&self, deed: Deed<'_>) -> Result<(), StorageError> {
        let Deed { user, username, action, subject, detail, ip } = deed;
        let mut transaction = self.0.begin().await?;
        let bound = values![unix_millis(), user, username, action, subject, detail, ip];
        transaction.execute(ADD, bound).await?;
        transaction.commit().await
    }

    pub async fn list(
        &self,
        limit: i64,
        offset: i64,
    ) -> Result<(Vec<AuditView>, i64), StorageError> {
        let count = self.0.read(COUNT, Vec::new()).await?;
        let count = count.into_iter().next().ok_or(StorageError::Shape("nothing"))?;
        let rows = self.0.read(LIST, values![limit, offset]).await?;
        let views = rows.into_iter().map(|row| {
            let mut row = row.columns();
            Ok(AuditView {
                id: row.int()?,
                created_at: row.int()? / 1000,
                username: row.text()?,
                action: row.text()?,
                subject: row.text()?,
                detail: row.text()?,
                ip: row.text()?,
            })
        });
        Ok((views.collect::<Result<_, StorageError>>()?, count.columns().int()?))
    }
}
