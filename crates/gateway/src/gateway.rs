//! The gateway as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::routing::get;

use crate::accounts::Accounts;
use crate::admission;
use crate::audit::Audit;
use crate::channel_store::ChannelStore;
use crate::console;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::management;
use crate::openid::OpenId;
use crate::options::Options;
use crate::origins;
use crate::parts::Parts;
use crate::secrets::{Pepper, hex, random_bytes, same};
use crate::settings::Settings;
use crate::storage::{self, Database, StorageError, values};
use crate::upstream::Upstream;
use crate::upstreams::{ChannelSettings, Channels};

/// The database of a folder.
pub(crate) const SQLITE_FILE: &str = "accounts.sqlite";

/// The purpose for which the pepper is told from others.
pub(crate) const MARK: &str = "mark";

const READ_MARK: &str = "SELECT value FROM options WHERE name = 'pepper'";
const SET_MARK: &str =
    "INSERT INTO options (name, value) VALUES ('pepper', $1) ON CONFLICT (name) DO NOTHING";

/// Accounts, keys and a ledger in front of an upstream. Clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

impl Gateway {
    /// Opens the accounts of `settings`, settles what the last process of this node left open, and
    /// stands before `upstream`.
    ///
    /// # Errors
    /// What is wrong with the folder, the database or the settings, in one line.
    pub async fn open(
        settings: Settings,
        upstream: Arc<dyn Upstream>,
    ) -> Result<Self, StorageError> {
        Self::open_before(settings, upstream, None).await
    }

    /// The same, before `channels`: those of `configured`, and those that administrators make.
    ///
    /// # Errors
    /// As [`Gateway::open`].
    pub async fn open_with_channels(
        settings: Settings,
        channels: Arc<Channels>,
        configured: Vec<ChannelSettings>,
    ) -> Result<Self, StorageError> {
        let upstream = Arc::clone(&channels);
        Self::open_before(settings, upstream, Some((channels, configured))).await
    }

    async fn open_before(
        settings: Settings,
        upstream: Arc<dyn Upstream>,
        channels: Option<(Arc<Channels>, Vec<ChannelSettings>)>,
    ) -> Result<Self, StorageError> {
        let folder = &settings.folder;
        std::fs::create_dir_all(folder).map_err(StorageError::file(folder))?;
        let (node, lock) = lock_node(folder)?;
        let database = open_database(&settings).await?;
        let pepper = open_pepper(&settings, &*database).await?;
        let options = Options::open(Arc::clone(&database), &settings).await?;
        let ledger = Ledger::open(Arc::clone(&database), folder, node).await?;
        let openid = openid(&settings, &pepper)?;
        let channels = match channels {
            None => None,
            Some((channels, configured)) => {
                let database = Arc::clone(&database);
                Some(ChannelStore::open(database, &pepper, channels, configured).await?)
            }
        };
        Ok(Self(Arc::new(Parts {
            options,
            openid,
            channels,
            keys: Keys::new(Arc::clone(&database), pepper.clone()),
            ledger,
            accounts: Accounts::new(Arc::clone(&database), pepper),
            audit: Audit::new(Arc::clone(&database)),
            database,
            upstream,
            settings,
            _lock: lock,
        })))
    }

    /// The secret of the link by which the first administrator is made
    /// (`/console/setup#SECRET`); `None` if there is one. Each call ends the last one's.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setup_secret(&self) -> Result<Option<String>, StorageError> {
        if self.0.accounts.has_administrator().await? {
            return Ok(None);
        }
        self.0.accounts.new_setup_secret().await.map(Some)
    }

    /// The public API.
    pub fn public_routes(&self) -> Router {
        let parts = Arc::clone(&self.0);
        let routes = Router::new().fallback(move |request: Request| {
            let parts = Arc::clone(&parts);
            async move { admission::answer(&parts, request).await }
        });
        if self.0.settings.apart.is_none() {
            return routes;
        }
        let allow = middleware::from_fn_with_state(Arc::clone(&self.0), origins::allow_console);
        routes.layer(allow)
    }

    /// What the requests of batches go through: they have no key with them, but a
    /// [`Payer`](phial_openai::metering::Payer). Never to be served to clients.
    pub fn batch_routes(&self) -> Router {
        let parts = Arc::clone(&self.0);
        Router::new().fallback(move |request: Request| {
            let parts = Arc::clone(&parts);
            async move { admission::answer_batch(&parts, request).await }
        })
    }

    /// The management API below `/api`, the console below `/console` and at `/`, and the public
    /// API's description, of which the console makes its reference.
    pub fn management_routes(&self) -> Router {
        let upstream = Arc::clone(&self.0.upstream);
        let describe = move || {
            let description = upstream.openapi();
            async { ([(CONTENT_TYPE, "application/json")], description) }
        };
        let management = management::router(Arc::clone(&self.0));
        let routes = management.merge(console::routes()).route("/openapi.json", get(describe));
        if self.0.settings.apart.is_none() {
            return routes;
        }
        let widen = middleware::from_fn_with_state(Arc::clone(&self.0), origins::widen_policy);
        routes.layer(widen)
    }

    /// Everything: management below `/api`, the rest is the public API.
    pub fn routes(&self) -> Router {
        self.management_routes().merge(self.public_routes())
    }

    /// Waits until everything that has ended is in the ledger.
    pub async fn flush(&self) {
        self.0.ledger.flush().await;
    }

    /// Waits until everything that has ended is in the ledger, and closes the database. Answers
    /// must have ended before.
    pub async fn close(&self) {
        self.0.ledger.flush().await;
        self.0.database.close().await;
    }
}

