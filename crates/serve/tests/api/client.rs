//! Requests without a network, and a strict reader of event streams.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use phial_serve::{Server, ServerOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::fake;

/// A quick server with usual options.
pub fn server() -> Server {
    fake::server(Duration::ZERO, fake::engine_limits(), ServerOptions::default())
}

/// A server that takes `millis` per token.
pub fn slow_server(millis: u64) -> Server {
    let step_time = Duration::from_millis(millis);
    fake::server(step_time, fake::engine_limits(), ServerOptions::default())
}

/// A chat of one message with further fields.
pub fn chat(content: &str, more: Value) -> Value {
    let mut body = json!({
        "model": fake::MODEL,
        "messages": [{"role": "user", "content": content}],
    });
    let Value::Object(more) = more else { panic!("fields") };
    for (name, value) in more {
        body[name] = value;
    }
    body
}

/// An answer that has arrived.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}"));
        value.to_str().expect("text")
    }
}

/// Sends a request and gives the answer as it starts.
pub async fn begin(server: &Server, method: &str, path: &str, body: Vec<u8>) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .expect("a request");
    phial_serve::router(server).oneshot(request).await.expect("an answer")
}

pub async fn send(server: &Server, method: &str, path: &str, body: Vec<u8>) -> Reply {
    let response = begin(server, method, path, body).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
    Reply { status, headers, body }
}

pub async fn post(server: &Server, body: &Value) -> Reply {
    send(server, "POST", "/v1/chat/completions", body.to_string().into_bytes()).await
}

pub async fn post_to(server: &Server, path: &str, body: &Value) -> Reply {
    send(server, "POST", path, body.to_string().into_bytes()).await
}

pub async fn get(server: &Server, path: &str) -> Reply {
    send(server, "GET", path, Vec::new()).await
}

/// A streamed answer, taken apart.
pub struct Events {
    pub chunks: Vec<Value>,
    pub pings: usize,
    /// Whether `[DONE]` was the last of it.
    pub done: bool,
}

impl Events {
    pub fn parse(body: &[u8]) -> Self {
        let text = str::from_utf8(body).expect("UTF-8");
        let mut events = Self { chunks: Vec::new(), pings: 0, done: false };
        let blocks = text.strip_suffix("\n\n").expect("the last event is complete").split("\n\n");
        for block in blocks {
            assert!(!events.done, "nothing follows [DONE]");
            assert!(!block.contains('\n'), "one line per event: {block:?}");
            match block.strip_prefix("data: ") {
                Some("[DONE]") => events.done = true,
                Some(json) => events.chunks.push(serde_json::from_str(json).expect("JSON")),
                None => {
                    assert_eq!(block, ": ping");
                    events.pings += 1;
                }
            }
        }
        events
    }

    /// The text of a choice, added up.
    pub fn content(&self, index: usize) -> String {
        let pieces = self.pieces(index);
        pieces.filter_map(|piece| piece["delta"]["content"].as_str()).collect()
    }

    /// All pieces of a choice.
    pub fn pieces(&self, index: usize) -> impl Iterator<Item = &Value> {
        let choices = self.chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
        choices.filter(move |choice| choice["index"] == index)
    }
}

/// A streamed answer of named events, taken apart: their names and what they hold.
pub fn named_events(body: &[u8]) -> Vec<(String, Value)> {
    let text = str::from_utf8(body).expect("UTF-8");
    let blocks = text.strip_suffix("\n\n").expect("the last event is complete").split("\n\n");
    blocks
        .filter(|block| !block.starts_with(':'))
        .map(|block| {
            let (name, data) = block.split_once('\n').expect("two lines");
            let name = name.strip_prefix("event: ").expect("a name");
            let data = data.strip_prefix("data: ").expect("data");
            let data: Value = serde_json::from_str(data).expect("JSON");
            assert_eq!(data["type"], name);
            (name.to_owned(), data)
        })
        .collect()
}

/// Asks for a stream and reads it to its end.
pub async fn stream(server: &Server, content: &str, more: Value) -> Events {
    let mut body = chat(content, more);
    body["stream"] = true.into();
    let reply = post(server, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", String::from_utf8_lossy(&reply.body));
    assert!(reply.header("content-type").starts_with("text/event-stream"));
    assert_eq!(reply.header("cache-control"), "no-cache");
    assert_eq!(reply.header("x-accel-buffering"), "no");
    Events::parse(&reply.body)
}

/// Waits until the engine holds `count` requests.
pub async fn wait_active(server: &Server, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.engine().requests_active() != count {
        assert!(Instant::now() < deadline, "{} are active", server.engine().requests_active());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
