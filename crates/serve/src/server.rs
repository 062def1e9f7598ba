//! The server: what it serves, with which engine, and how.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method};
use phial_grammar::{Grammar, Refused};
use phial_openai::metering::Owner;
use phial_text::{ChatTemplate, TokenId, Tokenizer};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::api_error::ApiError;
use crate::engine_thread::EngineHandle;
use crate::external::ExternalTools;
use crate::grammars::{Follows, Grammars};
use crate::ids::Ids;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::response_store::ResponseStore;
use crate::storage::Storage;

/// A model that is loaded, as far as an API has to know it.
#[derive(Clone, Debug)]
pub struct ServedModel {
    /// The name that requests give.
    pub id: String,
    /// When it was made, in seconds since the epoch.
    pub created: u64,
    /// Text to tokens and back; the engine has the same.
    pub tokenizer: Arc<Tokenizer>,
    /// Messages to prompt.
    pub template: Arc<ChatTemplate>,
    /// Tokens that end the model's turn.
    pub stop_tokens: Vec<TokenId>,
    /// Tokens of prompt and answer together. The engine's own bound counts too.
    pub context_tokens: usize,
}

/// Which web pages may use the server from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// None but those of the same origin.
    #[default]
    Off,
    /// All of them.
    AnyOrigin,
    /// Those of these origins (`https://example.org`).
    Origins(Vec<String>),
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Other names that requests may give for the model.
    pub aliases: Vec<String>,
    /// Bounds of a request.
    pub limits: Limits,
    /// Off unless asked for.
    pub cors: Cors,
    /// After so long a silence a stream sends a comment.
    pub ping_interval: Duration,
    /// Where files and batches lie; without it there are none.
    pub storage: Option<Arc<Storage>>,
    /// How long answers may go on once the server is asked to end; then they are cut with an
    /// error.
    pub shutdown_grace: Duration,
    /// Whether calls that the model is free to make are constrained from where they begin. Forced
    /// calls always are.
    pub constrain_free_calls: bool,
    /// Tools that the server runs itself, for requests that ask for them.
    pub external_tools: Option<Arc<dyn ExternalTools>>,
    /// Who hears of requests that are over, beside the log.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            aliases: Vec::new(),
            limits: Limits::default(),
            cors: Cors::Off,
            ping_interval: Duration::from_secs(10),
            storage: None,
            shutdown_grace: Duration::from_secs(30),
            constrain_free_calls: true,
            external_tools: None,
            observer: None,
        }
    }
}

/// A model, the engine that runs it, and how to serve it. Clones are the same server.
#[derive(Clone, Debug)]
pub struct Server(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    model: ServedModel,
    engine: EngineHandle,
    options: ServerOptions,
    ids: Ids,
    grammars: Grammars,
    fingerprint: String,
    metrics: Metrics,
    responses: ResponseStore,
    batch_routes: OnceLock<Router>,
}

impl Server {
    /// A server of `model`, which `engine` runs.
    pub fn new(model: ServedModel, engine: EngineHandle, options: ServerOptions) -> Self {
        Self(Arc::new(Parts {
            fingerprint: fingerprint(&model.id),
            metrics: Metrics::new(&model.id, engine.metrics()),
            ids: Ids::default(),
            grammars: Grammars::default(),
            responses: ResponseStore::new(
                options.limits.responses_max,
                options.limits.responses_bytes_max,
            ),
            batch_routes: OnceLock::new(),
            model,
            engine,
            options,
        }))
    }

    /// The engine.
    pub fn engine(&self) -> &EngineHandle {
        &self.0.engine
    }

    /// The model.
    pub fn model(&self) -> &ServedModel {
        &self.0.model
    }

    /// Tokens of prompt and answer together.
    pub fn context_tokens(&self) -> usize {
        self.0.model.context_tokens.min(self.0.engine.context_tokens())
    }

    pub(crate) fn options(&self) -> &ServerOptions {
        &self.0.options
    }

    /// Whether an observer wants to know what is said.
    pub(crate) fn wants_content(&self) -> bool {
        self.0.options.observer.as_ref().is_some_and(|observer| observer.wants_content())
    }

    /// Where files and batches of `owner` lie.
    pub(crate) fn storage(&self, owner: Option<&Owner>) -> Result<Arc<Storage>, ApiError> {
        let storage = self.0.options.storage.as_ref().ok_or_else(ApiError::no_storage)?;
        storage.of(owner).map_err(|error| {
            tracing::error!(%error, "the folder of files cannot be used");
            ApiError::internal()
        })
    }

    /// Everybody who has left files or batches, and nobody.
    pub(crate) fn owners(&self) -> Vec<Option<Owner>> {
        let Some(storage) = &self.0.options.storage else { return Vec::new() };
        let owners = storage.owners().unwrap_or_else(|error| {
            tracing::error!(%error, "the folder of files cannot be used");
            Vec::new()
        });
        std::iter::once(None).chain(owners.into_iter().map(Some)).collect()
    }

    /// Has the requests of batches answered by `routes`, which let them through to those of this
    /// server or not. What was said first counts.
    pub(crate) fn send_batches_through(&self, routes: Router) {
        // Whoever serves a server twice has it served the first way.
        let _ = self.0.batch_routes.set(routes);
    }

    /// What answers the requests of batches, if it is not this server alone.
    pub(crate) fn batch_routes(&self) -> Option<Router> {
        self.0.batch_routes.get().cloned()
    }

    /// Responses that were stored.
    pub(crate) fn responses(&self) -> &ResponseStore {
        &self.0.responses
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The grammar of what an answer follows.
    ///
    /// # Errors
    /// As [`Grammars::get`].
    pub(crate) fn grammar(&self, follows: Follows) -> Result<Result<Grammar, Refused>, ApiError> {
        let model = &self.0.model;
        self.0.grammars.get((&model.tokenizer, &model.stop_tokens), follows)
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// Tells clients that an answer with the same seed may differ from one under another value.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// All names of the model, the proper one first.
    pub(crate) fn model_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.0.model.id).chain(&self.0.options.aliases).map(String::as_str)
    }

    /// Whether `name` is the model's.
    pub(crate) fn check_model(&self, name: &str) -> Result<(), ApiError> {
        if self.model_names().any(|known| known == name) {
            return Ok(());
        }
        Err(ApiError::model_not_found(name))
    }

    pub(crate) fn cors_layer(&self) -> Option<CorsLayer> {
        let origins = match &self.0.options.cors {
            Cors::Off => return None,
            Cors::AnyOrigin => AllowOrigin::any(),
            Cors::Origins(origins) => {
                AllowOrigin::list(origins.iter().filter_map(|o| HeaderValue::try_from(o).ok()))
            }
        };
        let exposed = ["x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms"];
        Some(
            CorsLayer::new()
                .allow_origin(origins)
                .allow_methods([Method::GET, Method::POST, Method::DELETE])
                // Client libraries send a dozen of their own, and `*` leaves out `authorization`.
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers(exposed.map(HeaderName::from_static)),
        )
    }
}

fn fingerprint(model: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (model, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
    format!("fp_{:010x}", hasher.finish() >> 24)
}
