//! `phial serve --accounts`: the gateway in front of this process's engine and of other servers.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, ensure};
use phial_gateway::upstreams::{ChannelSettings, Channels};
use phial_gateway::{Configuration, Gateway, Listening, Settings};
use phial_serve::{Server, Stopping};
use tokio::net::TcpListener;

use super::{SHUTDOWN_GRACE, listen};
use crate::cli;
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
    /// How clients reach the server.
    pub fn scheme(&self) -> &'static str {
        if self.configuration.tls.is_some() { "https" } else { "http" }
    }

    /// Serves until `stop` is ready.
    pub async fn serve(
        self,
        facts: ModelFacts,
        server: Server,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let public = self.listening(listener)?;
        let management = match self.configuration.management_listen {
            None => None,
            Some(address) => {
                let listener = listen(&address.ip().to_string(), address.port()).await?;
                Some(self.listening(listener)?)
            }
        };
        let console = &management.as_ref().unwrap_or(&public).listener;
        let address = console.local_addr().context("cannot read the address")?;
        let url = self.settings.public_url.clone();
        let url = url.unwrap_or_else(|| format!("{}://{address}", self.scheme()));
        let local = Arc::new(LocalUpstream::new(server.clone(), facts));
        let channels = Arc::new(Channels::new(Some(local)));
        let mut configured = vec![ChannelSettings::local(LOCAL_CHANNEL)];
        configured.extend(self.configuration.channels().map_err(|problem| anyhow!(problem))?);
        let gateway =
            Gateway::open_with_channels(self.settings, Arc::clone(&channels), configured).await?;
        if let Some(secret) = gateway.setup_secret().await? {
            println!("make the first administrator, within a day:");
            println!("  {}/console/setup#{secret}", url.trim_end_matches('/'));
        }
        let watching = tokio::spawn(channels.watch());
        let batch_routes = gateway.batch_routes();
        let operator = phial_serve::operator_routes(&server);
        let served = phial_serve::serve_behind(server, batch_routes, stop, |stopping: Stopping| {
            let gateway = gateway.clone();
            async move {
                let Some(management) = management else {
                    return public.serve(gateway.routes(), stopping.begun()).await;
                };
                let public = public.serve(gateway.public_routes(), stopping.begun());
                let routes = gateway.management_routes().merge(operator);
                tokio::try_join!(public, management.serve(routes, stopping.begun())).map(drop)
            }
        });
        let served = served.await;
        watching.abort();
        gateway.close().await;
        served.context("the server stopped")
    }

    fn listening(&self, listener: TcpListener) -> Result<Listening> {
        let proxies = self.configuration.proxies().map_err(|problem| anyhow!(problem))?;
        let tls = self.configuration.tls_files();
        // The engine ends answers that take longer than this, and tells their clients.
        Ok(Listening { listener, tls, proxies, grace: 2 * SHUTDOWN_GRACE })
    }
}
