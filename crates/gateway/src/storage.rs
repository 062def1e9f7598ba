//! The database: SQLite within the program, or PostgreSQL for several nodes.
//!
//! All SQL stands in constants; what comes from outside is bound, never written into it. One text
//! serves both databases wherever it can: numbers are `BIGINT`, everything else is `TEXT`, and
//! lists are bound as JSON.

mod postgres;
mod script;
mod sqlite;
mod value;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};
use thiserror::Error;

pub(crate) use script::{Field, List, Script, fields};
pub(crate) use value::{Columns, Row, Value, values};

/// Why the database did not do what it was asked. One line for the operator; clients never read it.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The database refused or is not there.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Its tables cannot be brought up to date.
    #[error("the database's tables: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// It holds something else than this program writes.
    #[error("the database holds {0} where something else was expected")]
    Shape(&'static str),
    /// A file of the folder cannot be used.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// What was given does not fit together; the text says what to do.
    #[error("{0}")]
    Setting(String),
}

impl StorageError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::File { path: path.display().to_string(), error }
    }

    /// Whether the database was closed, and nothing more can be asked of it.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::PoolClosed))
    }

    /// Whether something is there already that may be there once.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// Where the two databases differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A statement in both dialects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

impl Sql {
    pub fn of(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }
}

pub(crate) type Outcome<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// A database.
pub(crate) trait Database: Send + Sync {
    fn dialect(&self) -> Dialect;

    /// Reads what is committed.
    fn read(&self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, Vec<Row>>;

    /// Begins to write. SQLite has one writer at a time: whoever comes second waits here.
    fn begin(&self) -> Outcome<'_, Box<dyn Transaction>>;

    /// Begins to write with a script, whose `lists` are bound in order, and gives what each of its
    /// statements found. SQLite does it in one trip to its thread.
    fn begin_with(&self, script: &'static Script, lists: Vec<List>) -> Outcome<'_, Begun>;

    /// Writes a copy of the whole database, as of now, to a file that is not there yet.
    fn back_up<'a>(&'a self, file: &'a Path) -> Outcome<'a, ()>;

    /// Ends all connections.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Changes that happen together. Dropped before it is committed, none of them happens.
pub(crate) trait Transaction: Send {
    fn query(&mut self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, Vec<Row>>;

    /// The number of rows that it changed.
    fn execute(&mut self, sql: &'static str, values: Vec<Value>) -> Outcome<'_, u64>;

    fn commit(self: Box<Self>) -> Outcome<'static, ()>;

    /// Ends with a script, whose `lists` are bound in order. SQLite does it in one trip.
    fn commit_with(
        self: Box<Self>,
        script: &'static Script,
        lists: Vec<List>,
    ) -> Outcome<'static, ()>;
}

/// A transaction that has begun, and the rows of every statement that it began with.
pub(crate) type Begun = (Box<dyn Transaction>, Vec<Vec<Row>>);

/// Opens `location`: a `postgres://` address, or the file of an SQLite database, which is made if
/// it is not there. Brings its tables up to date.
pub(crate) async fn open(location: &str) -> Result<Arc<dyn Database>, StorageError> {
    if location.starts_with("postgres://") || location.starts_with("postgresql://") {
        Ok(Arc::new(postgres::Postgres::open(location).await?))
    } else {
        Ok(Arc::new(sqlite::Sqlite::open(Path::new(location)).await?))
    }
}

/// Tables, oldest version first. A version that was released never changes.
const SCHEMA: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../schema/0001_initial.sql")),
    (2, "lost requests", include_str!("../schema/0002_lost_requests.sql")),
];

fn migrator(serial_key: &str) -> Migrator {
    let migrations = SCHEMA.iter().map(|&(version, description, sql)| {
        let sql = AssertSqlSafe(sql.replace("SERIAL_KEY", serial_key)).into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    Migrator { migrations: migrations.collect(), ..Migrator::DEFAULT }
}
