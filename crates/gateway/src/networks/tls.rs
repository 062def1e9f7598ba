//! TLS by certificate files, which are read again when they change.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The files that TLS needs, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {}: {problem}", path.display())]
pub struct TlsError {
    path: PathBuf,
    problem: String,
}

impl TlsFiles {
    /// Whether a server can begin with them.
    ///
    /// # Errors
    /// A file that cannot be read, or makes no certificate with its key.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    fn load(&self) -> Result<ServerConfig, TlsError> {
        let of = |path: &Path, problem: String| TlsError { path: path.to_owned(), problem };
        let certificate = |error| of(&self.certificate, error);
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .map_err(|error| certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(certificate("has no certificate".into()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| of(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| certificate(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| certificate(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Changes with the files.
    fn stamp(&self) -> Option<Stamp> {
        let of = |path: &Path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.modified().ok()?, data.len()))
        };
        Some([of(&self.certificate)?, of(&self.key)?])
    }
}

/// When files were changed, and their lengths.
type Stamp = [(SystemTime, u64); 2];

/// What connections are accepted with at the moment.
type Current = Arc<RwLock<Arc<ServerConfig>>>;

/// A handshake takes two round trips; who needs longer wants to occupy us.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Handshakes that run at the same time.
const HANDSHAKES_MAX: usize = 256;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Accepts connections and makes their handshakes, all at the same time, so that one slow client
/// holds up no other.
#[derive(Debug)]
pub struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    /// Ends with the listener.
    _tasks: JoinSet<()>,
}

impl TlsListener {
    /// Connections that come to `listener`, with the certificate of `files`. A changed certificate
    /// is taken within seconds, or at once on SIGHUP; a broken one is told in the log, and the old
    /// one stays.
    ///
    /// # Errors
    /// A file that cannot be read, or makes no certificate with its key.
    pub fn new(listener: TcpListener, files: TlsFiles) -> Result<Self, TlsError> {
        let stamp = files.stamp();
        let current: Current = Arc::new(RwLock::new(Arc::new(files.load()?)));
        let address = listener.local_addr().map_err(|error| TlsError {
            path: files.certificate.clone(),
            problem: format!("the listening address is not known: {error}"),
        })?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept_all(listener, current.clone(), sender));
        tasks.spawn(reload(files, stamp, current));
        Ok(Self { ready, address, _tasks: tasks })
    }
}

async fn accept_all(
    mut listener: TcpListener,
    current: Current,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        // Waits and goes on where the system has no room for another connection.
        let (stream, address) = Listener::accept(&mut listener).await;
        send_at_once(&stream);
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let config = current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let ready = ready.clone();
        tokio::spawn(async move {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await {
                Ok(Ok(stream)) => drop(ready.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
            }
            drop(slot);
        });
    }
}

async fn reload(files: TlsFiles, mut stamp: Option<Stamp>, current: Current) {
    let mut hangup = Hangup::new();
    let mut broken = Broken::default();
    loop {
        let is_asked = tokio::select! {
            () = hangup.received() => true,
            () = tokio::time::sleep(LOOK_INTERVAL) => false,
        };
        let now = files.stamp();
        if now == stamp && !is_asked {
            continue;
        }
        match files.load() {
            Ok(config) => {
                *current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                // One that is broken is looked at again: it may be half written.
                stamp = now;
                broken = Broken::default();
                tracing::info!("the certificate was read again");
            }
            Err(error) if broken.is_news(now) || is_asked => {
                tracing::warn!(%error, "the old certificate stays");
            }
            Err(_) => {}
        }
    }
}

/// Files that make no certificate; `None` is one that is missing. The same ones are told once.
#[derive(Debug, Default)]
struct Broken(Option<Option<Stamp>>);

impl Broken {
    fn is_news(&mut self, stamp: Option<Stamp>) -> bool {
        self.0.replace(stamp) != Some(stamp)
    }
}

/// The signal by which service managers ask to read files again.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self { signal: signal(SignalKind::hangup()).ok() }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self {}
    }

    async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task lives as long as the listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// The address at the other end of a connection, by TLS or not. To be had as
/// `ConnectInfo<Peer>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, PlainListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PlainListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Accepts connections without TLS.
#[derive(Debug)]
pub struct PlainListener(pub TcpListener);

impl Listener for PlainListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        send_at_once(&stream);
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Events are small and wanted at once.
fn send_at_once(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::*;

    /// Writes a new certificate for `localhost`, and returns it.
    fn renew(files: &TlsFiles) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    async fn ask(address: SocketAddr, trusted: &CertificateDer<'static>) -> io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await?;
        let request = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let first = renew(&files);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TlsListener::new(listener, files.clone()).unwrap();
        let address = Listener::local_addr(&listener).unwrap();
        let peer = async |ConnectInfo(Peer(address)): ConnectInfo<Peer>| address.ip().to_string();
        let routes = Router::new().route("/", get(peer));
        let service = routes.into_make_service_with_connect_info::<Peer>();
        tokio::spawn(async move { axum::serve(listener, service).await });

        // Somebody who connects and says nothing holds up nobody.
        let _silent = TcpStream::connect(address).await.unwrap();
        assert!(ask(address, &first).await.unwrap().ends_with("127.0.0.1"));

        std::fs::write(&files.certificate, "broken").unwrap();
        tokio::time::sleep(LOOK_INTERVAL + Duration::from_secs(1)).await;
        assert!(ask(address, &first).await.is_ok());

        let second = renew(&files);
        let deadline = tokio::time::Instant::now() + 4 * LOOK_INTERVAL;
        while ask(address, &second).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "the new certificate is not taken");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(ask(address, &first).await.is_err());
    }

    #[test]
    fn broken_files_are_told_once() {
        let mut broken = Broken::default();
        let stamp = |length| Some([(SystemTime::UNIX_EPOCH, length); 2]);
        let told = [None, None, stamp(1), stamp(1), stamp(2), None].map(|s| broken.is_news(s));
        assert_eq!(told, [true, false, true, false, true, true]);
    }

    #[test]
    fn what_is_wrong_with_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = TlsFiles { certificate: path("c"), key: path("k") };
        let problem = |files: &TlsFiles| files.load().unwrap_err().to_string();
        assert!(problem(&files).contains("/c: "), "{}", problem(&files));
        renew(&files);
        files.load().unwrap();
        let other = TlsFiles { certificate: path("c"), key: path("other") };
        renew(&TlsFiles { certificate: path("unused"), ..other.clone() });
        assert!(problem(&other).contains("/c: "), "{}", problem(&other));
        std::fs::write(&files.certificate, "").unwrap();
        assert!(problem(&files).contains("no certificate"), "{}", problem(&files));
    }
}
