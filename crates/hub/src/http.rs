//! One request: addresses, headers, and what each failure means.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http::{Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::options::HubOptions;

/// A failed attempt: what to say, and whether another one may help.
#[derive(Debug)]
pub(crate) struct Failure {
    pub error: Error,
    pub is_transient: bool,
    /// How long the server asks to wait.
    pub wait: Option<Duration>,
}

impl Failure {
    pub(crate) fn transient(error: Error) -> Self {
        Self { error, is_transient: true, wait: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, is_transient: false, wait: None }
    }
}

/// Counts failed attempts and sleeps between them.
pub(crate) struct Patience<'a> {
    limits: &'a Limits,
    attempts_max: u32,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, attempts_max: limits.attempts_max, failures: 0 }
    }

    /// With fewer attempts than the limits allow.
    pub(crate) fn at_most(mut self, attempts_max: u32) -> Self {
        self.attempts_max = self.attempts_max.min(attempts_max);
        self
    }

    /// Something went well: the next failure is a first one.
    pub(crate) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Sleeps, or gives the failure back when it is final.
    pub(crate) fn after(&mut self, failure: Failure) -> Result<()> {
        self.failures += 1;
        if !failure.is_transient || self.failures >= self.attempts_max {
            return Err(failure.error);
        }
        let doubled = self.limits.backoff.saturating_mul(1 << (self.failures - 1).min(16));
        let wait = failure.wait.unwrap_or(doubled).min(self.limits.backoff_max);
        std::thread::sleep(wait);
        Ok(())
    }
}

/// Which bytes of a file to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    From(u64),
    First(u64),
}

/// Sends requests to one hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(options: &HubOptions) -> Result<Self> {
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let is_https = endpoint.starts_with("https://");
        if !is_https && !endpoint.starts_with("http://") {
            let message = format!("the hub's address '{endpoint}' (HF_ENDPOINT) is no http(s) URL");
            return Err(Error::new(ErrorKind::Name, message));
        }
        let token = options.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        if token.is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
            let message = "HF_TOKEN holds characters that no token has";
            return Err(Error::new(ErrorKind::Denied, message));
        }
        let limits = &options.limits;
        let mut tls = TlsConfig::builder();
        if let Some(file) = &options.certificates {
            tls = tls.root_certs(read_certificates(file)?);
        }
        // A proxy is taken from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY by default. The
        // token goes to the hub only, never to the storage host that it redirects to.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(is_https)
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .user_agent(concat!("phial/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(tls.build())
            .timeout_connect(Some(limits.connect_timeout))
            .timeout_recv_response(Some(limits.read_timeout))
            .timeout_per_read(Some(limits.read_timeout))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, token: token.map(str::to_owned) })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends one request. `what` names the thing in messages. A status other than 200, 206 and
    /// 416 (a matter of the caller's range) is a failure.
    pub(crate) fn get(
        &self,
        path: &str,
        wanted: Wanted,
        what: &str,
    ) -> std::result::Result<Response<Body>, Failure> {
        let mut request = self.agent.get(format!("{}/{path}", self.endpoint));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request = match wanted {
            Wanted::All => request,
            Wanted::From(start) => request.header("Range", format!("bytes={start}-")),
            Wanted::First(count) => {
                request.header("Range", format!("bytes=0-{}", count.saturating_sub(1)))
            }
        };
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(response)
            }
            _ => Err(self.refused(&response, what)),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        use ureq::Error as Cause;
        let is_transient = matches!(
            error,
            Cause::Io(_) | Cause::Timeout(_) | Cause::ConnectionFailed | Cause::HostNotFound
        ) || matches!(error, Cause::Protocol(_) | Cause::ConnectProxyFailed(_));
        let message = format!(
            "cannot reach the hub at {}: {error}; check the network and HTTPS_PROXY, or use a \
             model that is here already (phial list)",
            self.endpoint
        );
        Failure { error: Error::new(ErrorKind::Network, message), is_transient, wait: None }
    }

    fn refused(&self, response: &Response<Body>, what: &str) -> Failure {
        let status = response.status().as_u16();
        let has_token = self.token.is_some();
        // The hub also hides repositories behind 401 that do not exist at all.
        let error = match status {
            401 if has_token => Error::new(
                ErrorKind::Denied,
                format!("the hub refuses {what} (401): wrong name, or HF_TOKEN is not valid"),
            ),
            401 => Error::new(
                ErrorKind::Denied,
                format!(
                    "the hub refuses {what} (401): wrong name, or a private or gated repository; \
                     for those set HF_TOKEN to a token of an account with access"
                ),
            ),
            403 => Error::new(
                ErrorKind::Denied,
                format!(
                    "the hub refuses {what} (403): gated; accept its terms on its page at {}, then \
                     set HF_TOKEN to a token of that account",
                    self.endpoint
                ),
            ),
            404 => Error::new(ErrorKind::NotFound, format!("the hub has no {what} (404)")),
            _ => Error::new(
                ErrorKind::Network,
                format!("the hub at {} failed for {what} (status {status})", self.endpoint),
            ),
        };
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let is_transient = matches!(status, 408 | 425 | 429 | 500..=599);
        Failure { error, is_transient, wait }
    }
}

/// Reads at most `bytes_max` bytes of a body.
pub(crate) fn read_at_most(body: &mut Body, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The reader's own limit would be an error; ours is an end.
    let reader = body.with_config().limit(u64::MAX).reader();
    reader.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_certificates(file: &std::path::Path) -> Result<RootCerts> {
    let pem = std::fs::read(file)
        .map_err(|error| Error::io("read the certificates (SSL_CERT_FILE) of", file, error))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem).flatten() {
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        let message = format!("SSL_CERT_FILE: {} holds no PEM certificate", file.display());
        return Err(Error::new(ErrorKind::Malformed, message));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}
