//! SQLite, within the program.

use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    Sqlite as Driver, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode,
    SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Either, Executor as _, Row as _, TypeInfo, ValueRef};
use tokio::runtime::Handle;

use super::{
    Begun, Database, Dialect, List, Outcome, Row, Script, StorageError, Transaction, Value,
    migrator,
};
use crate::private_file::create_private;

/// Connections that read. Each has a thread.
const READERS: u32 = 3;

/// How often what was written is moved from the log into the file.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of a page of a new file. A transaction of the ledger changes a few rows on each of some pages,
/// and the log takes whole pages: small ones keep it short.
const PAGE_BYTES: u32 = 1024;

/// Pages of the log at which a writer does that itself; the task of its own comes first.
const CHECKPOINT_PAGES: &str = "16384";

pub(super) struct Sqlite {
    /// One connection: SQLite has one writer at a time, and waiting here is fair and cheap.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Moves the log into the file.
    checkpointer: SqlitePool,
}

impl Sqlite {
    /// Commits go to the log without waiting for the disk (`synchronous = NORMAL`). What is
    /// committed outlives the process; when the power fails, the last moments of the ledger may be
    /// lost, each request with all of it, and the file stays whole.
    pub async fn open(file: &Path) -> Result<Self, StorageError> {
        // SQLite would let everybody read it.
        match create_private(file) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StorageError::file(file)(error));
            }
            _ => {}
        }
        let options = SqliteConnectOptions::new()
            .filename(file)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let writer_options = options.clone().pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(writer_options)
            .await?;
        migrator("INTEGER PRIMARY KEY AUTOINCREMENT").run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_with(options.clone().read_only(true))
            .await?;
        let checkpointer = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        tokio::spawn(checkpoints(checkpointer.clone()));
        Ok(Self { writer, readers, checkpointer })
    }
}

/// Moves the log into the file beside the writer, which would wait for the disk otherwise.
async fn checkpoints(pool: SqlitePool) {
    loop {
        tokio::time::sleep(CHECKPOINT_INTERVAL).await;
        let moved = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await;
        if pool.is_closed() {
            break;
        }
        if let Err(error) = moved {
            tracing::warn!(%error, "the log of the accounts cannot be moved into their file");
        }
    }
}

impl Database for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn read(&self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, Vec<Row>> {
        Box::pin(async move {
            let rows = bind(sql, values).fetch_all(&self.readers).await?;
            rows.iter().map(row).collect()
        })
    }

    fn begin(&self) -> Outcome<'_, Box<dyn Transaction>> {
        Box::pin(async move {
            let connection = Some(self.writer.acquire().await?);
            let mut transaction = SqliteTransaction { connection };
            transaction.run(BEGIN, Vec::new()).await?;
            Ok(Box::new(transaction) as Box<dyn Transaction>)
        })
    }

    fn begin_with(&self, script: &'static Script, lists: Vec<List>) -> Outcome<'_, Begun> {
        Box::pin(async move {
            let connection = Some(self.writer.acquire().await?);
            let mut transaction = SqliteTransaction { connection };
            let sql = script.joined(Some(BEGIN), None);
            let mut found = transaction.run(sql, lists).await?;
            // BEGIN finds nothing.
            found.remove(0);
            Ok((Box::new(transaction) as Box<dyn Transaction>, found))
        })
    }

    fn back_up<'a>(&'a self, file: &'a Path) -> Outcome<'a, ()> {
        Box::pin(async move {
            // SQLite fills an empty file, and leaves to it who may read it.
            create_private(file).map_err(StorageError::file(file))?;
            let name = file.display().to_string();
            let copied = sqlx::query("VACUUM INTO $1").bind(name).execute(&self.writer).await;
            if copied.is_err() {
                // Half a copy must not be taken for one; why there is none is what matters.
                let _ = std::fs::remove_file(file);
            }
            copied?;
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            self.checkpointer.close().await;
            // The last one moves the log into the file and takes it away.
            self.writer.close().await;
        })
    }
}

