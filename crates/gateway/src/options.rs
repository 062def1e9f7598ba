//! What administrators decide while the gateway runs.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{PRICE_MAX, Price};
use crate::settings::Settings;
use crate::storage::{Database, StorageError, values};
use crate::wire::{OptionsView, PriceView};

/// How often what other nodes have changed is looked up.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// The price of models that have none of their own.
const OTHERS: &str = "*";

const READ: &str = "SELECT value FROM options WHERE name = 'settings'";
const WRITE: &str = "INSERT INTO options (name, value) VALUES ('settings', $1)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// Who may make an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignUp {
    /// Nobody: administrators make them.
    #[default]
    Off,
    /// Whoever was invited.
    Invitation,
    /// Anybody.
    Open,
}

impl SignUp {
    pub fn read(word: &str) -> Option<Self> {
        match word {
            "off" => Some(Self::Off),
            "invitation" => Some(Self::Invitation),
            "open" => Some(Self::Open),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Invitation => "invitation",
            Self::Open => "open",
        }
    }
}

/// Everything that can be decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Decided {
    pub sign_up: SignUp,
    pub prices: BTreeMap<String, PriceView>,
    pub new_user_quota: i64,
}

pub(crate) struct Options {
    database: Arc<dyn Database>,
    current: RwLock<Arc<Decided>>,
    /// What the configuration has decided, which nobody changes.
    fixed: (Option<SignUp>, Option<BTreeMap<String, PriceView>>),
}

impl Options {
    pub async fn open(
        database: Arc<dyn Database>,
        settings: &Settings,
    ) -> Result<Arc<Self>, StorageError> {
        let sign_up = match settings.sign_up.as_deref() {
            None => None,
            Some(word) => Some(SignUp::read(word).ok_or_else(|| {
                let problem = "is none of off, invitation and open";
                StorageError::Setting(format!("sign_up = '{word}' {problem}"))
            })?),
        };
        if let Some(prices) = &settings.prices {
            check_prices(prices).map_err(StorageError::Setting)?;
        }
        let options = Arc::new(Self {
            database,
            current: RwLock::default(),
            fixed: (sign_up, settings.prices.clone()),
        });
        options.refresh().await?;
        tokio::spawn(keep_fresh(Arc::downgrade(&options)));
        Ok(options)
    }

    pub fn current(&self) -> Arc<Decided> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What tokens of `model` cost now.
    pub fn price(&self, model: &str) -> Price {
        let current = self.current();
        let price = current.prices.get(model).or_else(|| current.prices.get(OTHERS));
        price.map_or_else(Price::default, |price| Price {
            input: price.input,
            cached_input: price.cached_input,
            output: price.output,
        })
    }

    pub fn view(&self) -> OptionsView {
        let current = self.current();
        OptionsView {
            sign_up: current.sign_up.name().to_owned(),
            prices: current.prices.clone(),
            new_user_quota: current.new_user_quota,
        }
    }

    /// Whether sign-up and prices are the configuration's, which nobody changes.
    pub fn fixed(&self) -> (bool, bool) {
        (self.fixed.0.is_some(), self.fixed.1.is_some())
    }

    /// Decides anew; the caller has checked it.
    pub async fn decide(&self, decided: &Decided) -> Result<(), StorageError> {
        let text = serde_json::to_string(decided).map_err(|_| StorageError::Shape("options"))?;
        let mut transaction = self.database.begin().await?;
        transaction.execute(WRITE, values![text]).await?;
        transaction.commit().await?;
        self.refresh().await
    }

    async fn refresh(&self) -> Result<(), StorageError> {
        let rows = self.database.read(READ, Vec::new()).await?;
        let mut decided = match rows.into_iter().next() {
            None => Decided::default(),
            Some(row) => serde_json::from_str(&row.columns().text()?)
                .map_err(|_| StorageError::Shape("options"))?,
        };
        if let Some(sign_up) = self.fixed.0 {
            decided.sign_up = sign_up;
        }
        if let Some(prices) = &self.fixed.1 {
            decided.prices.clone_from(prices);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(decided);
        Ok(())
    }
}

async fn keep_fresh(options: std::sync::Weak<Options>) {
    loop {
        tokio::time::sleep(REFRESH_INTERVAL).await;
        let Some(options) = options.upgrade() else { return };
        if let Err(error) = options.refresh().await {
            tracing::error!(%error, "options cannot be read");
        }
    }
}

/// Whether prices can be used; the text says why not.
pub(crate) fn check_prices(prices: &BTreeMap<String, PriceView>) -> Result<(), String> {
    for (model, price) in prices {
        let all = [price.input, price.cached_input, price.output];
        if all.iter().any(|price| !(0..=PRICE_MAX).contains(price)) {
            return Err(format!(
                "prices: '{model}' needs whole numbers from 0 to {PRICE_MAX}, in units per \
                 million tokens"
            ));
        }
    }
    Ok(())
}
