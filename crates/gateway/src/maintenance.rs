//! What is done to accounts beside a running gateway, or without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::accounts::{AccountError, Accounts, UserChange};
use crate::gateway::{SQLITE_FILE, lock_node, open_database, open_pepper, pepper_file};
use crate::settings::Settings;
use crate::storage::{self, Database, StorageError};

/// Accounts, opened by a command instead of a server. A server may run meanwhile.
pub struct Maintenance {
    settings: Settings,
    database: Arc<dyn Database>,
    accounts: Accounts,
}

impl Maintenance {
    /// Opens the accounts of `settings`.
    ///
    /// # Errors
    /// What is wrong with the folder or the database.
    pub async fn open(settings: Settings) -> Result<Self, StorageError> {
        let folder = &settings.folder;
        fs::create_dir_all(folder).map_err(StorageError::file(folder))?;
        let database = open_database(&settings).await?;
        let pepper = open_pepper(&settings, &*database).await?;
        let accounts = Accounts::new(Arc::clone(&database), pepper);
        Ok(Self { settings, database, accounts })
    }

    /// A new secret for the link by which an administrator is made; older ones end.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setup_secret(&self) -> Result<String, StorageError> {
        self.accounts.new_setup_secret().await
    }

    /// Gives a user another password, and signs them out everywhere.
    ///
    /// # Errors
    /// If there is no such user, or the password cannot be used.
    pub async fn reset_password(&self, username: &str, password: &str) -> Result<(), StorageError> {
        let change = UserChange { password: Some(password.to_owned()), ..UserChange::default() };
        let changed = async {
            let user = self.accounts.user_named(username).await?;
            let user = user.ok_or(AccountError::NotFound)?;
            self.accounts.change_user(user.id, change).await
        };
        changed.await.map_err(|error| match error {
            AccountError::Storage(error) => error,
            error => StorageError::Setting(format!("{username}: {error}")),
        })
    }

    /// Writes a copy of everything, as of now, to `file`, and the pepper beside it (`.pepper`).
    ///
    /// # Errors
    /// If `file` is there already, or the database cannot be copied.
    pub async fn back_up(&self, file: &Path) -> Result<(), StorageError> {
        for path in [file.to_owned(), beside(file)] {
            if path.exists() {
                let problem = "is there already; a backup takes nothing's place";
                return Err(StorageError::Setting(format!("{} {problem}", path.display())));
            }
        }
        self.database.back_up(file).await?;
        // It keeps its permissions: only its owner reads it.
        let pepper = pepper_file(&self.settings);
        fs::copy(&pepper, beside(file)).map_err(StorageError::file(&pepper))?;
        Ok(())
    }

    /// Ends the connections.
    pub async fn close(self) {
        self.database.close().await;
    }
}

/// Puts a backup into the place of the accounts of `settings`, which no server may use meanwhile.
///
/// # Errors
/// If the backup is not one, or a server uses the folder.
pub async fn restore(settings: &Settings, file: &Path) -> Result<(), StorageError> {
    if settings.database.is_some() {
        let advice = "a PostgreSQL database is restored with its own tools: pg_restore or psql";
        return Err(StorageError::Setting(advice.to_owned()));
    }
    let folder = &settings.folder;
    fs::create_dir_all(folder).map_err(StorageError::file(folder))?;
    let (_, lock) = lock_node(folder)?;
    // A file that is no backup is found out before anything is touched.
    let copy = folder.join("restoring.sqlite");
    fs::copy(file, &copy).map_err(StorageError::file(file))?;
    storage::open(&copy.to_string_lossy()).await?.close().await;
    let pepper = beside(file);
    fs::copy(&pepper, pepper_file(settings)).map_err(StorageError::file(&pepper))?;
    let target = folder.join(SQLITE_FILE);
    for name in [SQLITE_FILE, "accounts.sqlite-wal", "accounts.sqlite-shm", "journal"] {
        match fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StorageError::file(&folder.join(name))(error));
            }
            _ => {}
        }
    }
    fs::rename(&copy, &target).map_err(StorageError::file(&target))?;
    drop(lock);
    Ok(())
}

/// Where a backup has its pepper.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pepper");
    name.into()
}
