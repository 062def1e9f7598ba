//! From a listener to the last answer: how serving starts and how it ends.

use std::io;
use std::net::SocketAddr;
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
    serve_routes(server, routes, None, listener, shutdown).await
}

/// As [`serve`], with `routes` in front of those of `server`: whatever they let through to
/// [`router`](crate::router). The requests of batches go through `batch_routes`, with their
/// [`Owner`](phial_openai::metering::Owner) and [`Payer`](phial_openai::metering::Payer).
/// They get the address of each client as
/// [`ConnectInfo`](axum::extract::ConnectInfo).
///
/// # Errors
/// What the listener reports.
pub async fn serve_routes(
    server: Server,
    routes: Router,
    batch_routes: Option<Router>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    if let Some(batch_routes) = batch_routes {
        server.send_batches_through(batch_routes);
    }
    batches::resume(&server, batches::Routes(router));
    let (ask, mut asked) = watch::channel(false);
    let closing = async move {
        shutdown.await;
        tracing::info!("shutting down");
        ask.send_replace(true);
    };
    // Events are small and wanted at once.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(closing);
    let deadline = async {
        // An error says that the server has ended already.
        let _ = asked.wait_for(|asked| *asked).await;
        tokio::time::sleep(server.options().shutdown_grace).await;
        server.engine().stop();
        tokio::time::sleep(FLUSH_TIME).await;
    };
    let result = tokio::select! {
        result = serving.into_future() => result,
        () = deadline => Ok(()),
    };
    let engine = server.engine().clone();
    engine.stop();
    // Joining waits for the step that is running.
    let joined = tokio::task::spawn_blocking(move || engine.join()).await;
    if joined.is_err() {
        tracing::error!("the engine thread could not be joined");
    }
    result
}
