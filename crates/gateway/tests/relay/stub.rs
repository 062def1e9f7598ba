//! Servers to be put behind channels, and a client before them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use futures_util::stream;
use phial_gateway::Upstream;
use phial_gateway::upstreams::{ChannelSettings, Channels};
use phial_openai::metering::{Meter, TokenCounts, UsageSink};
use serde_json::{Value, json};

/// What a stub server does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// This status, with this body and type.
    Answer(u16, &'static str, String),
    /// A stream of these pieces, so far apart; broken off after them, or ended.
    Stream(Vec<String>, Duration, Ending),
    /// Nothing, for ever.
    Silence,
    /// The connection is closed at once.
    HangUp,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Whole,
    /// The connection breaks.
    Broken,
    /// Nothing comes any more.
    Silent,
}

/// A request as a stub server got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A server on loopback that behaves as told.
#[derive(Clone)]
pub struct Stub {
    pub address: SocketAddr,
    pub behaviour: Arc<Mutex<Behaviour>>,
    pub got: Arc<Mutex<Vec<Got>>>,
    /// Pieces of streams that were made.
    pub pieces: Arc<AtomicUsize>,
    /// Streams that were dropped, at their end or before.
    pub dropped: Arc<AtomicUsize>,
}

impl Stub {
    pub async fn new(behaviour: Behaviour) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            address: listener.local_addr().unwrap(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            got: Arc::default(),
            pieces: Arc::default(),
            dropped: Arc::default(),
        };
        let served = stub.clone();
        let answer = move |request: Request<Body>| served.clone().answer(request);
        let routes = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        stub
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        self.got.lock().unwrap().push(Got {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        });
        let behaviour = self.behaviour.lock().unwrap().clone();
        match behaviour {
            Behaviour::Answer(status, content_type, text) => Response::builder()
                .status(status)
                .header("content-type", content_type)
                .header("set-cookie", "upstream=1")
                .header("x-ratelimit-remaining", "1")
                .header("location", "http://127.0.0.1/inside")
                .header("retry-after", "7")
                .body(Body::from(text))
                .unwrap(),
            Behaviour::Silence => std::future::pending().await,
            // hyper answers a panic of the handler by closing the connection.
            Behaviour::HangUp => panic!("hanging up, as told"),
            Behaviour::Stream(pieces, pause, ending) => self.stream(pieces, pause, ending),
        }
    }

    fn stream(self, pieces: Vec<String>, pause: Duration, ending: Ending) -> Response<Body> {
        let state = (pieces.into_iter(), Dropped(self.dropped.clone()), self.pieces.clone());
        let body = stream::unfold(state, move |(mut pieces, dropped, made)| async move {
            match pieces.next() {
                Some(piece) => {
                    if made.fetch_add(1, Ordering::SeqCst) > 0 && !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    Some((Ok(Bytes::from(piece)), (pieces, dropped, made)))
                }
                None => match ending {
                    Ending::Whole => None,
                    Ending::Silent => std::future::pending().await,
                    Ending::Broken => {
                        // What was written has to be on its way before the connection is closed.
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Some((Err(std::io::Error::other("broken")), (pieces, dropped, made)))
                    }
                },
            }
        });
        Response::builder()
            .header("content-type", "text/event-stream; charset=utf-8")
            .body(Body::from_stream(body))
            .unwrap()
    }

    pub fn requests(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// A channel to it for the model `phi`.
    pub fn channel(&self, id: i64) -> ChannelSettings {
        let base = format!("http://{}/v1", self.address);
        let name = format!("channel {id}");
        let mut settings = ChannelSettings::openai(id, &name, &base, vec!["phi".into()]);
        settings.health_interval = None;
        settings.context_tokens = 4096;
        settings
    }
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What a meter heard last.
#[derive(Default)]
pub struct Heard(pub Mutex<Option<TokenCounts>>);

impl UsageSink for Heard {
    fn report(&self, counts: TokenCounts) {
        let mut heard = self.0.lock().unwrap();
        *heard = Some(heard.unwrap_or_default().max(counts));
    }
}

impl Heard {
    /// Prompt, cached and completion tokens.
    pub fn counts(&self) -> Option<(u64, u64, u64)> {
        self.0.lock().unwrap().map(|c| (c.prompt_tokens, c.cached_tokens, c.completion_tokens))
    }
}

pub fn channels(settings: Vec<ChannelSettings>) -> Arc<Channels> {
    let channels = Channels::new(None);
    channels.replace(settings).unwrap();
    Arc::new(channels)
}

pub fn request(route: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri(route)
        .header("content-type", "application/json")
        .header("authorization", "Bearer sk-client")
        .header("cookie", "phial=secret")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// Asks, and waits until the answer begins.
pub async fn ask(channels: &Channels, route: &str, body: &Value) -> (Response<Body>, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let meter = Meter::new(heard.clone());
    (channels.call(request(route, body), meter).await, heard)
}

/// Asks, and reads the answer to its end.
pub async fn ask_all(
    channels: &Channels,
    route: &str,
    body: &Value,
) -> (StatusCode, String, Arc<Heard>) {
    let (response, heard) = ask(channels, route, body).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), heard)
}

pub const CHAT: &str = "/v1/chat/completions";

pub fn chat(stream: bool) -> Value {
    json!({"model": "phi", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 64,
        "stream": stream})
}

/// A whole answer with usage.
pub fn completion(model: &str) -> Behaviour {
    let body = json!({"id": "1", "object": "chat.completion", "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"},
            "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4}}});
    Behaviour::Answer(200, "application/json", body.to_string())
}

pub fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A chunk with text, as a server sends it that was asked for the usage.
pub fn chunk(model: &str, text: &str) -> String {
    event(&json!({"id": "1", "object": "chat.completion.chunk", "model": model,
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
        "usage": null}))
}

pub fn usage_chunk(model: &str, prompt: u64, completion: u64) -> String {
    event(&json!({"id": "1", "object": "chat.completion.chunk", "model": model, "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion,
            "total_tokens": prompt + completion}}))
}

pub fn error_body(message: &str) -> String {
    json!({"error": {"message": message, "type": "x", "param": null, "code": null}}).to_string()
}
