//! Channels that administrators made, beside those of the configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::sealing::Seal;
use crate::secrets::Pepper;
use crate::storage::{Database, Row, StorageError, values};
use crate::upstreams::{ChannelKey, ChannelSettings, Channels, InvalidChannel};

/// How often what other nodes have changed is looked up.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

const ENABLED: i64 = 1;
const DISABLED: i64 = 2;

const LIST: &str = "SELECT id, name, base_url, secret, models, model_mapping, weight, priority,
        timeout_seconds, status FROM channels ORDER BY id";
const ADD: &str = "INSERT INTO channels (name, kind, base_url, secret, models, model_mapping,
        weight, priority, timeout_seconds, status)
    VALUES ($1, 'openai', $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
const CHANGE: &str = "UPDATE channels SET name = $1, base_url = $2, secret = $3, models = $4,
        model_mapping = $5, weight = $6, priority = $7, timeout_seconds = $8, status = $9
    WHERE id = $10";
const DELETE: &str = "DELETE FROM channels WHERE id = $1";

/// All channels of a gateway, and where they come from.
pub(crate) struct ChannelStore {
    database: Arc<dyn Database>,
    channels: Arc<Channels>,
    /// Those of the configuration, which nobody changes.
    configured: Vec<ChannelSettings>,
    /// Keys of other servers have to be sent, so they are kept sealed, not hashed.
    seal: Seal,
}

/// Why a channel is not made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Invalid(#[from] InvalidChannel),
    #[error("Another channel has this name.")]
    Duplicate,
    #[error("There is no such channel.")]
    NotFound,
    #[error("This channel is in the configuration; change it there.")]
    Configured,
}

impl ChannelStore {
    /// Gives `channels` those of the configuration and those that are stored, and keeps them fresh.
    pub async fn open(
        database: Arc<dyn Database>,
        pepper: &Pepper,
        channels: Arc<Channels>,
        configured: Vec<ChannelSettings>,
    ) -> Result<Arc<Self>, StorageError> {
        let seal = Seal::new(pepper.hash("channels", "").as_bytes(), "channel key");
        let store = Arc::new(Self { database, channels, configured, seal });
        store.refresh().await?;
        tokio::spawn(keep_fresh(Arc::downgrade(&store)));
        Ok(store)
    }

    /// What answers, with the health of each channel.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// All channels: those of the configuration first.
    pub async fn all(&self) -> Result<Vec<ChannelSettings>, StorageError> {
        let mut all = self.configured.clone();
        for row in self.database.read(LIST, Vec::new()).await? {
            all.push(self.settings(row)?);
        }
        Ok(all)
    }

    /// The stored channel `id`.
    pub async fn stored(&self, id: i64) -> Result<ChannelSettings, ChannelError> {
        if self.configured.iter().any(|channel| channel.id == id) {
            return Err(ChannelError::Configured);
        }
        let mut all = self.all().await?.into_iter();
        all.find(|channel| channel.id == id).ok_or(ChannelError::NotFound)
    }

    /// Makes a channel; its id.
    pub async fn add(&self, settings: &ChannelSettings) -> Result<i64, ChannelError> {
        self.check(settings)?;
        let mut transaction = self.database.begin().await?;
        let rows = transaction.query(ADD, self.bound(settings)?).await;
        let row = rows.map_err(named_twice)?.into_iter().next();
        let id = row.ok_or(StorageError::Shape("nothing"))?.columns().int()?;
        transaction.commit().await.map_err(named_twice)?;
        self.refresh().await?;
        Ok(id)
    }

    /// Changes the channel of that id.
    pub async fn change(&self, settings: &ChannelSettings) -> Result<(), ChannelError> {
        self.check(settings)?;
        let mut bound = self.bound(settings)?;
        bound.push(settings.id.into());
        let mut transaction = self.database.begin().await?;
        let changed = transaction.execute(CHANGE, bound).await.map_err(named_twice)?;
        transaction.commit().await.map_err(named_twice)?;
        self.refresh().await?;
        if changed == 0 { Err(ChannelError::NotFound) } else { Ok(()) }
    }

