//! All servers, connected when they are first needed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use phial_serve::{ExternalError, ExternalFuture, ExternalTool, ExternalTools};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::config::{Config, Endpoint};
use crate::connection::Connection;

/// The servers of a configuration. A connection is made when a server is first needed, and again
/// when it was lost.
pub struct Servers {
    servers: BTreeMap<String, Server>,
}

struct Server {
    endpoint: Endpoint,
    connection: Mutex<Option<Arc<Connection>>>,
}

impl Servers {
    /// The servers of `config`, none of them connected.
    pub fn new(config: Config) -> Self {
        // If another one is installed already, that will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let servers = config
            .into_servers()
            .into_iter()
            .map(|(label, endpoint)| (label, Server { endpoint, connection: Mutex::new(None) }));
        Self { servers: servers.collect() }
    }

    /// Connects to every server, so that a mistake in the configuration shows before anybody asks.
    /// Gives the number of tools of each.
    ///
    /// # Errors
    /// The first server that does not answer, by its label.
    pub async fn connect(&self) -> Result<Vec<(String, usize)>, ExternalError> {
        let mut counts = Vec::new();
        for label in self.servers.keys() {
            let named = |error: ExternalError| ExternalError(format!("[mcp.{label}]: {error}"));
            let tools = self.tools(label).await.map_err(named)?;
            counts.push((label.clone(), tools.len()));
        }
        Ok(counts)
    }

    async fn connection(&self, label: &str) -> Result<Arc<Connection>, ExternalError> {
        let Some(server) = self.servers.get(label) else {
            return Err(ExternalError(format!("there is no server '{label}'")));
        };
        let mut connection = server.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(open));
        }
        tracing::info!(server = label, "connecting");
        let open = Arc::new(Connection::open(&server.endpoint).await?);
        *connection = Some(Arc::clone(&open));
        Ok(open)
    }
}

impl ExternalTools for Servers {
    fn servers(&self) -> Vec<String> {
        self.servers.keys().cloned().collect()
    }

    fn tools<'a>(&'a self, server: &'a str) -> ExternalFuture<'a, Vec<ExternalTool>> {
        Box::pin(async move { self.connection(server).await?.tools().await })
    }

    fn call<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
        arguments: Map<String, Value>,
    ) -> ExternalFuture<'a, String> {
        Box::pin(async move { self.connection(server).await?.call(tool, arguments).await })
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.servers.keys()).finish()
    }
}