/// Where providers send browsers back to, below the public URL.
const OPENID_CALLBACK: &str = "/api/oauth/openid/callback";

fn openid(settings: &Settings, pepper: &Pepper) -> Result<Option<OpenId>, StorageError> {
    let Some(openid) = settings.openid.clone() else { return Ok(None) };
    let Some(url) = settings.management_url.as_ref().or(settings.public_url.as_ref()) else {
        let problem = "[gateway.openid] needs public_url (or management_url, where the console is \
                       apart): providers send browsers back to it";
        return Err(StorageError::Setting(problem.to_owned()));
    };
    let back = format!("{}{OPENID_CALLBACK}", url.trim_end_matches('/'));
    let secret = pepper.hash("openid", "");
    let openid = OpenId::new(openid, &back, secret.as_bytes());
    openid.map(Some).map_err(|error| StorageError::Setting(error.to_string()))
}

/// The database of `settings`, its tables up to date.
pub(crate) async fn open_database(settings: &Settings) -> Result<Arc<dyn Database>, StorageError> {
    match &settings.database {
        Some(address) => storage::open(address).await,
        None => storage::open(&settings.folder.join(SQLITE_FILE).to_string_lossy()).await,
    }
}

/// Where the pepper is.
pub(crate) fn pepper_file(settings: &Settings) -> PathBuf {
    settings.pepper_file.clone().unwrap_or_else(|| settings.folder.join("pepper"))
}

/// The pepper that this database was made with.
pub(crate) async fn open_pepper(
    settings: &Settings,
    database: &dyn Database,
) -> Result<Pepper, StorageError> {
    let file = pepper_file(settings);
    if pepper_mark(database).await?.is_some() && !file.exists() {
        // A new one would fit nothing.
        return Err(StorageError::Setting(format!(
            "{} is missing, and without it no key of these accounts is known; take it from a \
             backup, or from another node of the database",
            file.display()
        )));
    }
    let pepper = Pepper::open(&file)?;
    let mark = pepper.hash(MARK, "");
    let mut transaction = database.begin().await?;
    transaction.execute(SET_MARK, values![&mark]).await?;
    transaction.commit().await?;
    let known = pepper_mark(database).await?.ok_or(StorageError::Shape("nothing"))?;
    if !same(&known, &mark) {
        return Err(StorageError::Setting(format!(
            "{} is not the pepper that these accounts were made with; all nodes of a database \
             need the same (pepper_file in the configuration)",
            file.display()
        )));
    }
    Ok(pepper)
}

/// What the pepper of these accounts makes of [`MARK`]; `None`: there are no accounts yet.
pub(crate) async fn pepper_mark(database: &dyn Database) -> Result<Option<String>, StorageError> {
    let row = database.read(READ_MARK, Vec::new()).await?.into_iter().next();
    row.map(|row| row.columns().text()).transpose()
}

/// The name of the node whose folder this is; one process at a time may be it.
pub(crate) fn lock_node(folder: &Path) -> Result<(String, File), StorageError> {
    let file: PathBuf = folder.join("node");
    let mut opened = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&file)
        .map_err(StorageError::file(&file))?;
    if opened.try_lock().is_err() {
        return Err(StorageError::Setting(format!(
            "another process uses {}; give each its own folder",
            folder.display()
        )));
    }
    let mut name = String::new();
    std::io::Read::read_to_string(&mut opened, &mut name).map_err(StorageError::file(&file))?;
    if name.is_empty() {
        name = hex(&random_bytes::<8>());
        std::io::Write::write_all(&mut opened, name.as_bytes())
            .map_err(StorageError::file(&file))?;
    }
    Ok((name, opened))
}
