//! Where browsers find the public API and the console, when those are at two addresses.
//!
//! Then the console's pages may ask the public API, which is another origin to them: its answers
//! allow that to the console's origin and to no other.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_SECURITY_POLICY, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::parts::Parts;
use crate::settings::Settings;

/// Where the public API is, ending in `/v1`. Without a public URL it is what the client called the
/// server: that is only told back to that client, and only if it looks like a host.
pub(crate) fn base_url(settings: &Settings, headers: &HeaderMap) -> String {
    if let Some(url) = &settings.public_url {
        return format!("{}/v1", url.trim_end_matches('/'));
    }
    let host = host(headers);
    match settings.apart {
        Some(apart) => format!("{}/v1", origin(settings, host, apart.public_port)),
        None => format!("{}://{host}/v1", scheme(settings)),
    }
}

/// The origin of the public API, where it is not the console's.
pub(crate) fn api_origin(settings: &Settings, headers: &HeaderMap) -> Option<String> {
    let apart = settings.apart?;
    let of_host = || origin(settings, host(headers), apart.public_port);
    Some(settings.public_url.as_deref().map_or_else(of_host, origin_of))
}

/// The origin of the console, as whoever asks the public API would call it.
fn console_origin(settings: &Settings, headers: &HeaderMap) -> Option<String> {
    let apart = settings.apart?;
    let of_host = || origin(settings, host(headers), apart.management_port);
    Some(settings.management_url.as_deref().map_or_else(of_host, origin_of))
}

fn scheme(settings: &Settings) -> &'static str {
    if settings.secure_cookies { "https" } else { "http" }
}

/// Host, and port if there is one, that a request was sent to.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_host = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    if is_host { host } else { "localhost" }
}

/// The origin of `host` at another port, as browsers write it.
fn origin(settings: &Settings, host: &str, port: u16) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    match (scheme(settings), port) {
        (scheme @ "http", 80) | (scheme @ "https", 443) => format!("{scheme}://{name}"),
        (scheme, port) => format!("{scheme}://{name}:{port}"),
    }
}

/// A URL without its path.
fn origin_of(url: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    url[..end].to_owned()
}

/// Lets the console's pages ask the public API.
pub(crate) async fn allow_console(
    State(parts): State<Arc<Parts>>,
    request: Request,
    next: Next,
) -> Response {
    let console = console_origin(&parts.settings, request.headers());
    let asking = request.headers().get(ORIGIN).cloned();
    let Some(origin) = asking.filter(|asking| console.is_some_and(|console| *asking == *console))
    else {
        return next.run(request).await;
    };
    let is_preflight = *request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match is_preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("origin"));
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (ACCESS_CONTROL_EXPOSE_HEADERS, "x-request-id"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What pages may connect to.
const OWN_ORIGIN: &str = "connect-src 'self'";

/// Lets the console's pages connect to the public API, and to nothing else.
pub(crate) async fn widen_policy(
    State(parts): State<Arc<Parts>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = api_origin(&parts.settings, request.headers());
    let mut response = next.run(request).await;
    let policy = response.headers().get(CONTENT_SECURITY_POLICY);
    if let (Some(origin), Some(Ok(policy))) = (origin, policy.map(HeaderValue::to_str)) {
        let wider = policy.replace(OWN_ORIGIN, &format!("{OWN_ORIGIN} {origin}"));
        if let Ok(wider) = HeaderValue::try_from(wider) {
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, wider);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Apart;

    fn settings() -> Settings {
        let apart = Some(Apart { public_port: 8080, management_port: 8081 });
        Settings { apart, ..Settings::in_folder("unused") }
    }

    fn asked(host: &str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, HeaderValue::try_from(host).unwrap())])
    }

    #[test]
    fn the_other_address_has_the_same_host_and_its_own_port() {
        for (host, base) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8080/v1"),
            ("phial.lan:8081", "http://phial.lan:8080/v1"),
            ("phial.lan", "http://phial.lan:8080/v1"),
            ("[::1]:8081", "http://[::1]:8080/v1"),
            ("[::1]", "http://[::1]:8080/v1"),
            ("evil#@x", "http://localhost:8080/v1"),
        ] {
            assert_eq!(base_url(&settings(), &asked(host)), base, "{host}");
        }
        let console = console_origin(&settings(), &asked("phial.lan:8080"));
        assert_eq!(console.as_deref(), Some("http://phial.lan:8081"));
        let together = Settings { apart: None, ..settings() };
        assert_eq!(base_url(&together, &asked("phial.lan:1")), "http://phial.lan:1/v1");
        assert_eq!(api_origin(&together, &asked("phial.lan:1")), None);
        assert_eq!(console_origin(&together, &asked("phial.lan:1")), None);
    }

    #[test]
    fn what_the_operator_says_comes_before_what_clients_say() {
        let told = Settings {
            public_url: Some("https://api.example.org/phial/".into()),
            management_url: Some("https://console.example.org".into()),
            secure_cookies: true,
            ..settings()
        };
        let headers = asked("other");
        assert_eq!(base_url(&told, &headers), "https://api.example.org/phial/v1");
        assert_eq!(api_origin(&told, &headers).as_deref(), Some("https://api.example.org"));
        let console = console_origin(&told, &headers);
        assert_eq!(console.as_deref(), Some("https://console.example.org"));
        let usual = Settings {
            apart: Some(Apart { public_port: 443, management_port: 8443 }),
            secure_cookies: true,
            ..settings()
        };
        assert_eq!(base_url(&usual, &asked("phial.lan:8443")), "https://phial.lan/v1");
    }
}
