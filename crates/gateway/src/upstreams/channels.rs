//! All channels as one place that answers.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use phial_openai::metering::Meter;
use phial_openai::{InvalidRequest, RelayedRequest, RequestBounds};

use super::attempt::{Outgoing, attempt};
use super::channel::{Channel, ChannelHealth};
use super::failure::Failure;
use super::health;
use super::listing;
use super::metrics;
use super::selection::order;
use super::settings::{ChannelKind, ChannelSettings, InvalidChannel};
use super::tally::{RouteKind, demand};
use crate::refusal::Refusal;
use crate::upstream::{Demand, Upstream};

/// Channels that a request may go to before the client hears of the failure.
const ATTEMPTS_MAX: usize = 3;

/// The channels of a gateway. They can be replaced while requests run, which end on the channel
/// where they began.
pub struct Channels {
    local: Option<Arc<dyn Upstream>>,
    all: RwLock<Arc<[Arc<Channel>]>>,
    /// In seconds since the epoch; told as the age of models that others have.
    began: u64,
}

impl Channels {
    /// With `local`, the engine of this process, if there is one: until others are given, the only
    /// channel.
    pub fn new(local: Option<Arc<dyn Upstream>>) -> Self {
        let all = local.iter().filter_map(|_| Channel::new(ChannelSettings::local(0)).ok());
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        Self { all: RwLock::new(all.collect()), local, began }
    }

    /// Takes these channels in place of those there are. What is known of one stays where its
    /// settings do.
    ///
    /// # Errors
    /// The first that makes no sense, or an id that stands twice; then all stays as it is.
    pub fn replace(&self, settings: Vec<ChannelSettings>) -> Result<(), InvalidChannel> {
        let known = self.all();
        let mut ids = HashSet::new();
        let mut channels = Vec::with_capacity(settings.len());
        for settings in settings {
            if !ids.insert(settings.id) {
                return Err(settings.invalid(format!("another one has the id {}", settings.id)));
            }
            match known.iter().find(|channel| channel.settings == settings) {
                Some(channel) => channels.push(channel.clone()),
                None => channels.push(Channel::new(settings)?),
            }
        }
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = channels.into();
        Ok(())
    }

    pub(super) fn all(&self) -> Arc<[Arc<Channel>]> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How a channel is.
    pub fn health(&self, id: i64) -> Option<ChannelHealth> {
        Some(self.find(id)?.health())
    }

    /// Looks how a channel is now.
    pub async fn test(&self, id: i64) -> Option<ChannelHealth> {
        Some(health::check(&*self.find(id)?).await)
    }

    fn find(&self, id: i64) -> Option<Arc<Channel>> {
        self.all().iter().find(|channel| channel.settings.id == id).cloned()
    }

    /// Looks after the channels' health until they are dropped. To be spawned.
    pub fn watch(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        health::run(Arc::downgrade(self))
    }

    /// Names by which requests can ask for what the channel has.
    fn models_of(&self, channel: &Channel) -> Vec<String> {
        match (channel.settings.kind, &self.local) {
            (ChannelKind::OpenAi, _) => channel.settings.models.clone(),
            (ChannelKind::Local, None) => Vec::new(),
            (ChannelKind::Local, Some(local)) => {
                let listed = &channel.settings.models;
                let models = local.models().into_iter();
                models.filter(|model| listed.is_empty() || listed.contains(model)).collect()
            }
        }
    }

    fn has(&self, channel: &Channel, model: &str) -> bool {
        match channel.settings.kind {
            ChannelKind::OpenAi => channel.settings.models.iter().any(|known| known == model),
            ChannelKind::Local => self.models_of(channel).iter().any(|known| known == model),
        }
    }

    /// The local engine, where its channel is on.
    fn local(&self) -> Option<&Arc<dyn Upstream>> {
        let all = self.all();
        let is_on = all.iter().any(|c| c.settings.kind == ChannelKind::Local && c.settings.enabled);
        self.local.as_ref().filter(|_| is_on)
    }

    fn has_remote(&self) -> bool {
        let is_on = |c: &Arc<Channel>| c.settings.enabled && is_remote(c);
        self.all().iter().any(is_on)
    }

