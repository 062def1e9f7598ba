//! A request of the public API from its key to its settlement.
//!
//! The table of routes comes first: what is not in it word for word does not exist, so that no
//! spelling of an address leads past a check. Then key, rules, demand, reservation; then the
//! upstream; and the answer carries its own settlement to wherever it ends.

mod body;
mod credentials;
mod forward;
mod inspect;
mod metered_body;
mod routes;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::response::Response;
use phial_openai::metering::{Meter, Payer, TokenCounts, UsageSink};

use crate::clock::unix_millis;
use crate::keys::{Key, Use};
use crate::ledger::{Charge, ENABLED, Finish, OpenRequest, Refused};
use crate::parts::Parts;
use crate::refusal::Refusal;
use crate::storage::StorageError;
use crate::upstream::Demand;
use inspect::Inspected;
use metered_body::MeteredBody;
use routes::{Kind, Route};

/// Where a request came from, as far as it is known. Put into a request's extensions by whoever
/// knows which proxies to trust; otherwise it is the address at the other end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Who asks.
pub(crate) enum Caller {
    /// Whoever has this key.
    Spelling(String),
    /// This user, in the console.
    Playground(i64),
    /// What was admitted with this key, and goes on.
    Payer(Arc<str>),
}

/// Answers a request of the public API.
pub(crate) async fn answer(parts: &Parts, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let Some(route) = routes::find(&method, &path) else {
        return Refusal::unknown_url(method.as_str(), &path).into_response_for(&path);
    };
    if route.kind == Kind::Public {
        return forward::public(parts, route);
    }
    let caller = match credentials::key(request.headers(), route) {
        Ok(spelling) => Caller::Spelling(spelling),
        Err(refusal) => return refusal.into_response_for(&path),
    };
    let answer = admit(parts, &caller, route, request).await;
    answer.unwrap_or_else(|refusal| refusal.into_response_for(&path))
}

/// Answers a chat of a user who is signed in.
pub(crate) async fn answer_playground(parts: &Parts, user: i64, request: Request) -> Response {
    let route = routes::CHAT;
    let answer = admit(parts, &Caller::Playground(user), route, request).await;
    answer.unwrap_or_else(|refusal| refusal.into_response_for(route.pattern))
}

/// Answers a request that one of a key has led to, such as a request of a batch.
pub(crate) async fn answer_batch(parts: &Parts, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let route = routes::find(request.method(), &path).filter(|route| route.kind == Kind::Generate);
    let payer = request.extensions().get::<Payer>().cloned();
    let (Some(route), Some(payer)) = (route, payer) else {
        return Refusal::invalid_key().into_response_for(&path);
    };
    let answer = admit(parts, &Caller::Payer(payer.0), route, request).await;
    answer.unwrap_or_else(|refusal| refusal.into_response_for(&path))
}

async fn admit(
    parts: &Parts,
    caller: &Caller,
    route: &'static Route,
    request: Request,
) -> Result<Response, Refusal> {
    // Where a batch came from was checked when it came.
    let address = match caller {
        Caller::Payer(_) => None,
        Caller::Spelling(_) | Caller::Playground(_) => Some(client_address(&request)),
    };
    // Before the body is read: nobody without a key makes the server hold anything.
    let key = load(parts, caller, false).await?;
    let no_model = Use { address, model: None, adapters: &[], modalities: Default::default() };
    key.rules.check(&no_model)?;
    let content = match route.kind {
        Kind::Plain | Kind::Upload | Kind::Models | Kind::Public => {
            let meter = Meter::new(Arc::new(Unmetered));
            let answer = forward::call(parts, &key, route, request, meter, None, None).await;
            return Ok(forward::filtered(route, &key, answer).await);
        }
        Kind::Generate | Kind::Free => body::read(request, parts.settings.body_bytes_max).await?,
    };
    let (request, body) = content;
    let inspected = inspect::inspect(&body)?;
    let wanted = Use {
        model: inspected.model.as_deref(),
        adapters: &inspected.adapters,
        modalities: inspected.modalities,
        ..no_model
    };
    key.rules.check(&wanted)?;
    if route.kind == Kind::Free {
        let meter = Meter::new(Arc::new(Unmetered));
        return Ok(forward::call(parts, &key, route, request, meter, Some(body), None).await);
    }
    let job = Job {
        route,
        stream: inspected.stream,
        model: measured_model(parts, &inspected)?,
        demand: measure(parts, route, &body).await?,
        wanted,
    };
    let (open, key) = reserve(parts, caller, key, &job).await?;
    Ok(run(parts, open, &key, route, request, body).await)
}

/// A request that was read.
struct Job<'a> {
    route: &'static Route,
    model: Arc<str>,
    stream: bool,
    demand: Demand,
    wanted: Use<'a>,
}

