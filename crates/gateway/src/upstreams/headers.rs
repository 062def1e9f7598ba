//! Which headers go on and come back. Both are lists of what may: what belongs to one connection,
//! names a client or its key, or tells of the operator's account stays where it is.

use axum::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};

use super::settings::ChannelKey;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

const SENT_ON: [&str; 7] = [
    "accept",
    "content-type",
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "traceparent",
    "tracestate",
];

const SENT_BACK: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-type",
    "retry-after",
    "retry-after-ms",
    "openai-processing-ms",
];

fn pick(headers: &HeaderMap, names: &[&'static str]) -> HeaderMap {
    let mut picked = HeaderMap::new();
    for name in names {
        if let Some(value) = headers.get(*name) {
            picked.insert(*name, value.clone());
        }
    }
    picked
}

/// Headers for the other server, with its own key.
pub(super) fn onward(client: &HeaderMap, key: &ChannelKey) -> HeaderMap {
    let mut headers = pick(client, &SENT_ON);
    // What is compressed cannot be counted.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
        .insert(USER_AGENT, HeaderValue::from_static(concat!("phial/", env!("CARGO_PKG_VERSION"))));
    if let Some(key) = key.expose() {
        let values = [(AUTHORIZATION, format!("Bearer {key}")), (X_API_KEY, key.to_owned())];
        for (name, value) in values {
            // Settings were checked to hold nothing that cannot be sent.
            if let Ok(mut value) = HeaderValue::try_from(value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
    }
    headers
}

/// Headers for the client.
pub(super) fn back(upstream: &HeaderMap) -> HeaderMap {
    pick(upstream, &SENT_BACK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v));
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn nothing_of_the_client_but_what_it_asks_goes_on() {
        let client = headers(&[
            ("authorization", "Bearer sk-client"),
            ("x-api-key", "sk-client"),
            ("api-key", "sk-client"),
            ("cookie", "phial=secret"),
            ("connection", "x-secret"),
            ("x-secret", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "12"),
            ("host", "gateway"),
            ("x-forwarded-for", "1.2.3.4"),
            ("accept-encoding", "gzip"),
            ("content-type", "application/json"),
            ("anthropic-version", "2023-06-01"),
        ]);
        let sent = onward(&client, &ChannelKey::new("sk-upstream"));
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept-encoding",
                "anthropic-version",
                "authorization",
                "content-type",
                "user-agent",
                "x-api-key"
            ]
        );
        assert_eq!(sent["authorization"], "Bearer sk-upstream");
        assert_eq!(sent["x-api-key"], "sk-upstream");
        assert!(!onward(&client, &ChannelKey::default()).contains_key("authorization"));
    }

    #[test]
    fn nothing_of_the_operators_account_comes_back() {
        let upstream = headers(&[
            ("content-type", "text/event-stream"),
            ("set-cookie", "a=b"),
            ("connection", "close"),
            ("openai-organization", "org-1"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("location", "http://inside"),
            ("content-length", "3"),
            ("retry-after", "2"),
        ]);
        let mut names: Vec<_> = back(&upstream).keys().map(|n| n.as_str().to_owned()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "retry-after"]);
    }
}