    /// Where a request of `route` may go.
    fn ways(&self, method: &str, route: &str, body: &Bytes) -> Result<Ways, Refusal> {
        let all = self.all();
        let local = self.local();
        let Some(kind) = RouteKind::of(route).filter(|_| self.has_remote()) else {
            return match local {
                Some(_) => Ok(Ways::Local),
                None if RouteKind::of(route).is_some() => Err(Refusal::model_not_found(
                    &RelayedRequest::read(body).map_err(refused)?.model,
                )),
                None => Err(Refusal::unknown_url(method, route)),
            };
        };
        let request = match RelayedRequest::read(body) {
            Ok(request) => request,
            // Its words for what is wrong are better.
            Err(_) if local.is_some() => return Ok(Ways::Local),
            Err(error) => return Err(refused(error)),
        };
        let mut candidates: Vec<_> = all
            .iter()
            .filter(|channel| channel.settings.enabled && self.has(channel, &request.model))
            .cloned()
            .collect();
        if let Some(field) = kept_elsewhere(route, &request) {
            candidates.retain(|channel| !is_remote(channel));
            if candidates.is_empty() && all.iter().any(|c| self.has(c, &request.model)) {
                return Err(refused(InvalidRequest::unsupported(field)));
            }
        }
        if candidates.is_empty() {
            return match local {
                Some(_) => Ok(Ways::Local),
                None => Err(Refusal::model_not_found(&request.model)),
            };
        }
        if !candidates.iter().any(is_remote) {
            return Ok(Ways::Local);
        }
        let bounds = RequestBounds::read(body).map_err(refused)?;
        Ok(Ways::Channels { kind, request, bounds, candidates })
    }

    async fn forward(
        &self,
        request: Request<Body>,
        meter: &Meter,
    ) -> Result<Response<Body>, Refusal> {
        if let Some(local) = self.local().filter(|_| !self.has_remote()) {
            // Nothing is to be chosen: not even the body is read here.
            return Ok(local.call(request, meter.clone()).await);
        }
        let (head, body) = request.into_parts();
        let route = head.uri.path().to_owned();
        if let Some(wanted) = listing::wanted(&head.method, &route) {
            return Ok(listing::answer(&self.all(), self.local(), wanted, self.began).await);
        }
        if RouteKind::of(&route).is_none() {
            // An upload, perhaps, that goes through as it comes.
            let Some(local) = self.local() else {
                return Err(Refusal::unknown_url(head.method.as_str(), &route));
            };
            return Ok(local.call(Request::from_parts(head, body), meter.clone()).await);
        }
        let body = body.collect().await.map_err(|_| broken_off())?.to_bytes();
        let ways = self.ways(head.method.as_str(), &route, &body)?;
        let Ways::Channels { kind, request, bounds, candidates } = ways else {
            let Some(local) = self.local() else { return Err(Refusal::unavailable()) };
            return Ok(local.call(Request::from_parts(head, body.into()), meter.clone()).await);
        };
        let outgoing = Outgoing {
            kind,
            method: head.method.clone(),
            headers: head.headers.clone(),
            body: body.clone(),
            request,
            bounds,
            route,
        };
        let again = || Request::from_parts(head.clone(), Body::from(body.clone()));
        self.ask_in_turn(&candidates, &outgoing, again, meter).await
    }

    /// Asks one after the other until one answers.
    async fn ask_in_turn(
        &self,
        candidates: &[Arc<Channel>],
        outgoing: &Outgoing,
        for_local: impl Fn() -> Request<Body>,
        meter: &Meter,
    ) -> Result<Response<Body>, Refusal> {
        let mut last = None;
        let mut attempts = 0;
        for channel in in_order(candidates) {
            if attempts == ATTEMPTS_MAX || !channel.admit() {
                continue;
            }
            attempts += 1;
            if attempts > 1 {
                channel.counters.took_over();
            }
            let local = self.local().filter(|_| channel.settings.kind == ChannelKind::Local);
            if let Some(local) = local {
                let response = local.call(for_local(), meter.clone()).await;
                if !is_overloaded(response.status()) {
                    return Ok(response);
                }
                last = Some(Last::Answer(response));
                continue;
            }
            match attempt(&channel, outgoing, meter).await {
                Ok(response) => return Ok(response),
                Err(failure) if failure.is_worth_another() => last = Some(Last::Failure(failure)),
                Err(failure) => return Ok(failure.into_response(&outgoing.route)),
            }
        }
        match last {
            Some(Last::Answer(response)) => Ok(response),
            Some(Last::Failure(failure)) => Ok(failure.into_response(&outgoing.route)),
            None => Err(all_open(candidates)),
        }
    }

