//! One channel: its settings, its connections, and how it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::address::BaseUrl;
use super::breaker::Breaker;
use super::health::HealthState;
use super::metrics::Counters;
use super::selection::Rank;
use super::settings::{ChannelSettings, InvalidChannel};
use crate::networks::{AddressPolicy, Connector, connector};

/// Unused connections are closed after so long; servers close them after a minute or more.
const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(30);

pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

/// A channel and what is known of it. Requests under way keep the one they began with.
#[derive(Debug)]
pub(super) struct Channel {
    pub settings: ChannelSettings,
    /// Where it is; `None` for the local engine.
    pub base: Option<BaseUrl>,
    /// Its own, so that the connections of one channel are no other's.
    pub client: HttpClient,
    pub counters: Counters,
    condition: Mutex<Condition>,
}

#[derive(Debug, Default)]
struct Condition {
    breaker: Breaker,
    /// Looks at its health that failed, one after the other.
    failed_checks: u32,
    last_error: String,
    response_time: Duration,
    checked: Option<Instant>,
}

/// Failed looks at its health after which a channel counts as down.
const FAILED_CHECKS_MAX: u32 = 2;

/// How a channel is, for those who look after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelHealth {
    /// In a word.
    pub state: HealthState,
    /// What went wrong last; empty when nothing did since it last answered.
    pub last_error: String,
    /// How long the last answer took to begin.
    pub response_time: Duration,
}

impl Channel {
    pub fn new(settings: ChannelSettings) -> Result<Arc<Self>, InvalidChannel> {
        settings.check()?;
        let connector = connector(AddressPolicy::Operator, settings.patience.connect);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(CONNECTION_IDLE_MAX)
            .build(connector);
        let base = BaseUrl::parse(&settings.base_url).ok();
        let counters = Counters::default();
        Ok(Arc::new(Self { base, client, settings, counters, condition: Mutex::default() }))
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        // Every change is a few assignments; a panic leaves none half done.
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request may go now.
    pub fn admit(&self) -> bool {
        self.condition().breaker.admit(Instant::now())
    }

    /// How long nothing passes yet, if nothing does.
    pub fn wait(&self) -> Option<Duration> {
        self.condition().breaker.wait(Instant::now())
    }

    pub fn rank(&self) -> Rank {
        let is_up = self.condition().failed_checks < FAILED_CHECKS_MAX;
        Rank { is_up, priority: self.settings.priority, weight: self.settings.weight }
    }

    /// An answer began, so long after it was asked for.
    pub fn succeeded(&self, response_time: Duration) {
        let mut condition = self.condition();
        condition.breaker.succeeded();
        condition.failed_checks = 0;
        condition.last_error.clear();
        condition.response_time = response_time;
    }

    /// A request failed, for which the channel is to blame.
    pub fn failed(&self, error: &str) {
        tracing::warn!(channel = self.settings.name, error, "a channel failed");
        let mut condition = self.condition();
        condition.breaker.failed(Instant::now());
        error.clone_into(&mut condition.last_error);
    }

    /// A request ended without a verdict on the channel.
    pub fn abandoned(&self) {
        self.condition().breaker.abandoned(Instant::now());
    }

    /// Whether it is time for another look at its health. If so, it counts as taken.
    pub fn is_check_due(&self, now: Instant) -> bool {
        let Some(interval) = self.settings.health_interval else { return false };
        let mut condition = self.condition();
        let is_due = condition.checked.is_none_or(|checked| now >= checked + interval);
        if is_due {
            condition.checked = Some(now);
        }
        is_due && self.base.is_some() && self.settings.enabled
    }

    /// What a look at its health came to. It does not close the breaker: a server may list its
    /// models and answer nothing.
    pub fn was_checked(&self, outcome: Result<Duration, String>) {
        let mut condition = self.condition();
        match outcome {
            Ok(time) => {
                condition.failed_checks = 0;
                condition.response_time = time;
                if !condition.breaker.is_open() {
                    condition.last_error.clear();
                }
            }
            Err(error) => {
                condition.failed_checks = condition.failed_checks.saturating_add(1);
                condition.last_error = error;
            }
        }
    }

    pub fn health(&self) -> ChannelHealth {
        let condition = self.condition();
        let state = if condition.breaker.is_open() {
            HealthState::Open
        } else if condition.failed_checks >= FAILED_CHECKS_MAX {
            HealthState::Down
        } else {
            HealthState::Up
        };
        ChannelHealth {
            state,
            last_error: condition.last_error.clone(),
            response_time: condition.response_time,
        }
    }
}

/// A request that is under way on a channel, until it is dropped. Only a whole answer, or one that
/// the client did not want to its end, speaks for the channel: one that always breaks off has to
/// count as one that fails.
#[derive(Debug)]
pub(super) struct UnderWay {
    channel: Arc<Channel>,
    started: Instant,
    /// How long it took until an answer began.
    response_time: Option<Duration>,
    has_failed: bool,
}

impl UnderWay {
    pub fn new(channel: &Arc<Channel>) -> Self {
        let started = Instant::now();
        channel.counters.asked();
        Self { channel: channel.clone(), started, response_time: None, has_failed: false }
    }

    /// The answer begins.
    pub fn answers(&mut self) {
        let time = self.started.elapsed();
        self.channel.counters.answered(time);
        self.response_time = Some(time);
    }

    /// It failed, for which the channel is to blame.
    pub fn failed(&mut self, error: &str) {
        self.has_failed = true;
        self.channel.counters.failed();
        self.channel.failed(error);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        match self.response_time {
            _ if self.has_failed => {}
            Some(time) => self.channel.succeeded(time),
            None => self.channel.abandoned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Arc<Channel> {
        let models = vec!["m".to_owned()];
        Channel::new(ChannelSettings::openai(1, "x", "http://127.0.0.1:9/v1", models)).unwrap()
    }

    #[test]
    fn two_failed_looks_put_it_behind_the_others() {
        let channel = channel();
        channel.was_checked(Err("no".into()));
        assert!(channel.rank().is_up);
        channel.was_checked(Err("no".into()));
        assert!(!channel.rank().is_up);
        assert_eq!(channel.health().state, HealthState::Down);
        assert_eq!(channel.health().last_error, "no");
        channel.was_checked(Ok(Duration::from_millis(3)));
        assert_eq!(channel.health().state, HealthState::Up);
        assert_eq!(channel.health().last_error, "");
    }

    #[test]
    fn only_an_answer_closes_the_breaker() {
        let channel = channel();
        (0..5).for_each(|_| channel.failed("broken"));
        assert_eq!(channel.health().state, HealthState::Open);
        channel.was_checked(Ok(Duration::ZERO));
        assert_eq!(channel.health().state, HealthState::Open);
        assert_eq!(channel.health().last_error, "broken");
        assert!(!channel.admit());
        drop(UnderWay::new(&channel));
        assert!(!channel.admit(), "no verdict");
        UnderWay::new(&channel).answers();
        assert!(channel.admit());
    }

    #[test]
    fn a_channel_whose_answers_always_break_off_fails() {
        let channel = channel();
        for _ in 0..5 {
            let mut under_way = UnderWay::new(&channel);
            under_way.answers();
            under_way.failed("broken off");
        }
        assert_eq!(channel.health().state, HealthState::Open);
    }

    #[test]
    fn looks_are_taken_once_in_an_interval() {
        let channel = channel();
        let now = Instant::now();
        assert!(channel.is_check_due(now));
        assert!(!channel.is_check_due(now));
        assert!(channel.is_check_due(now + Duration::from_secs(31)));
    }
}
