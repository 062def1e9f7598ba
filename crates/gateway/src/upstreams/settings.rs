//! What a channel is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

use super::address::BaseUrl;

/// What answers a channel's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// The engine of this process.
    Local,
    /// A server of the public API, over HTTP.
    OpenAi,
}

impl ChannelKind {
    /// Its name in the management API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::OpenAi => "openai",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Local, Self::OpenAi].into_iter().find(|kind| kind.name() == name)
    }
}

/// The key that a channel's server wants. It is shown nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChannelKey(String);

impl ChannelKey {
    /// An empty one is none.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// For the header that carries it, and for the seal under which it is kept.
    pub(crate) fn expose(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

impl fmt::Debug for ChannelKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "none" } else { "hidden" })
    }
}

/// How long a channel is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until it is connected.
    pub connect: Duration,
    /// From the request to the first byte of the answer. An answer that is not streamed begins when
    /// all of it is generated.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(120),
        }
    }
}

/// What a request counts for where the other server does not tell, or not believably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutUsage {
    /// All that was reserved for it.
    Reserved,
    /// A token for so many bytes of text. With 1 it is never less than it really was.
    BytesPerToken(NonZeroU64),
}

impl Default for WithoutUsage {
    fn default() -> Self {
        Self::BytesPerToken(NonZeroU64::MIN)
    }
}

/// A channel, as it is stored or configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelSettings {
    /// Names it; what is known of its health stays with it.
    pub id: i64,
    /// For people.
    pub name: String,
    /// What answers.
    pub kind: ChannelKind,
    /// Where it is, as clients of the API take it: `https://host/v1`. A bare host gets `/v1`.
    /// Unused by [`ChannelKind::Local`].
    pub base_url: String,
    /// What it is called with.
    pub key: ChannelKey,
    /// Models that it has, by the names that requests give. Empty for [`ChannelKind::Local`]: all
    /// of the engine's.
    pub models: Vec<String>,
    /// Its own names for some of them.
    pub model_mapping: BTreeMap<String, String>,
    /// Its share among channels of one priority; with 0 it is asked after all of those.
    pub weight: u32,
    /// Higher ones are asked first.
    pub priority: i32,
    /// Whether it is used.
    pub enabled: bool,
    /// How long it is waited for.
    pub patience: Patience,
    /// How often its list of models is asked for to see whether it is up; `None`: never.
    pub health_interval: Option<Duration>,
    /// Tokens of prompt and answer together that its models take; what is reserved where a request
    /// names no bound, and what no usage may exceed.
    pub context_tokens: u64,
    /// What counts where it tells no usage.
    pub without_usage: WithoutUsage,
    /// Whether it can tell the usage in every event (`continuous_usage_stats`, as vLLM has it), so
    /// that an aborted stream is counted exactly.
    pub continuous_usage: bool,
}

/// Why settings make no channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("channel '{name}': {problem}")]
pub struct InvalidChannel {
    name: String,
    problem: String,
}

impl ChannelSettings {
    /// A channel to the server at `base_url`, which has `models`; all else as usual.
    pub fn openai(id: i64, name: &str, base_url: &str, models: Vec<String>) -> Self {
        Self {
            id,
            name: name.to_owned(),
            kind: ChannelKind::OpenAi,
            base_url: base_url.to_owned(),
            key: ChannelKey::default(),
            models,
            model_mapping: BTreeMap::new(),
            weight: 1,
            priority: 0,
            enabled: true,
            patience: Patience::default(),
            health_interval: Some(Duration::from_secs(30)),
            context_tokens: 131_072,
            without_usage: WithoutUsage::default(),
            continuous_usage: false,
        }
    }

    /// The channel to the engine of this process.
    pub fn local(id: i64) -> Self {
        Self { kind: ChannelKind::Local, ..Self::openai(id, "local", "", Vec::new()) }
    }

    /// What is wrong with them, if something is.
    ///
    /// # Errors
    /// The first thing that makes no sense, in words for whoever configured it.
    pub fn check(&self) -> Result<(), InvalidChannel> {
        let fail = |problem: String| Err(self.invalid(problem));
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return fail(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        // Not every database keeps every letter, and logs have a line for each.
        if self.name.chars().any(char::is_control) {
            return fail("a name is text on one line".into());
        }
        if self.kind == ChannelKind::Local {
            return if !self.model_mapping.is_empty() || self.key != ChannelKey::default() {
                fail("the local engine has neither model_mapping nor key".into())
            } else {
                Ok(())
            };
        }
        if let Err(problem) = BaseUrl::parse(&self.base_url) {
            return fail(problem);
        }
        if self.models.is_empty() {
            return fail("models: name those that it has".into());
        }
        let names = self.models.iter().chain(self.model_mapping.values());
        if names.clone().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return fail(format!("models: a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if names.count() > MODELS_MAX {
            return fail(format!("models: at most {MODELS_MAX}"));
        }
        if let Some(name) = self.model_mapping.keys().find(|name| !self.models.contains(name)) {
            return fail(format!("model_mapping: '{name}' is not among its models"));
        }
        if self.key.expose().is_some_and(|key| !key.bytes().all(|b| b.is_ascii_graphic())) {
            return fail("key: only visible ASCII can be sent".into());
        }
        let Patience { connect, first_byte, idle } = self.patience;
        if connect.is_zero() || first_byte.is_zero() || idle.is_zero() {
            return fail("a time to wait of 0 would fail every request".into());
        }
        if self.context_tokens == 0 {
            return fail("context_tokens: at least 1".into());
        }
        Ok(())
    }

    pub(super) fn invalid(&self, problem: String) -> InvalidChannel {
        InvalidChannel { name: self.name.clone(), problem }
    }

    /// The name by which its server knows `model`.
    pub(super) fn upstream_name<'a>(&'a self, model: &'a str) -> &'a str {
        self.model_mapping.get(model).map_or(model, String::as_str)
    }
}

const NAME_BYTES_MAX: usize = 200;
const MODELS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn usual() -> ChannelSettings {
        ChannelSettings::openai(1, "one", "https://example.org/v1", vec!["a".into()])
    }

    #[test]
    fn what_makes_no_channel_is_said() {
        usual().check().unwrap();
        ChannelSettings::local(2).check().unwrap();
        let wrong = |change: &dyn Fn(&mut ChannelSettings), word: &str| {
            let mut settings = usual();
            change(&mut settings);
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        wrong(&|s| s.base_url = "ftp://example.org".into(), "http");
        wrong(&|s| s.base_url = "http://169.254.169.254/v1".into(), "169.254.169.254");
        wrong(&|s| s.models.clear(), "models");
        wrong(&|s| drop(s.model_mapping.insert("b".into(), "c".into())), "'b'");
        wrong(&|s| s.key = ChannelKey::new("a\r\nb"), "ASCII");
        wrong(&|s| s.patience.idle = Duration::ZERO, "wait");
        wrong(&|s| s.context_tokens = 0, "context_tokens");
        wrong(&|s| s.name.clear(), "name");
        wrong(&|s| s.name = "a\0".into(), "one line");
    }

    #[test]
    fn a_key_is_not_shown() {
        let mut settings = usual();
        settings.key = ChannelKey::new("sk-secret");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
