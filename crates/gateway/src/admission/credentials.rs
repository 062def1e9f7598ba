//! Where a request carries its key.

use axum::http::{HeaderMap, header};

use super::routes::Route;
use crate::refusal::Refusal;

/// The key that a request carries. Exactly one: of two, a proxy might have checked the other.
pub(super) fn key(headers: &HeaderMap, route: &Route) -> Result<String, Refusal> {
    let bearers = headers.get_all(header::AUTHORIZATION).iter().map(|value| {
        let text = value.to_str().unwrap_or_default();
        let (scheme, key) = text.split_once(' ').unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") { key.trim() } else { "" }
    });
    let is_messages = route.pattern.starts_with("/v1/messages");
    let others = headers.get_all("x-api-key").iter().filter(|_| is_messages);
    let mut keys = bearers.chain(others.map(|value| value.to_str().unwrap_or_default()));
    match (keys.next(), keys.next()) {
        (Some(key), None) => Ok(key.to_owned()),
        _ => Err(Refusal::invalid_key()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::super::routes::{CHAT, find};
    use super::*;

    fn read(path: &str, headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        key(&map, find(&Method::POST, path).unwrap()).ok()
    }

    #[test]
    fn there_is_one_key_or_none() {
        let chat = CHAT.pattern;
        assert_eq!(read(chat, &[("authorization", "Bearer sk-1")]).as_deref(), Some("sk-1"));
        assert_eq!(read(chat, &[("authorization", "bearer sk-1")]).as_deref(), Some("sk-1"));
        assert_eq!(read(chat, &[]), None);
        assert_eq!(read(chat, &[("authorization", "Basic sk-1")]).as_deref(), Some(""));
        assert_eq!(read(chat, &[("x-api-key", "sk-1")]), None);
        let twice = [("authorization", "Bearer sk-1"), ("authorization", "Bearer sk-2")];
        assert_eq!(read(chat, &twice), None);
        assert_eq!(read("/v1/messages", &[("x-api-key", "sk-1")]).as_deref(), Some("sk-1"));
        let both = [("x-api-key", "sk-1"), ("authorization", "Bearer sk-1")];
        assert_eq!(read("/v1/messages", &both), None);
    }
}