    async fn measured(&self, route: &str, body: &Bytes) -> Result<Option<Demand>, Refusal> {
        let Ways::Channels { kind, bounds, candidates, .. } = self.ways("POST", route, body)?
        else {
            return match self.local() {
                Some(local) => local.measure(route, body).await,
                None => Err(Refusal::unavailable()),
            };
        };
        // Whichever of them answers, it cannot take more.
        let mut most = Demand::default();
        for channel in &candidates {
            let demand = match (channel.settings.kind, self.local()) {
                (ChannelKind::Local, Some(local)) => match local.measure(route, body).await? {
                    Some(demand) => demand,
                    None => return Ok(None),
                },
                (ChannelKind::Local, None) => continue,
                (ChannelKind::OpenAi, _) => demand(bounds, kind, channel.settings.context_tokens),
            };
            most.prompt_tokens = most.prompt_tokens.max(demand.prompt_tokens);
            most.completion_tokens_max =
                most.completion_tokens_max.max(demand.completion_tokens_max);
        }
        Ok(Some(most))
    }
}

fn is_remote(channel: &Arc<Channel>) -> bool {
    channel.settings.kind == ChannelKind::OpenAi
}

/// Where a request may go.
enum Ways {
    /// To the engine of this process alone.
    Local,
    /// To any of these.
    Channels {
        kind: RouteKind,
        request: RelayedRequest,
        bounds: RequestBounds,
        candidates: Vec<Arc<Channel>>,
    },
}

enum Last {
    Answer(Response<Body>),
    Failure(Failure),
}

/// The field by which a request leaves something on a server or goes on from it. Behind a channel's
/// key all users are one there, and could read each other's.
fn kept_elsewhere(route: &str, request: &RelayedRequest) -> Option<&'static str> {
    if route != "/v1/responses" {
        return None;
    }
    request.stored_reference.or((request.store == Some(true)).then_some("store"))
}

fn refused(error: InvalidRequest) -> Refusal {
    let code = error.code.unwrap_or("invalid_request");
    let refusal = Refusal::invalid(code, error.message);
    match error.param {
        Some(param) => refusal.with_param(&param),
        None => refusal,
    }
}

fn broken_off() -> Refusal {
    Refusal::invalid("body_incomplete", "The body of the request did not come to its end.")
}

/// Another place may have room.
fn is_overloaded(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

fn in_order(candidates: &[Arc<Channel>]) -> impl Iterator<Item = Arc<Channel>> {
    let ranks: Vec<_> = candidates.iter().map(|channel| channel.rank()).collect();
    let order = order(&ranks, || getrandom::u64().unwrap_or_default());
    order.into_iter().map(|index| candidates[index].clone())
}

fn all_open(candidates: &[Arc<Channel>]) -> Refusal {
    let wait = candidates.iter().filter_map(|channel| channel.wait()).min();
    let message = "No server that has this model can be reached. Please try again later.";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "upstream_unavailable", message)
        .with_retry_after(wait.unwrap_or_default().max(Duration::from_secs(1)))
}

impl Upstream for Channels {
    fn models(&self) -> Vec<String> {
        let mut models = Vec::new();
        for channel in self.all().iter().filter(|channel| channel.settings.enabled) {
            for model in self.models_of(channel) {
                if !models.contains(&model) {
                    models.push(model);
                }
            }
        }
        models
    }

    fn measure<'a>(
        &'a self,
        route: &'a str,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Option<Demand>, Refusal>> {
        Box::pin(self.measured(route, body))
    }

    fn call<'a>(&'a self, request: Request<Body>, meter: Meter) -> BoxFuture<'a, Response<Body>> {
        Box::pin(async move {
            let route = request.uri().path().to_owned();
            let answer = self.forward(request, &meter).await;
            answer.unwrap_or_else(|refusal| refusal.into_response_for(&route))
        })
    }

    fn engine(&self) -> BoxFuture<'_, Option<serde_json::Value>> {
        match self.local() {
            Some(local) => local.engine(),
            None => Box::pin(async { None }),
        }
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let mut text = match self.local() {
                Some(local) => local.metrics().await,
                None => String::new(),
            };
            let all = self.all();
            let remote: Vec<&Channel> =
                all.iter().filter(|channel| is_remote(channel)).map(|channel| &**channel).collect();
            text += &metrics::write(&remote);
            text
        })
    }

    fn openapi(&self) -> std::borrow::Cow<'static, str> {
        match &self.local {
            Some(local) => local.openapi(),
            None => phial_openai::OPENAPI.into(),
        }
    }
}