/// A transaction that the driver does not know of: BEGIN and COMMIT are statements like others, so
/// that they share a trip to the thread with them.
struct SqliteTransaction {
    /// `None` as soon as it is committed.
    connection: Option<PoolConnection<Driver>>,
}

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

impl SqliteTransaction {
    fn connection(&mut self) -> Result<&mut SqliteConnection, StorageError> {
        Ok(self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?)
    }

    /// What each statement of the text found.
    async fn run(
        &mut self,
        sql: &'static str,
        lists: Vec<List>,
    ) -> Result<Vec<Vec<Row>>, StorageError> {
        let query = bind(sql, lists.into_iter().map(List::value).collect());
        let mut parts = self.connection()?.fetch_many(query);
        let mut found = vec![Vec::new()];
        while let Some(part) = parts.try_next().await? {
            match (part, found.last_mut()) {
                (Either::Right(part), Some(rows)) => rows.push(row(&part)?),
                _ => found.push(Vec::new()),
            }
        }
        found.pop();
        Ok(found)
    }
}

impl Drop for SqliteTransaction {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            // The connection is closed, which takes back what was not committed.
            return connection.close_on_drop();
        };
        runtime.spawn(async move {
            if sqlx::query(ROLLBACK).execute(&mut *connection).await.is_err() {
                // There was nothing to take back, or closing it does.
                connection.close_on_drop();
            }
        });
    }
}

impl Transaction for SqliteTransaction {
    fn query(&mut self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, Vec<Row>> {
        Box::pin(async move {
            let rows = bind(sql, values).fetch_all(self.connection()?).await?;
            rows.iter().map(row).collect()
        })
    }

    fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, u64> {
        Box::pin(async move {
            let done = bind(sql, values).execute(self.connection()?).await?;
            Ok(done.rows_affected())
        })
    }

    fn commit(mut self: Box<Self>) -> Outcome<'static, ()> {
        Box::pin(async move {
            self.run(COMMIT, Vec::new()).await?;
            self.connection = None;
            Ok(())
        })
    }

    fn commit_with(
        mut self: Box<Self>,
        script: &'static Script,
        lists: Vec<List>,
    ) -> Outcome<'static, ()> {
        Box::pin(async move {
            self.run(script.joined(None, Some(COMMIT)), lists).await?;
            self.connection = None;
            Ok(())
        })
    }
}

fn bind(
    sql: &'static str,
    values: Vec<Value>,
) -> sqlx::query::Query<'static, Driver, SqliteArguments> {
    values.into_iter().fold(sqlx::query(sql), |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}

fn row(row: &SqliteRow) -> Result<Row, StorageError> {
    let columns = (0..row.len()).map(|index| {
        let value = row.try_get_raw(index)?;
        match value.type_info().name() {
            "INTEGER" => Ok(Value::Int(row.try_get(index)?)),
            "TEXT" => Ok(Value::Text(row.try_get(index)?)),
            _ => Err(StorageError::Shape("neither a number nor text")),
        }
    });
    columns.collect::<Result<_, _>>().map(Row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::values;

    const ADD: &str = "INSERT INTO nodes (id, lease_until) VALUES ($1, 1)";

    #[tokio::test]
    async fn what_is_not_committed_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(&folder.path().join("accounts.sqlite")).await.unwrap();
        for name in ["dropped", "failed"] {
            let mut transaction = database.begin().await.unwrap();
            transaction.execute(ADD, values![name]).await.unwrap();
            if name == "failed" {
                // A node is there once.
                assert!(transaction.execute(ADD, values![name]).await.is_err());
            }
            drop(transaction);
        }
        let mut transaction = database.begin().await.unwrap();
        transaction.execute(ADD, values!["kept"]).await.unwrap();
        transaction.commit().await.unwrap();
        let rows = database.read("SELECT id FROM nodes", Vec::new()).await.unwrap();
        assert_eq!(rows, [Row(values!["kept"])]);
    }
}
