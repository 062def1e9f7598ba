//! Accounts: who people are, how they prove it, and how they come in.

mod entry;
mod identities;
mod passwords;
mod sessions;
mod users;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::secrets::Pepper;
use crate::storage::{Database, StorageError};
use passwords::{Attempts, Passwords};

pub(crate) use entry::Entry;
pub(crate) use sessions::SESSION_MILLIS;
pub(crate) use users::{ADMINISTRATOR, DISABLED, USER, User, UserChange};

/// Why something about an account is not done.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was given cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// Name and password, or what stands for them, do not fit.
    #[error("{0}")]
    Denied(&'static str),
    /// Not for this one, or not any more.
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("{0}")]
    Conflict(&'static str),
    #[error("There is no such user.")]
    NotFound,
    #[error("Too many attempts. Please try again in {} s.", .0.as_secs().max(1))]
    TooMany(Duration),
}

/// All accounts.
pub(crate) struct Accounts {
    database: Arc<dyn Database>,
    pepper: Pepper,
    passwords: Passwords,
    attempts: Attempts,
}

impl Accounts {
    pub fn new(database: Arc<dyn Database>, pepper: Pepper) -> Self {
        Self { database, pepper, passwords: Passwords::default(), attempts: Attempts::default() }
    }
}
