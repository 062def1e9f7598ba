//! `phial serve`

mod behind_accounts;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use phial_engine::{Engine, Limits};
use phial_gateway::Configuration;
use phial_model::{Forward, Model, Precision};
use phial_prefixes::DiskPrefixes;
use phial_serve::{
    Cors, EngineHandle, ExternalTools, Observer, ServedModel, Server, ServerOptions, Storage,
    StorageLimits,
};
use phial_telemetry::{Destination, Traces};
use phial_text::Tokenizer;
use tokio::net::TcpListener;

use crate::bundle::Bundle;
use crate::fingerprint::fingerprint;
use crate::local_upstream::ModelFacts;
use crate::locate::locate;
use crate::logging::say;
use crate::{cli, logging, memory};

/// The share of the memory that is free after loading that keys and values may take.
const CACHE_SHARE: f64 = 0.6;

/// Keys and values get at least this, in bytes, whatever the system says.
const CACHE_BYTES_MIN: u64 = 256 << 20;

/// How long answers may go on after a signal to stop. Service managers kill after ten seconds.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Patience for servers of tools to start.
const TOOLS_TIME_MAX: Duration = Duration::from_secs(30);

pub fn run(arguments: &cli::Serve) -> Result<()> {
    logging::start(arguments.log_format);
    let traces = traces(arguments)?;
    let (tools, gateway) = configured(arguments.config.as_deref())?;
    let accounts = behind_accounts::find(arguments, gateway)?;
    let storage = arguments.files.as_deref().map(open_storage).transpose()?;
    let located = locate(arguments.model.model.as_deref(), arguments.model.offline)?;
    let bundle = Bundle::load(&located.path, Precision::Auto, &arguments.model)?;
    let (mut model, text) = bundle.text()?;
    let context = arguments.context.unwrap_or_else(|| model.context_max());
    model.choose_kv(arguments.model.kv_element(), context)?;
    let template = text.template.context("the model has no chat template, and chat needs one")?;
    let compute = model.compute().clone();
    let kv_element = model.kv_layout().element;
    let weights_bytes = model.packed_bytes() as u64;
    let engine = engine(arguments, &located.path, model, &text.tokenizer)?;
    let kv_bytes = engine.limits().kv_bytes_max as u64;
    let facts = ModelFacts { weights_bytes, kv_bytes, kv_element: kv_element.name() };
    let context = engine.context_tokens();
    let name = arguments.served_name.clone().unwrap_or(located.name);
    let served = ServedModel {
        id: name.clone(),
        created: unix_seconds(),
        tokenizer: text.tokenizer,
        template: Arc::new(template),
        stop_tokens: text.stop_tokens,
        context_tokens: context,
    };
    let options = ServerOptions {
        storage,
        external_tools: tools.clone().map(|tools| tools as Arc<dyn ExternalTools>),
        observer: traces.clone().map(|traces| traces as Arc<dyn Observer>),
        ..options(arguments)
    };
    say(&format!(
        "{name}: context {context} tokens, keys and values in {}, {} threads, {}",
        kv_element.name(),
        compute.pool.threads(),
        compute.tier
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let served = runtime.block_on(async {
        let listener = listen(&arguments.host, arguments.port).await?;
        let address = listener.local_addr().context("cannot read the address")?;
        // Before anybody can know that the server runs.
        let stop = stop_signal(SHUTDOWN_GRACE)?;
        if let Some(tools) = tools {
            connect(&tools).await?;
        }
        let server = Server::new(served, EngineHandle::start(engine), options);
        let Some(accounts) = accounts else {
            // A server whose output nobody reads serves all the same.
            let _ = greet(address, &name);
            let served = phial_serve::serve(server, listener, stop).await;
            return served.context("the server stopped");
        };
        accounts.serve(facts, server, listener, stop).await
    });
    if let Some(error) = traces.and_then(|traces| traces.end().err()) {
        tracing::warn!(%error, "the last traces are lost");
    }
    served
}

/// The engine, with all that its limits follow from.
fn engine(
    arguments: &cli::Serve,
    path: &Path,
    model: Model,
    tokenizer: &Arc<Tokenizer>,
) -> Result<Engine<dyn Forward>> {
    let limits = Limits {
        draft_tokens_max: usize::from(arguments.draft_tokens),
        running_max: usize::from(arguments.parallel),
        ..limits(&model, arguments.context)
    };
    let store = prefix_store(arguments, path, &model)?;
    let model: Arc<dyn Forward> = Arc::new(model);
    let mut engine = Engine::new(model, Some(Arc::clone(tokenizer)), limits, entropy())?;
    if let Some(store) = store {
        engine = engine.with_prefix_store(Box::new(store));
    }
    let context = engine.context_tokens();
    let model_context = engine.model().context_max();
    if context < arguments.context.unwrap_or(model_context).min(model_context) {
        say(&format!(
            "the model's context is {model_context} tokens; the memory that is free has room for \
             the keys and values of {context}"
        ));
    }
    Ok(engine)
}

/// How to serve, as far as flags alone say it.
fn options(arguments: &cli::Serve) -> ServerOptions {
    let seconds = |seconds: Option<u32>| seconds.map(|count| Duration::from_secs(count.into()));
    ServerOptions {
        cors: if arguments.cors { Cors::AnyOrigin } else { Cors::Off },
        shutdown_grace: SHUTDOWN_GRACE,
        limits: phial_serve::Limits {
            request_time_max: seconds(arguments.request_timeout),
            queue_time_max: seconds(arguments.queue_timeout),
            ..phial_serve::Limits::default()
        },
        ..ServerOptions::default()
    }
}

/// Where traces go, if anybody wants them.
fn traces(arguments: &cli::Serve) -> Result<Option<Arc<Traces>>> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(destination) = Destination::find(arguments.otlp.as_deref(), variable)? else {
        ensure!(!arguments.trace_content, "--trace-content needs a collector; name one by --otlp");
        return Ok(None);
    };
    let options = phial_telemetry::Options {
        content: arguments.trace_content,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Some(Arc::new(Traces::start(&destination, &options)?)))
}

/// The folder of `--prefix-cache`, if there is one.
fn prefix_store(
    arguments: &cli::Serve,
    path: &Path,
    model: &Model,
) -> Result<Option<DiskPrefixes>> {
    let Some(folder) = &arguments.prefix_cache else { return Ok(None) };
    let fingerprint = fingerprint(path, model)?;
    let store = DiskPrefixes::open(folder, fingerprint, arguments.prefix_cache_size)?;
    let (blocks, bytes) = (store.blocks(), memory::show(store.bytes()));
    say(&format!("prefixes in {}: {blocks} blocks, {bytes}", folder.display()));
    Ok(Some(store))
}

/// What the configuration file says: the servers of tools, and how to keep accounts.
fn configured(
    file: Option<&Path>,
) -> Result<(Option<Arc<phial_mcp::Servers>>, Option<Configuration>)> {
    let Some(file) = file else { return Ok((None, None)) };
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let tools = phial_mcp::Config::parse(&text).with_context(|| format!("{shown}"))?;
    let gateway = Configuration::parse(&text).map_err(|problem| anyhow!("{shown}: {problem}"))?;
    Ok((Some(Arc::new(phial_mcp::Servers::new(tools))), gateway))
}

/// Shows what tools there are, or fails before anybody relies on them.
async fn connect(tools: &phial_mcp::Servers) -> Result<()> {
    let counts = tokio::time::timeout(TOOLS_TIME_MAX, tools.connect());
    for (label, count) in counts.await.context("the servers of tools do not answer")?? {
        say(&format!("tools of '{label}': {count}"));
    }
    Ok(())
}

fn open_storage(folder: &Path) -> Result<Arc<Storage>> {
    let storage = Storage::open(folder, StorageLimits::default());
    storage.map(Arc::new).with_context(|| {
        format!("cannot keep files in {}; --files needs a folder to write to", folder.display())
    })
}

async fn listen(host: &str, port: u16) -> Result<TcpListener> {
    TcpListener::bind((host, port)).await.with_context(|| {
        format!("cannot listen on {host}:{port}; another --port, or --port 0 for a free one")
    })
}

/// The address, and a line that works as it is.
fn greet(address: SocketAddr, name: &str) -> Result<()> {
    let reachable = match address {
        address if address.ip().is_unspecified() => format!("127.0.0.1:{}", address.port()),
        address => address.to_string(),
    };
    let body = serde_json::json!({
        "model": name,
        // The API samples unless told otherwise; the first answer seen should be the likeliest.
        "temperature": 0,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{reachable}")?;
    writeln!(out, "try it:")?;
    writeln!(
        out,
        "  curl http://{reachable}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
    )?;
    out.flush()?;
    Ok(())
}

/// The engine's limits on this machine: keys and values take a share of the memory that is free.
pub fn limits(model: &Model, context: Option<usize>) -> Limits {
    let defaults = Limits::default();
    let block = model.kv_layout().block_bytes() as u64;
    // Mapped weights count as available, but without them every token would read the disk.
    let mapped = model.mapped_bytes() as u64;
    let free = memory::available_bytes().map(|bytes| bytes.saturating_sub(mapped));
    let share = free.map(cache_bytes);
    let cache = share.unwrap_or(defaults.kv_bytes_max as u64).max(2 * block);
    Limits {
        context_tokens_max: context.unwrap_or_else(|| model.context_max()),
        kv_bytes_max: usize::try_from(cache).unwrap_or(usize::MAX),
        ..defaults
    }
}

/// What keys and values may take when so much memory is free, in bytes.
pub fn cache_bytes(free: u64) -> u64 {
    ((free as f64 * CACHE_SHARE) as u64).max(CACHE_BYTES_MIN)
}

/// A number that nobody can guess, for requests that bring no seed.
pub fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Listens from here on for Ctrl-C and the signal that service managers send; what is returned is
/// ready when one of them came. `grace` is what the operator is told.
#[cfg(unix)]
pub(super) fn stop_signal(grace: Duration) -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        say_stopping(grace);
    })
}

/// Ready when Ctrl-C came.
#[cfg(not(unix))]
pub(super) fn stop_signal(grace: Duration) -> Result<impl Future<Output = ()>> {
    Ok(async {
        // Without a handler Ctrl-C ends the program as it always does.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        say_stopping(grace);
    })
}

fn say_stopping(grace: Duration) {
    let seconds = grace.as_secs();
    say(&format!("stopping: running answers have {seconds} seconds to end"));
}
