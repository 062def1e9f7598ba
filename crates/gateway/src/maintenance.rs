//! What is done to accounts beside a running gateway, or without one.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::accounts::{AccountError, Accounts, UserChange};
use crate::gateway::{
    MARK, SQLITE_FILE, lock_node, open_database, open_pepper, pepper_file, pepper_mark,
};
use crate::private_file::create_private;
use crate::secrets::{Pepper, same};
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
        // A misspelt folder must not become new accounts.
        let expected = match settings.database {
            None => settings.folder.join(SQLITE_FILE),
            Some(_) => pepper_file(&settings),
        };
        if !expected.is_file() {
            let file = expected.display();
            let advice = "these are no accounts; the first start of a server makes them";
            return Err(StorageError::Setting(format!("there is no {file}: {advice}")));
        }
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

    /// Gives a user another password, signs them out everywhere and ends their personal token.
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
        let pepper = pepper_file(&self.settings);
        replace_private(&pepper, &beside(file)).map_err(StorageError::file(&pepper))
    }

    /// Ends the connections.
    pub async fn close(self) {
        self.database.close().await;
    }
}

/// Puts a backup into the place of the accounts of `settings`, which no server may use meanwhile.
///
/// # Errors
/// If the backup is not one, or a server uses the folder. Then all stays as it is.
pub async fn restore(settings: &Settings, file: &Path) -> Result<(), StorageError> {
    if settings.database.is_some() {
        let advice = "a PostgreSQL database is restored with its own tools: pg_restore or psql";
        return Err(StorageError::Setting(advice.to_owned()));
    }
    if !is_sqlite(file).map_err(StorageError::file(file))? {
        return Err(no_backup(file, "is no copy of accounts; `phial accounts backup` writes them"));
    }
    let pepper = beside(file);
    if !pepper.is_file() {
        let problem = format!("needs the secret that belongs to it: {}", pepper.display());
        return Err(no_backup(file, &problem));
    }
    let folder = &settings.folder;
    fs::create_dir_all(folder).map_err(StorageError::file(folder))?;
    let (_, lock) = lock_node(folder)?;
    let copy = folder.join(RESTORING);
    let copied = copy_checked(file, &copy, &Pepper::open(&pepper)?).await;
    if copied.is_err() {
        remove_database(folder, RESTORING)?;
    }
    copied?;
    let target = pepper_file(settings);
    replace_private(&pepper, &target).map_err(StorageError::file(&target))?;
    remove_database(folder, SQLITE_FILE)?;
    remove(&folder.join("journal"))?;
    let target = folder.join(SQLITE_FILE);
    fs::rename(&copy, &target).map_err(StorageError::file(&target))?;
    drop(lock);
    Ok(())
}

/// A backup on its way to its place.
const RESTORING: &str = "restoring.sqlite";

/// Copies a backup to `copy`, brings its tables up to date, and holds it against its pepper.
async fn copy_checked(file: &Path, copy: &Path, pepper: &Pepper) -> Result<(), StorageError> {
    if let Some(folder) = copy.parent() {
        remove_database(folder, RESTORING)?;
    }
    replace_private(file, copy).map_err(StorageError::file(file))?;
    let unreadable = |error| no_backup(file, &format!("cannot be read: {error}"));
    let database = storage::open(&copy.to_string_lossy()).await.map_err(unreadable)?;
    let mark = pepper_mark(&*database).await;
    database.close().await;
    match mark.map_err(unreadable)? {
        None => Err(no_backup(file, "is no copy of accounts, but another database")),
        Some(mark) if !same(&mark, &pepper.hash(MARK, "")) => {
            let pepper = beside(file);
            Err(no_backup(file, &format!("was made with another secret than {}", pepper.display())))
        }
        Some(_) => Ok(()),
    }
}

fn no_backup(file: &Path, problem: &str) -> StorageError {
    StorageError::Setting(format!("{} {problem}", file.display()))
}

/// Whether `file` begins as every SQLite database does.
fn is_sqlite(file: &Path) -> std::io::Result<bool> {
    const BEGINNING: &[u8] = b"SQLite format 3\0";
    let mut beginning = Vec::with_capacity(BEGINNING.len());
    File::open(file)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == BEGINNING)
}

/// Puts a copy of `from` to `to`, which nobody but its owner reads.
fn replace_private(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut source = File::open(from)?;
    if to.exists() {
        fs::remove_file(to)?;
    }
    let mut target = create_private(to)?;
    std::io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Removes the database `name` of `folder`, and what SQLite keeps beside it.
fn remove_database(folder: &Path, name: &str) -> Result<(), StorageError> {
    for ending in ["", "-wal", "-shm"] {
        remove(&folder.join(format!("{name}{ending}")))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> Result<(), StorageError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::file(file)(error))
        }
        _ => Ok(()),
    }
}

/// Where a backup has its pepper.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pepper");
    name.into()
}
