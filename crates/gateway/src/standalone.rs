//! A gateway without an engine of its own: what `phial gateway` runs.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::configuration::Configuration;
use crate::gateway::Gateway;
use crate::listening::Listening;
use crate::settings::Apart;
use crate::settings::Settings;
use crate::upstreams::Channels;

/// Where a gateway listens that is not told where.
const USUAL_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// A gateway that listens and does not answer yet.
pub struct Standalone {
    gateway: Gateway,
    channels: Arc<Channels>,
    public: Listening,
    management: Option<Listening>,
    urls: Urls,
}

/// Where a gateway is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// The address of the public API.
    pub api: String,
    /// The console.
    pub console: String,
}

impl Urls {
    /// Of a gateway that listens at `public`, and for its console at `management`. An address of
    /// all networks is told as one that works here.
    pub fn new(
        settings: &Settings,
        has_tls: bool,
        public: SocketAddr,
        management: Option<SocketAddr>,
    ) -> Self {
        let scheme = if has_tls { "https" } else { "http" };
        let url = |mut address: SocketAddr| {
            if address.ip().is_unspecified() {
                address.set_ip(match address {
                    SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                });
            }
            format!("{scheme}://{address}")
        };
        let told = match management {
            Some(_) => &settings.management_url,
            None => &settings.public_url,
        };
        let told = told.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let console = told.unwrap_or_else(|| url(management.unwrap_or(public)));
        Self { api: url(public), console }
    }

    /// What an operator reads first: where the gateway is, and with the secret of `setup` how the
    /// first administrator is made.
    pub fn greeting(&self, setup: Option<&str>) -> String {
        let Self { api, console } = self;
        let mut text = format!("listening on {api}\n");
        if !console.starts_with(api) {
            text += &format!("console at {console}/console/\n");
        }
        if let Some(secret) = setup {
            text += "make the first administrator, within a day:\n";
            text += &format!("  {console}/console/setup#{secret}\n");
        }
        text
    }
}

impl Standalone {
    /// Opens accounts, channels and sockets. Running answers have `grace` to end when it stops.
    ///
    /// # Errors
    /// What is wrong with the configuration, or in the way, in one line.
    pub async fn open(configuration: &Configuration, grace: Duration) -> Result<Self, String> {
        let mut settings = configuration.settings()?;
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
        let console = management.as_ref().map(address_of).transpose()?;
        settings.apart = console
            .map(|console| Apart { public_port: address.port(), management_port: console.port() });
        let urls = Urls::new(&settings, configuration.tls.is_some(), address, console);
        let opened = Gateway::open_with_channels(settings, channels.clone(), upstreams).await;
        let gateway = opened.map_err(|error| error.to_string())?;
        Ok(Self { gateway, channels, public, management, urls })
    }

    /// Where it is.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// The secret of the link by which the first administrator is made; `None` if there is one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn setup_secret(&self) -> Result<Option<String>, String> {
        self.gateway.setup_secret().await.map_err(|error| error.to_string())
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