    /// Deletes a channel. Answers that run on it run on.
    pub async fn delete(&self, id: i64) -> Result<ChannelSettings, ChannelError> {
        let settings = self.stored(id).await?;
        let mut transaction = self.database.begin().await?;
        transaction.execute(DELETE, values![id]).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(settings)
    }

    fn check(&self, settings: &ChannelSettings) -> Result<(), ChannelError> {
        settings.check()?;
        match self.configured.iter().any(|channel| channel.name == settings.name) {
            true => Err(ChannelError::Duplicate),
            false => Ok(()),
        }
    }

    fn bound(
        &self,
        settings: &ChannelSettings,
    ) -> Result<Vec<crate::storage::Value>, StorageError> {
        let json = |text: serde_json::Result<String>| text.map_err(|_| StorageError::Shape("JSON"));
        let sealed = match settings.key.expose() {
            None => Some(String::new()),
            Some(key) => self.seal.close(key.as_bytes()),
        };
        let sealed = sealed.ok_or_else(|| StorageError::Setting("no random numbers".into()))?;
        let status = if settings.enabled { ENABLED } else { DISABLED };
        let seconds = settings.patience.first_byte.as_secs();
        Ok(values![
            &settings.name,
            &settings.base_url,
            sealed,
            json(serde_json::to_string(&settings.models))?,
            json(serde_json::to_string(&settings.model_mapping))?,
            i64::from(settings.weight),
            i64::from(settings.priority),
            i64::try_from(seconds).unwrap_or(i64::MAX),
            status,
        ])
    }

    fn settings(&self, row: Row) -> Result<ChannelSettings, StorageError> {
        let mut row = row.columns();
        let (id, name, base_url) = (row.int()?, row.text()?, row.text()?);
        let (sealed, models, mapping) = (row.text()?, row.text()?, row.text()?);
        let models: Vec<String> =
            serde_json::from_str(&models).map_err(|_| StorageError::Shape("models"))?;
        let mapping: BTreeMap<String, String> =
            serde_json::from_str(&mapping).map_err(|_| StorageError::Shape("a mapping"))?;
        let mut settings = ChannelSettings::openai(id, &name, &base_url, models);
        settings.model_mapping = mapping;
        settings.key = match sealed.is_empty() {
            true => ChannelKey::default(),
            false => {
                let key = self.seal.open(&sealed).and_then(|key| String::from_utf8(key).ok());
                ChannelKey::new(key.ok_or(StorageError::Shape("a key under another pepper"))?)
            }
        };
        let weight = u32::try_from(row.int()?);
        settings.weight = weight.map_err(|_| StorageError::Shape("a weight"))?;
        let priority = i32::try_from(row.int()?);
        settings.priority = priority.map_err(|_| StorageError::Shape("a priority"))?;
        let seconds = u64::try_from(row.int()?).map_err(|_| StorageError::Shape("a time"))?;
        settings.patience.first_byte = Duration::from_secs(seconds);
        settings.enabled = row.int()? == ENABLED;
        Ok(settings)
    }

    async fn refresh(&self) -> Result<(), StorageError> {
        let all = self.all().await?;
        let replaced = self.channels.replace(all);
        replaced.map_err(|error| StorageError::Setting(error.to_string()))
    }
}

fn named_twice(error: StorageError) -> ChannelError {
    if error.is_duplicate() { ChannelError::Duplicate } else { error.into() }
}

async fn keep_fresh(store: Weak<ChannelStore>) {
    loop {
        tokio::time::sleep(REFRESH_INTERVAL).await;
        let Some(store) = store.upgrade() else { return };
        if let Err(error) = store.refresh().await {
            tracing::error!(%error, "channels cannot be read");
        }
    }
}
