//! Where a channel's server is.

use axum::http::Uri;
use axum::http::uri::{Authority, PathAndQuery, Scheme};

use crate::networks::{AddressPolicy, check_host};

/// The address below which the routes of the API lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at the end; `/v1` where only a host was named.
    path: String,
}

const VERSION: &str = "/v1";

impl BaseUrl {
    /// Reads `https://host/v1`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("base_url: '{text}' should read like https://host/v1");
        let uri: Uri = text.trim().parse().map_err(|_| wrong())?;
        let scheme = uri.scheme().cloned().ok_or_else(wrong)?;
        let authority = uri.authority().cloned().ok_or_else(wrong)?;
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if !is_http || uri.query().is_some() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        check_host(&uri, AddressPolicy::Operator).map_err(|error| format!("base_url: {error}"))?;
        let path = uri.path().trim_end_matches('/');
        let path = if path.is_empty() { VERSION } else { path };
        Ok(Self { scheme, authority, path: path.to_owned() })
    }

    /// The address of `route` (`/v1/chat/completions`, `/tokenize`) there.
    pub fn join(&self, route: &str) -> Option<Uri> {
        let path = match route.strip_prefix(VERSION) {
            Some(rest) => format!("{}{rest}", self.path),
            None => format!("{}{route}", self.path.strip_suffix(VERSION).unwrap_or(&self.path)),
        };
        let path = PathAndQuery::try_from(path).ok()?;
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_joined_as_clients_of_the_api_do() {
        for (base, route, joined) in [
            ("http://h", "/v1/chat/completions", "http://h/v1/chat/completions"),
            ("http://h/", "/v1/models", "http://h/v1/models"),
            ("https://h:8443/v1", "/v1/models", "https://h:8443/v1/models"),
            ("https://h/api/v3/", "/v1/embeddings", "https://h/api/v3/embeddings"),
            ("https://h/p/v1", "/tokenize", "https://h/p/tokenize"),
            ("http://[fd00::1]:8000/v1", "/v1/models", "http://[fd00::1]:8000/v1/models"),
        ] {
            let url = BaseUrl::parse(base).unwrap();
            assert_eq!(url.join(route).unwrap().to_string(), joined);
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for text in [
            "",
            "h",
            "/v1",
            "ftp://h/v1",
            "http://user:pass@h/v1",
            "http://h/v1?x=1",
            "http://169.254.169.254/latest",
            "http://[fe80::1]/v1",
            "http://0.0.0.0/v1",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
