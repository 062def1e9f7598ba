//! `[[gateway.upstreams]]` of the configuration file.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::settings::{ChannelKey, ChannelSettings, Patience, WithoutUsage};

/// One channel as the file has it. What is absent is as [`ChannelSettings::openai`] has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTable {
    /// For people, and the only one of its name.
    pub name: String,
    /// `https://host/v1`
    pub base_url: String,
    /// Names of its models.
    pub models: Vec<String>,
    /// Its own names for some of them.
    #[serde(default)]
    pub model_mapping: BTreeMap<String, String>,
    /// Variable of the environment that has its key.
    pub key_env: Option<String>,
    /// File that has its key.
    pub key_file: Option<PathBuf>,
    /// Share among channels of one priority.
    pub weight: Option<u32>,
    /// Higher ones are asked first.
    pub priority: Option<i32>,
    /// Until it is connected.
    pub connect_seconds: Option<f64>,
    /// Until the first byte of an answer.
    pub timeout_seconds: Option<f64>,
    /// Between two pieces of an answer.
    pub idle_seconds: Option<f64>,
    /// Between two looks at its health; 0: never.
    pub health_seconds: Option<f64>,
    /// Tokens of prompt and answer together.
    pub context_tokens: Option<u64>,
    /// `reserved`, or bytes of text for a token.
    pub without_usage: Option<WithoutUsageTable>,
    /// Whether it knows `continuous_usage_stats`.
    pub continuous_usage: Option<bool>,
}

/// What counts where no usage is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum WithoutUsageTable {
    /// `"reserved"`
    Word(String),
    /// Bytes of text for a token, at least 1.
    BytesPerToken(NonZeroU64),
}

/// The longest time that a channel may be waited for.
const SECONDS_MAX: f64 = 86_400.0;

impl UpstreamTable {
    /// The channel `id`, with its key read from where the table says.
    ///
    /// # Errors
    /// What is wrong and where, for whoever wrote the file.
    pub fn settings(&self, id: i64) -> Result<ChannelSettings, String> {
        let of = |problem: String| format!("[[gateway.upstreams]] '{}': {problem}", self.name);
        let mut settings =
            ChannelSettings::openai(id, &self.name, &self.base_url, self.models.clone());
        settings.model_mapping = self.model_mapping.clone();
        settings.key = self.key().map_err(of)?;
        let usual = Patience::default();
        settings.patience = Patience {
            connect: seconds("connect_seconds", self.connect_seconds, usual.connect).map_err(of)?,
            first_byte: seconds("timeout_seconds", self.timeout_seconds, usual.first_byte)
                .map_err(of)?,
            idle: seconds("idle_seconds", self.idle_seconds, usual.idle).map_err(of)?,
        };
        let interval = settings.health_interval.unwrap_or_default();
        let interval = seconds("health_seconds", self.health_seconds, interval).map_err(of)?;
        settings.health_interval = (!interval.is_zero()).then_some(interval);
        settings.weight = self.weight.unwrap_or(settings.weight);
        settings.priority = self.priority.unwrap_or(settings.priority);
        settings.context_tokens = self.context_tokens.unwrap_or(settings.context_tokens);
        settings.continuous_usage = self.continuous_usage.unwrap_or(false);
        settings.without_usage = match &self.without_usage {
            None => settings.without_usage,
            Some(WithoutUsageTable::BytesPerToken(bytes)) => WithoutUsage::BytesPerToken(*bytes),
            Some(WithoutUsageTable::Word(word)) if word == "reserved" => WithoutUsage::Reserved,
            Some(WithoutUsageTable::Word(word)) => {
                return Err(of(format!(
                    "without_usage: '{word}' is neither 'reserved' nor a number of bytes"
                )));
            }
        };
        settings.check().map_err(|error| of(error.to_string()))?;
        Ok(settings)
    }

    fn key(&self) -> Result<ChannelKey, String> {
        let text = match (&self.key_env, &self.key_file) {
            (None, None) => return Ok(ChannelKey::default()),
            (Some(_), Some(_)) => return Err("key_env or key_file, not both".into()),
            (Some(name), None) => std::env::var(name)
                .map_err(|_| format!("key_env: the environment has no {name}"))?,
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| format!("key_file: cannot read {}: {error}", path.display()))?,
        };
        match text.trim() {
            "" => Err("its key is empty".into()),
            key => Ok(ChannelKey::new(key)),
        }
    }
}

fn seconds(name: &str, given: Option<f64>, usual: Duration) -> Result<Duration, String> {
    match given {
        None => Ok(usual),
        Some(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(seconds) => Err(format!("{name}: {seconds} is not within 0 and {SECONDS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ChannelSettings, String> {
        toml::from_str::<UpstreamTable>(text).map_err(|error| error.to_string())?.settings(7)
    }

    const BASE: &str = "name = 'big'\nbase_url = 'http://10.0.0.9:8000/v1'\nmodels = ['phi']\n";

    #[test]
    fn a_table_becomes_a_channel() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, "sk-1\n").unwrap();
        let settings = read(&format!(
            "{BASE}key_file = '{}'\nweight = 3\npriority = -1\ntimeout_seconds = 0.5\n\
             health_seconds = 0\nwithout_usage = 4\nmodel_mapping = {{ phi = 'Phi-4' }}",
            key.display()
        ));
        let settings = settings.unwrap();
        assert_eq!((settings.id, settings.weight, settings.priority), (7, 3, -1));
        assert_eq!(settings.key, ChannelKey::new("sk-1"));
        assert_eq!(settings.patience.first_byte, Duration::from_millis(500));
        assert_eq!(settings.health_interval, None);
        let four = WithoutUsage::BytesPerToken(NonZeroU64::new(4).unwrap());
        assert_eq!(settings.without_usage, four);
        assert_eq!(settings.upstream_name("phi"), "Phi-4");
        let reserved = read(&format!("{BASE}without_usage = 'reserved'")).unwrap();
        assert_eq!(reserved.without_usage, WithoutUsage::Reserved);
    }

    #[test]
    fn mistakes_name_the_channel_and_the_field() {
        for (line, word) in [
            ("timeout_seconds = -1", "timeout_seconds"),
            ("timeout_seconds = nan", "timeout_seconds"),
            ("without_usage = 'guess'", "without_usage"),
            ("key_env = 'PHIAL_TEST_NO_SUCH_VARIABLE'", "PHIAL_TEST_NO_SUCH_VARIABLE"),
            ("key_file = '/nonexistent/key'", "/nonexistent/key"),
            ("key = 'sk-1'", "key"),
            ("wieght = 1", "wieght"),
        ] {
            let error = read(&format!("{BASE}{line}")).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
