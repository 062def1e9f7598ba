//! A gateway without an engine of its own: what `phial gateway` runs.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::configuration::Configuration;
use crate::gateway::Gateway;
use crate::listening::Listening;
use crate::upstreams::Channels;

/// Where a gateway listens that is not told where.
const USUAL_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// A gateway that listens and does not answer yet.
pub struct Standalone {
    gateway: Gateway,
    channels: Arc<Channels>,
    public: Listening,
    management: Option<Listening>,
    address: SocketAddr,
    /// Where people reach the console.
    url: String,
}

impl Standalone {
    /// Opens accounts, channels and sockets. Running answers have `grace` to end when it stops.
    ///
    /// # Errors
    /// What is wrong with the configuration, or in the way, in one line.
    pub async fn open(configuration: &Configuration, grace: Duration) -> Result<Self, String> {
        let settings = configuration.settings()?;
        let channels = Arc::new(Channels::new(None));
        let upstreams = configuration.channels()?;
        let proxies = configuration.proxies()?;
        if let Some(files) = configuration.tls_files() {
            files.check().map_err(|error| error.to_string())?;
        }
        let listening = async |address: SocketAddr| {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| format!("cannot listen on {address}: {error}"))?;
            let tls = configuration.tls_files();
            Ok::<_, String>(Listening { listener, tls, proxies: proxies.clone(), grace })
        };
        let public = listening(configuration.listen.unwrap_or(USUAL_ADDRESS)).await?;
        let management = match configuration.management_listen {
            None => None,
            Some(address) => Some(listening(address).await?),
        };
        let address_of = |listening: &Listening| {
            listening.listener.local_addr().map_err(|error| format!("no address: {error}"))
        };
        let address = address_of(&public)?;
        let console = address_of(management.as_ref().unwrap_or(&public))?;
        let scheme = if configuration.tls.is_some() { "https" } else { "http" };
        let url = configuration.public_url.clone();
        let url = url.unwrap_or_else(|| format!("{scheme}://{console}"));
        let opened = Gateway::open_with_channels(settings, channels.clone(), upstreams).await;
        let gateway = opened.map_err(|error| error.to_string())?;
        Ok(Self { gateway, channels, public, management, address, url })
    }

    /// Where the public API is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A link by which the first administrator is made; `None` if there is one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setup_link(&self) -> Result<Option<String>, String> {
        let secret = self.gateway.setup_secret().await.map_err(|error| error.to_string())?;
        let url = self.url.trim_end_matches('/');
        Ok(secret.map(|secret| format!("{url}/console/setup#{secret}")))
    }

    /// Answers until `stop` is ready.
    ///
    /// # Errors
    /// The files of TLS make no sense.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), String> {
        let watching = tokio::spawn(self.channels.watch());
        let (tell, told) = watch::channel(false);
        let stopping = tokio::spawn(async move {
            stop.await;
            tell.send_replace(true);
        });
        let stopped = || {
            let mut told = told.clone();
            // Gone is as good as told.
            async move { drop(told.wait_for(|told| *told).await) }
        };
        let served = match self.management {
            None => self.public.serve(self.gateway.routes(), stopped()).await,
            Some(management) => {
                let public = self.public.serve(self.gateway.public_routes(), stopped());
                let management = management.serve(self.gateway.management_routes(), stopped());
                tokio::try_join!(public, management).map(drop)
            }
        };
        stopping.abort();
        watching.abort();
        self.gateway.close().await;
        served.map_err(|error| error.to_string())
    }
}
