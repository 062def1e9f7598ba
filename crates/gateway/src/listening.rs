//! Listening: connections by TLS or without, and who the client behind each of them is.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use tokio::net::TcpListener;

use crate::admission::ClientAddress;
use crate::networks::{Peer, PlainListener, Proxies, TlsError, TlsFiles, TlsListener};

/// Where and how a gateway listens.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub listener: TcpListener,
    /// By TLS, with these files.
    pub tls: Option<TlsFiles>,
    /// Peers who say for whom they ask.
    pub proxies: Proxies,
    /// How long answers may go on once it is to end.
    pub grace: Duration,
}

impl Listening {
    /// Answers by `routes` until `stop` is ready and running answers have ended, or their time has.
    ///
    /// # Errors
    /// The files of TLS make no sense.
    pub async fn serve(
        self,
        routes: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), TlsError> {
        let proxies = Arc::new(self.proxies);
        let routes = routes.layer(middleware::from_fn_with_state(proxies, name_client));
        match self.tls {
            None => run(PlainListener(self.listener), routes, stop, self.grace).await,
            Some(files) => {
                let listener = TlsListener::new(self.listener, files)?;
                run(listener, routes, stop, self.grace).await;
            }
        }
        Ok(())
    }
}

/// Puts the client's address where admission and the audit log look for it.
async fn name_client(
    State(proxies): State<Arc<Proxies>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let address = proxies.client_address(peer.ip(), request.headers());
    request.extensions_mut().insert(ClientAddress(address));
    next.run(request).await
}

async fn run<L>(
    listener: L,
    routes: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) where
    L: Listener<Addr = SocketAddr>,
    Peer: for<'a> Connected<IncomingStream<'a, L>>,
{
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = stopping.send(());
    };
    let out_of_time = async move {
        // Dropped with the server, if that ends first.
        if stopped.await.is_ok() {
            tokio::time::sleep(grace).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    let service = routes.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(stop);
    tokio::select! {
        _ = serving => {}
        () = out_of_time => {}
    }
}
