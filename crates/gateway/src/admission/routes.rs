//! The table of routes: which requests there are, and what each may cost.

use axum::http::Method;

/// What admission does with requests of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Takes tokens: measured, reserved, settled.
    Generate,
    /// Has a JSON body that may name a model, and takes no tokens.
    Free,
    /// Has no body that matters.
    Plain,
    /// Has a large body that goes through as it comes.
    Upload,
    /// Tells of models: the key's only.
    Models,
    /// Needs no key.
    Public,
}

/// A route of the public API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub method: Method,
    /// `{id}` stands for one name, `{*id}` for the rest.
    pub pattern: &'static str,
    pub kind: Kind,
}

const fn route(method: Method, pattern: &'static str, kind: Kind) -> Route {
    Route { method, pattern, kind }
}

/// Chats, which the console asks for too.
pub(crate) static CHAT: &Route = &ROUTES[0];

pub(crate) static ROUTES: &[Route] = &[
    route(Method::POST, "/v1/chat/completions", Kind::Generate),
    route(Method::POST, "/v1/completions", Kind::Generate),
    route(Method::POST, "/v1/embeddings", Kind::Generate),
    route(Method::POST, "/v1/responses", Kind::Generate),
    route(Method::POST, "/v1/messages", Kind::Generate),
    route(Method::POST, "/v1/messages/count_tokens", Kind::Free),
    route(Method::GET, "/v1/responses/{id}", Kind::Plain),
    route(Method::DELETE, "/v1/responses/{id}", Kind::Plain),
    route(Method::GET, "/v1/responses/{id}/input_items", Kind::Plain),
    route(Method::GET, "/v1/files", Kind::Plain),
    route(Method::POST, "/v1/files", Kind::Upload),
    route(Method::GET, "/v1/files/{id}", Kind::Plain),
    route(Method::DELETE, "/v1/files/{id}", Kind::Plain),
    route(Method::GET, "/v1/files/{id}/content", Kind::Plain),
    route(Method::GET, "/v1/batches", Kind::Plain),
    route(Method::POST, "/v1/batches", Kind::Free),
    route(Method::GET, "/v1/batches/{id}", Kind::Plain),
    route(Method::POST, "/v1/batches/{id}/cancel", Kind::Plain),
    route(Method::GET, "/v1/models", Kind::Models),
    route(Method::GET, "/v1/models/{*id}", Kind::Models),
    route(Method::POST, "/tokenize", Kind::Free),
    route(Method::POST, "/detokenize", Kind::Free),
    route(Method::POST, "/apply-template", Kind::Free),
    route(Method::GET, "/health", Kind::Public),
    route(Method::GET, "/openapi.json", Kind::Public),
];

/// Letters of a name in an address at most.
const NAME_LENGTH_MAX: usize = 256;

/// The route of a request; `path` is compared as it was sent, without decoding anything.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.method == *method && is_match(route.pattern, path))
}

fn is_match(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some("{*id}"), Some(first)) => {
                return std::iter::once(first).chain(parts).all(is_name);
            }
            (Some("{id}"), Some(part)) if is_name(part) => {}
            (Some(pattern), Some(part)) if pattern == part => {}
            _ => return false,
        }
    }
}

/// Whether `part` is a name that means itself, whoever reads it: no dots alone, nothing escaped.
fn is_name(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=NAME_LENGTH_MAX).contains(&part.len())
        && part.bytes().all(is_plain)
        && part.bytes().any(|byte| byte != b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(method: &Method, path: &str) -> Option<&'static str> {
        find(method, path).map(|route| route.pattern)
    }

    #[test]
    fn addresses_are_taken_word_for_word() {
        assert_eq!(CHAT.pattern, "/v1/chat/completions");
        assert_eq!(pattern(&Method::POST, "/v1/chat/completions"), Some("/v1/chat/completions"));
        assert_eq!(pattern(&Method::GET, "/v1/files/file-1"), Some("/v1/files/{id}"));
        assert_eq!(pattern(&Method::GET, "/v1/models/a/b"), Some("/v1/models/{*id}"));
        for path in [
            "/v1/chat/completions/",
            "//v1/chat/completions",
            "/v1//chat/completions",
            "/V1/chat/completions",
            "/v1/chat/%63ompletions",
            "/v1/chat/completions%00",
            "/v1/chat/../chat/completions",
            "/v1/chat/completions;a",
            "/v1\\chat\\completions",
            "/metrics",
            "/",
            "",
        ] {
            assert_eq!(pattern(&Method::POST, path), None, "{path}");
        }
        for path in
            ["/v1/files/..", "/v1/files/%2e%2e", "/v1/files/a%2fb", "/v1/files/", "/metrics"]
        {
            assert_eq!(pattern(&Method::GET, path), None, "{path}");
        }
        assert_eq!(pattern(&Method::GET, "/v1/models/../files"), None);
        assert_eq!(pattern(&Method::GET, "/v1/chat/completions"), None);
        assert_eq!(pattern(&Method::PUT, "/v1/chat/completions"), None);
    }
}
