//! Names to addresses that may be connected to: what was checked is what is connected to.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::{ClientConfig, RootCertStore};
use tower::Service;

use super::addresses::AddressPolicy;

/// Asks the system, and drops every address that the policy does not allow. The connector connects
/// to what is left, so a name that changes its mind between check and connection gains nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PolicyResolver {
    policy: AddressPolicy,
}

type Addresses = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for PolicyResolver {
    type Response = Addresses;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Addresses>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let policy = self.policy;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<_> = found.filter(|address| policy.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(refused(name.as_str()));
            }
            Ok(allowed.into_iter())
        })
    }
}

fn refused(host: &str) -> io::Error {
    let message = format!("{host} has no address that may be connected to");
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

/// Checks a host that is written as an address: connectors do not resolve those.
///
/// # Errors
/// The policy does not allow it.
pub(crate) fn check_host(uri: &Uri, policy: AddressPolicy) -> io::Result<()> {
    let host = uri.host().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(address) if !policy.allows(address) => Err(refused(host)),
        _ => Ok(()),
    }
}

/// Connects to what `policy` allows, by TLS where the address says `https`.
pub(crate) fn connector(policy: AddressPolicy, connect_time_max: Duration) -> Connector {
    let mut http = HttpConnector::new_with_resolver(PolicyResolver { policy });
    http.enforce_http(false);
    http.set_nodelay(true);
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config().clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Connector { https, connect_time_max }
}

type Https = HttpsConnector<HttpConnector<PolicyResolver>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects within a time that covers the name, the connection and TLS.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    https: Https,
    connect_time_max: Duration,
}

impl Service<Uri> for Connector {
    type Response = <Https as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connection = self.https.call(uri);
        let time = self.connect_time_max;
        Box::pin(async move {
            match tokio::time::timeout(time, connection).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("not connected within {time:?}").into()),
            }
        })
    }
}

/// Made once: reading a machine's certificates takes some milliseconds.
fn tls_config() -> &'static ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites of every version that is compiled in")
            .with_root_certificates(roots())
            .with_no_client_auth()
    })
}

/// The certificates that this machine trusts (`SSL_CERT_FILE` names others), or Mozilla's where it
/// has none, as in an empty container.
fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_urls_are_checked_too() {
        let check = |uri: &str| check_host(&uri.parse().unwrap(), AddressPolicy::Public).is_ok();
        assert!(check("https://example.org/x"));
        assert!(check("http://8.8.8.8/"));
        assert!(!check("http://127.0.0.1:80/"));
        assert!(!check("http://[::1]/"));
        assert!(!check("http://[::ffff:10.0.0.1]:1/"));
        assert!(!check("http://0.0.0.0/"));
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_not_public() {
        let resolve = async |policy| {
            let name = "localhost".parse().unwrap();
            PolicyResolver { policy }.call(name).await.map(Iterator::count)
        };
        assert!(resolve(AddressPolicy::Operator).await.unwrap() > 0);
        let error = resolve(AddressPolicy::Public).await.unwrap_err();
        assert!(error.to_string().contains("localhost has no address"), "{error}");
    }
}
