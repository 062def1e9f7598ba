//! Looking whether channels are up: their list of models is asked for.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};

use super::channel::{Channel, ChannelHealth};
use super::channels::Channels;
use super::headers;
use crate::networks::chain;

/// How a channel is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// As far as is known, it answers.
    Up,
    /// It does not answer when its health is looked at; it is asked after all others.
    Down,
    /// It failed so often that nothing is sent to it for a while.
    Open,
}

impl HealthState {
    /// Its name in the management API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Open => "open",
        }
    }
}

/// Listing models takes no time; a server that is slower than this is not up.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);

const LIST_BYTES_MAX: usize = 4 << 20;

const ROUTE: &str = "/v1/models";

/// Looks once, and remembers what it saw.
pub(super) async fn check(channel: &Channel) -> ChannelHealth {
    let started = Instant::now();
    let outcome = match tokio::time::timeout(CHECK_TIME_MAX, list_models(channel)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("{ROUTE} is not answered within {CHECK_TIME_MAX:?}")),
    };
    channel.was_checked(outcome.map(|()| started.elapsed()));
    channel.health()
}

async fn list_models(channel: &Channel) -> Result<(), String> {
    let Some(uri) = channel.base.as_ref().and_then(|base| base.join(ROUTE)) else { return Ok(()) };
    let mut request = Request::new(Full::<Bytes>::default());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers::onward(&HeaderMap::new(), &channel.settings.key);
    let answer = channel.client.request(request).await.map_err(|error| chain(&error))?;
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err("it refuses the key".into()),
        status if status.is_success() => {
            // Read to its end, so that the connection can be used again.
            let body = Limited::new(answer.into_body(), LIST_BYTES_MAX).collect().await;
            body.map(drop).map_err(|error| format!("{ROUTE}: {error}"))
        }
        status => Err(format!("{ROUTE} is answered with status {status}")),
    }
}

/// How often it is seen whose turn it is.
const TICK: Duration = Duration::from_secs(1);

/// Looks at each channel when its time has come, as long as the channels are there.
pub(super) async fn run(channels: Weak<Channels>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(channels) = channels.upgrade() else { return };
        let now = Instant::now();
        for channel in channels.all().iter().filter(|channel| channel.is_check_due(now)) {
            let channel: Arc<Channel> = channel.clone();
            tokio::spawn(async move { check(&channel).await });
        }
    }
}
