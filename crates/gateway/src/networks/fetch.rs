//! Fetching what others named: from allowed addresses, without redirects, bounded in size and time.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use axum::http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::addresses::AddressPolicy;
use super::resolver::{Connector, check_host, connector};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// From the name to the last byte.
const FETCH_TIME_MAX: Duration = Duration::from_secs(10);

/// Documents that are fetched are lists of keys and addresses.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Why nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {problem}")]
pub struct FetchError {
    url: String,
    problem: String,
}

/// Fetches documents.
#[derive(Clone, Debug)]
pub struct Fetcher {
    policy: AddressPolicy,
    client: Client<Connector, Full<Bytes>>,
}

impl Fetcher {
    /// From addresses that `policy` allows. [`AddressPolicy::Public`] takes `https` alone.
    pub fn new(policy: AddressPolicy) -> Self {
        let client =
            Client::builder(TokioExecutor::new()).build(connector(policy, CONNECT_TIME_MAX));
        Self { policy, client }
    }

    /// What is at `url`.
    ///
    /// # Errors
    /// The address is not allowed, or what is there does not come, is too long, or is no success.
    pub async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let (status, body) = self.send(Method::GET, url, HeaderMap::new(), Bytes::new()).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(FetchError { url: url.to_owned(), problem: format!("status {status}") })
    }

    /// Posts `body`; the status and what is answered. A redirect is a status like others.
    ///
    /// # Errors
    /// As [`Fetcher::get`], but every status is an answer.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        self.send(Method::POST, url, headers, body).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), FetchError> {
        let of = |problem: String| FetchError { url: url.to_owned(), problem };
        let uri: Uri = url.parse().map_err(|_| of("no address".into()))?;
        let is_allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.policy == AddressPolicy::Operator,
            _ => false,
        };
        if !is_allowed || uri.host().is_none() {
            return Err(of("has to begin with https://".into()));
        }
        check_host(&uri, self.policy).map_err(|error| of(error.to_string()))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let agent = HeaderValue::from_static(concat!("phial/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        let answer = async {
            let answer = self.client.request(request).await.map_err(|e| of(chain(&e)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                Some(_) => of(format!("more than {BODY_BYTES_MAX} bytes")),
                None => of(error.to_string()),
            })?;
            Ok((status, body.to_bytes()))
        };
        match tokio::time::timeout(FETCH_TIME_MAX, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(of(format!("not answered within {FETCH_TIME_MAX:?}"))),
        }
    }
}

/// An error with its causes, which alone tell what happened.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::get;

    use super::*;

    async fn server() -> String {
        let routes = Router::new()
            .route("/small", get(async || "{}"))
            .route("/large", get(async || "x".repeat(BODY_BYTES_MAX + 1)))
            .route("/moved", get(async || Redirect::temporary("/small")));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn what_is_allowed_is_fetched_within_bounds() {
        let base = server().await;
        let fetcher = Fetcher::new(AddressPolicy::Operator);
        assert_eq!(fetcher.get(&format!("{base}/small")).await.unwrap(), "{}");
        for (path, word) in [("/large", "more than"), ("/moved", "307"), ("/none", "404")] {
            let error = fetcher.get(&format!("{base}{path}")).await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_not_public_is_not_asked() {
        let fetcher = Fetcher::new(AddressPolicy::Public);
        for url in [
            "https://127.0.0.1/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/x",
            "https://0.0.0.0/x",
            "http://example.org/x",
            "file:///etc/passwd",
            "/x",
        ] {
            let error = fetcher.get(url).await.unwrap_err().to_string();
            let mut reasons =
                ["may be connected to", "has to begin with https://", "no address"].into_iter();
            assert!(reasons.any(|reason| error.ends_with(reason)), "{error}");
        }
    }
}