/// The model of a request that costs: one that exists, so that its price is known.
fn measured_model(parts: &Parts, inspected: &Inspected) -> Result<Arc<str>, Refusal> {
    let Some(model) = inspected.model.as_deref() else {
        let message = "Missing required parameter: 'model'.";
        return Err(Refusal::invalid("missing_required_parameter", message).with_param("model"));
    };
    match parts.upstream.models().iter().any(|known| known == model) {
        true => Ok(model.into()),
        false => Err(Refusal::model_not_found(model)),
    }
}

/// What a request of `route` can take at most.
async fn measure(parts: &Parts, route: &Route, body: &Bytes) -> Result<Demand, Refusal> {
    let demand = parts.upstream.measure(route.pattern, body).await?;
    let bound = parts.settings.context_tokens_max;
    Ok(demand.unwrap_or(Demand { prompt_tokens: bound, completion_tokens_max: bound }))
}

/// Reserves, with the key as it is at that moment: if it was changed since it was checked, it is
/// checked again.
async fn reserve(
    parts: &Parts,
    caller: &Caller,
    mut key: Arc<Key>,
    job: &Job<'_>,
) -> Result<(OpenRequest, Arc<Key>), Refusal> {
    for _ in 0..3 {
        let charge = Charge {
            user: key.user,
            key: key.id,
            key_version: key.version,
            price: parts.options.price(&job.model),
            demand: job.demand,
            model: Arc::clone(&job.model),
            route: job.route.pattern.into(),
            stream: job.stream,
        };
        match parts.ledger.reserve(charge).await {
            Ok(open) => return Ok((open, key)),
            Err(Refused::Stale) => {
                parts.keys.forget();
                key = load(parts, caller, true).await?;
                key.rules.check(&job.wanted)?;
            }
            Err(refused) => return Err(refusal(refused)),
        }
    }
    Err(Refusal::unavailable())
}

/// Runs what was reserved for. The settlement goes along with the answer's body.
async fn run(
    parts: &Parts,
    open: OpenRequest,
    key: &Key,
    route: &'static Route,
    request: Request,
    body: Bytes,
) -> Response {
    let open = Arc::new(open);
    let id = HeaderValue::try_from(open.request().as_str());
    let meter = Meter::new(open.clone());
    let called = forward::call(parts, key, route, request, meter, Some(body), Some(open.request()));
    let mut response = called.await;
    open.answered(response.status().as_u16());
    if let Ok(id) = id {
        response.headers_mut().insert(forward::REQUEST_ID, id);
    }
    let finish = if response.status().is_success() { Finish::Stop } else { Finish::Error };
    response.map(|body| Body::new(MeteredBody::new(body, open, finish)))
}

/// The key of whoever asks, if it may do anything at all.
async fn load(parts: &Parts, caller: &Caller, fresh: bool) -> Result<Arc<Key>, Refusal> {
    let key = match caller {
        Caller::Spelling(spelling) => parts.keys.authenticate(spelling, fresh).await,
        Caller::Payer(word) => parts.keys.payer(word).await,
        Caller::Playground(user) => parts.keys.playground(*user).await.map(Some),
    };
    let key = key.map_err(|error| storage_failed(&error))?.ok_or_else(Refusal::invalid_key)?;
    let expires_at = key.change.expires_at;
    let is_over = expires_at >= 0 && expires_at <= unix_millis();
    if key.status != ENABLED || key.user_status != ENABLED || is_over {
        return Err(Refusal::invalid_key());
    }
    Ok(key)
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        // It was disabled between the check and now.
        Refused::Stale | Refused::UserDisabled => Refusal::invalid_key(),
        Refused::RequestRate(wait) => Refusal::rate_limited("requests per minute", wait),
        Refused::TokenRate(wait) => Refusal::rate_limited("tokens per minute", wait),
        Refused::TokenRateNever => Refusal::invalid(
            "tokens_per_minute_exceeded",
            "This request can take more tokens than this key may use in a minute. Ask for fewer \
             tokens, or send a shorter prompt.",
        ),
        Refused::Parallel => Refusal::rate_limited("requests at a time", PARALLEL_WAIT),
        Refused::UserQuota => Refusal::insufficient_quota(
            "The account has too little quota left for the most that this request can cost.",
        ),
        Refused::KeyQuota => Refusal::insufficient_quota(
            "This key has too little quota left for the most that this request can cost.",
        ),
        Refused::KeyTokens => Refusal::insufficient_quota(
            "This key has fewer tokens left than this request can take.",
        ),
        Refused::Unavailable => Refusal::unavailable(),
    }
}

/// When to come again while others of the same key run: nobody knows when they end.
const PARALLEL_WAIT: Duration = Duration::from_secs(1);

fn storage_failed(error: &StorageError) -> Refusal {
    tracing::error!(%error, "keys cannot be looked up");
    Refusal::unavailable()
}

/// An address that is not known is in nobody's networks.
fn client_address(request: &Request) -> IpAddr {
    let extensions = request.extensions();
    let told = extensions.get::<ClientAddress>().map(|address| address.0);
    let connected = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    told.or(connected).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// For requests that cost nothing.
struct Unmetered;

impl UsageSink for Unmetered {
    fn report(&self, _: TokenCounts) {}
}
