//! `phial serve --accounts`: the gateway in front of this process's engine and of other servers.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use phial_gateway::upstreams::{ChannelSettings, Channels};
use phial_gateway::{Apart, Configuration, Gateway, Listening, Settings, Urls};
use phial_serve::{Server, Stopping};
use tokio::net::TcpListener;

use super::{SHUTDOWN_GRACE, listen};
use crate::cli;
use crate::commands::gateway::greet;
use crate::local_upstream::{LocalUpstream, ModelFacts};

/// The channel to the engine of this process.
const LOCAL_CHANNEL: i64 = 0;

/// How a gateway is to be: what the file says, and flags before it.
pub struct Accounts {
    settings: Settings,
    configuration: Configuration,
}

/// Where accounts are, if keys are asked for; `configuration` is the table `[gateway]` of the
/// configuration file.
pub fn find(
    arguments: &cli::Serve,
    configuration: Option<Configuration>,
) -> Result<Option<Accounts>> {
    let has_table = configuration.is_some();
    let mut configuration = configuration.unwrap_or_default();
    if let Some(accounts) = &arguments.accounts {
        configuration.accounts = Some(accounts.clone());
        configuration.accounts_file = None;
    }
    if configuration.accounts.is_none() && configuration.accounts_file.is_none() && !has_table {
        return Ok(None);
    }
    ensure!(
        configuration.listen.is_none(),
        "[gateway] listen is for `phial gateway`; serve listens at --host and --port"
    );
    if let Some(folder) = &arguments.accounts_folder {
        configuration.accounts_folder = Some(folder.clone());
    }
    if let Some(url) = &arguments.public_url {
        configuration.public_url = Some(url.clone());
    }
    if let Some(files) = configuration.tls_files() {
        files.check()?;
    }
    let settings = configuration.settings().map_err(|problem| anyhow!(problem))?;
    Ok(Some(Accounts { settings, configuration }))
}

impl Accounts {
    /// Serves until `stop` is ready.
    pub async fn serve(
        self,
        facts: ModelFacts,
        server: Server,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let public = listening(&self.configuration, listener)?;
        let management = match self.configuration.management_listen {
            None => None,
            Some(address) => {
                let listener = listen(&address.ip().to_string(), address.port()).await?;
                Some(listening(&self.configuration, listener)?)
            }
        };
        let address_of = |listening: &Listening| {
            listening.listener.local_addr().context("cannot read the address")
        };
        let address = address_of(&public)?;
        let console = management.as_ref().map(address_of).transpose()?;
        let apart = console
            .map(|console| Apart { public_port: address.port(), management_port: console.port() });
        let settings = Settings { apart, ..self.settings };
        let urls = Urls::new(&settings, self.configuration.tls.is_some(), address, console);
        let local = Arc::new(LocalUpstream::new(server.clone(), facts));
        let channels = Arc::new(Channels::new(Some(local)));
        let mut configured = vec![ChannelSettings::local(LOCAL_CHANNEL)];
        configured.extend(self.configuration.channels().map_err(|problem| anyhow!(problem))?);
        let gateway =
            Gateway::open_with_channels(settings, Arc::clone(&channels), configured).await?;
        let secret = gateway.setup_secret().await?;
        // A server whose output nobody reads serves all the same.
        let _ = greet(&urls, secret.as_deref());
        let watching = tokio::spawn(channels.watch());
        let batch_routes = gateway.batch_routes();
        let served = phial_serve::serve_behind(server, batch_routes, stop, |stopping: Stopping| {
            let gateway = gateway.clone();
            async move {
                let Some(management) = management else {
                    return public.serve(gateway.routes(), stopping.begun()).await;
                };
                let public = public.serve(gateway.public_routes(), stopping.begun());
                let routes = gateway.management_routes();
                tokio::try_join!(public, management.serve(routes, stopping.begun())).map(drop)
            }
        });
        let served = served.await;
        watching.abort();
        gateway.close().await;
        served.context("the server stopped")
    }
}

fn listening(configuration: &Configuration, listener: TcpListener) -> Result<Listening> {
    let proxies = configuration.proxies().map_err(|problem| anyhow!(problem))?;
    let tls = configuration.tls_files();
    // The engine ends answers that take longer than this, and tells their clients.
    Ok(Listening { listener, tls, proxies, grace: 2 * SHUTDOWN_GRACE })
}
