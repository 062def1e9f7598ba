//! From a listener to the last answer: how serving starts and how it ends.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::batches;
use crate::router::router;
use crate::server::Server;

/// How long streams that were cut may take to tell their clients.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Serves on `listener` until `shutdown` is ready. Then no connection is accepted any more,
/// answers get [`ServerOptions::shutdown_grace`](crate::ServerOptions::shutdown_grace) to end, those that do not are ended with an
/// error, and the engine's thread is joined.
///
/// # Errors
/// What the listener reports.
pub async fn serve(
    server: Server,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = router(&server);
    // Events are small and wanted at once.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    run(server, shutdown, |stopping| {
        axum::serve(listener, routes).with_graceful_shutdown(stopping.begun()).into_future()
    })
    .await
}

/// As [`serve`], with something else in front that listens, and lets through to
/// [`router`](crate::router) what it wants to: `answer` runs until it is told to stop. The requests
/// of batches go through `batch_routes`, with their [`Owner`](phial_openai::metering::Owner) and
/// [`Payer`](phial_openai::metering::Payer).
///
/// # Errors
/// What `answer` reports.
pub async fn serve_behind<Answer, E>(
    server: Server,
    batch_routes: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    answer: impl FnOnce(Stopping) -> Answer,
) -> Result<(), E>
where
    Answer: Future<Output = Result<(), E>>,
{
    server.send_batches_through(batch_routes);
    run(server, shutdown, answer).await
}

/// Tells when answering has to end. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Ready when no more connection is to be accepted.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut asked = self.0.clone();
        // Whoever would tell being gone is as good as told.
        async move { drop(asked.wait_for(|asked| *asked).await) }
    }
}

async fn run<Answer, E>(
    server: Server,
    shutdown: impl Future<Output = ()> + Send + 'static,
    answer: impl FnOnce(Stopping) -> Answer,
) -> Result<(), E>
where
    Answer: Future<Output = Result<(), E>>,
{
    batches::resume(&server, batches::Routes(router));
    let (ask, asked) = watch::channel(false);
    let stopping = Stopping(asked);
    let telling = tokio::spawn(async move {
        shutdown.await;
        tracing::info!("shutting down");
        ask.send_replace(true);
    });
    let begun = stopping.begun();
    let deadline = async {
        begun.await;
        tokio::time::sleep(server.options().shutdown_grace).await;
        server.engine().stop();
        tokio::time::sleep(FLUSH_TIME).await;
    };
    let result = tokio::select! {
        result = answer(stopping) => result,
        () = deadline => Ok(()),
    };
    telling.abort();
    let engine = server.engine().clone();
    engine.stop();
    // Joining waits for the step that is running.
    let joined = tokio::task::spawn_blocking(move || engine.join()).await;
    if joined.is_err() {
        tracing::error!("the engine thread could not be joined");
    }
    result
}
