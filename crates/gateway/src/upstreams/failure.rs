//! Why a channel did not answer, and what the client reads when none did.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::settings::ChannelKey;
use crate::refusal::Refusal;

/// Why one channel did not answer a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection, or none that lasted until the answer began.
    Unreachable(String),
    /// It took too long.
    TooSlow(Duration),
    /// It answered, with an error.
    Status(ErrorAnswer),
    /// It answered with something that is no answer.
    Nonsense(String),
}

/// An answer with a status that is no success.
#[derive(Debug)]
pub(super) struct ErrorAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What of it may be shown; empty when nothing may.
    pub body: Bytes,
}

impl Failure {
    /// Whether the channel is to blame, and not the request.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TooSlow(_) | Self::Nonsense(_) => true,
            Self::Status(answer) => {
                let status = answer.status;
                status.is_server_error()
                    || status.is_redirection()
                    || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            }
        }
    }

    /// Whether another channel may answer what this one did not.
    pub fn is_worth_another(&self) -> bool {
        let elsewhere =
            [StatusCode::NOT_FOUND, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        match self {
            Self::Status(answer) => self.is_fault() || elsewhere.contains(&answer.status),
            _ => true,
        }
    }

    /// For the operator.
    pub fn text(&self) -> String {
        match self {
            Self::Unreachable(what) | Self::Nonsense(what) => what.clone(),
            Self::TooSlow(time) => format!("no answer within {time:?}"),
            Self::Status(answer) => match answer.status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "it refuses the key".into(),
                status => format!("it answers with status {status}"),
            },
        }
    }

    /// For the client. Addresses and keys of channels are none of its business.
    pub fn into_response(self, path: &str) -> Response<Body> {
        let failed = |status, code, message| Refusal::new(status, "server_error", code, message);
        let refusal = match self {
            Self::TooSlow(_) => failed(
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "The server that has this model did not answer in time. Please try again.",
            ),
            Self::Status(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                return busy(&answer, path);
            }
            Self::Status(answer)
                if answer.status.is_client_error()
                    && !matches!(
                        answer.status,
                        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                    )
                    && !answer.body.is_empty() =>
            {
                return answer.into_response();
            }
            Self::Unreachable(_) | Self::Nonsense(_) | Self::Status(_) => failed(
                StatusCode::BAD_GATEWAY,
                "upstream_error",
                "The server that has this model failed. Please try again.",
            ),
        };
        refusal.into_response_for(path)
    }
}

fn busy(answer: &ErrorAnswer, path: &str) -> Response<Body> {
    let message = "The server that has this model is busy. Please try again later.";
    let code = "rate_limit_exceeded";
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "requests", code, message);
    let mut response = refusal.into_response_for(path);
    let usual = HeaderValue::from_static("1");
    let delay = answer.headers.get(RETRY_AFTER).cloned().unwrap_or(usual);
    response.headers_mut().insert(RETRY_AFTER, delay);
    response
}

impl ErrorAnswer {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

/// What of the body of an error may be shown: an object of the API, without the channel's key,
/// which some servers repeat.
pub(super) fn presentable(body: &[u8], key: &ChannelKey) -> Bytes {
    let is_error = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body)
        .is_ok_and(|object| object.contains_key("error"));
    let Ok(text) = std::str::from_utf8(body) else { return Bytes::new() };
    if !is_error {
        return Bytes::new();
    }
    match key.expose() {
        // Escapes could spell it otherwise; then nothing is shown.
        Some(key) if text.contains(key) || text.contains("\\u") => {
            let text = text.replace(key, "***");
            if text.contains("\\u") { Bytes::new() } else { Bytes::from(text) }
        }
        _ => Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::from_static(b"{\"error\":{\"message\":\"x\"}}");
        Failure::Status(ErrorAnswer { status, headers: HeaderMap::new(), body })
    }

    #[test]
    fn who_is_to_blame_and_what_the_client_reads() {
        for (code, is_fault, is_worth_another, shown) in [
            (400, false, false, 400),
            (401, true, true, 502),
            (403, true, true, 502),
            (404, false, true, 404),
            (413, false, false, 413),
            (422, false, false, 422),
            (429, false, true, 429),
            (302, true, true, 502),
            (500, true, true, 502),
            (503, true, true, 502),
        ] {
            let failure = status(code);
            assert_eq!(failure.is_fault(), is_fault, "{code}");
            assert_eq!(failure.is_worth_another(), is_worth_another, "{code}");
            assert_eq!(failure.into_response("/v1/chat/completions").status(), shown, "{code}");
        }
        let slow = Failure::TooSlow(Duration::from_secs(1));
        assert_eq!(slow.into_response("/v1/messages").status(), 504);
    }

    #[test]
    fn errors_are_shown_without_the_key() {
        let key = ChannelKey::new("sk-secret");
        let shown = presentable(b"{\"error\":{\"message\":\"wrong key sk-secret\"}}", &key);
        assert_eq!(shown, "{\"error\":{\"message\":\"wrong key ***\"}}");
        assert!(presentable(b"{\"error\":\"\\u0073k-secret\"}", &key).is_empty());
        assert!(presentable(b"<html>sk-secret</html>", &key).is_empty());
        assert!(presentable(b"{\"detail\":1}", &key).is_empty());
    }
}
