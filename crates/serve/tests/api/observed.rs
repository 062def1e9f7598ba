//! What observers hear of requests.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use phial_serve::{FinishedRequest, Observer, Outcome, Server, ServerOptions};
use serde_json::json;
use tower::ServiceExt;

use crate::client::{begin, chat, get, post, post_to, wait_active};
use crate::fake;

#[derive(Debug, Default)]
struct Notes {
    content: bool,
    heard: Mutex<Vec<FinishedRequest>>,
}

impl Observer for Notes {
    fn wants_content(&self) -> bool {
        self.content
    }

    fn finished(&self, request: &FinishedRequest) {
        self.heard.lock().unwrap().push(request.clone());
    }
}

impl Notes {
    async fn next(&self) -> FinishedRequest {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(request) = self.heard.lock().unwrap().pop() {
                return request;
            }
            assert!(Instant::now() < deadline, "nothing was heard");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn observed(content: bool, step_time: Duration) -> (Server, Arc<Notes>) {
    let notes = Arc::new(Notes { content, ..Notes::default() });
    let observer: Arc<dyn Observer> = notes.clone();
    let options = ServerOptions { observer: Some(observer), ..ServerOptions::default() };
    (fake::server(step_time, fake::engine_limits(), options), notes)
}

#[tokio::test]
async fn a_request_is_told_of_once_it_is_over() {
    let (server, notes) = observed(false, Duration::ZERO);
    let more = json!({"seed": 4, "temperature": 0.5, "max_tokens": 9, "n": 2});
    let reply = post(&server, &chat("Hi", more)).await;
    let heard = notes.next().await;
    assert_eq!(heard.id, reply.header("x-request-id"));
    assert_eq!((heard.method.as_str(), heard.route.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((heard.status, heard.outcome), (Some(200), Outcome::Complete));
    assert_eq!(heard.error, None);
    let generation = heard.generation.expect("something was generated");
    assert_eq!(generation.model, fake::MODEL);
    assert_eq!(generation.answer, reply.json()["id"]);
    assert_eq!((generation.prompt_tokens, generation.generated_tokens), (5, 6));
    assert_eq!((generation.choices, generation.tokens_max), (2, Some(9)));
    assert_eq!((generation.seed, generation.temperature), (Some(4), Some(0.5)));
    assert_eq!(generation.finish_reasons, ["stop", "stop"]);
    assert!(generation.first_token.is_some_and(|time| time <= heard.took));
    assert!(!generation.streamed);
    // What was said is nobody's business.
    assert_eq!(generation.content, None);

    let body = json!({"model": fake::MODEL, "input": ["abc", "defgh"]});
    post_to(&server, "/v1/embeddings", &body).await;
    let generation = notes.next().await.generation.expect("something was read");
    assert_eq!((generation.prompt_tokens, generation.generated_tokens), (8, 0));

    get(&server, "/v1/models/a/b").await;
    let heard = notes.next().await;
    assert_eq!(heard.route, "/v1/models/{*id}");
    assert_eq!((heard.status, heard.error), (Some(404), Some("model_not_found")));
    assert_eq!(heard.generation, None);
}

#[tokio::test]
async fn streams_are_over_when_their_last_byte_is_sent() {
    let (server, notes) = observed(false, Duration::from_millis(5));
    let ask = chat("Hello", json!({"stream": true})).to_string().into_bytes();
    let mut body = begin(&server, "POST", "/v1/chat/completions", ask.clone()).await.into_body();
    body.frame().await.expect("a frame").expect("data");
    assert!(notes.heard.lock().unwrap().is_empty());
    body.collect().await.expect("the rest");
    let heard = notes.next().await;
    assert_eq!(heard.outcome, Outcome::Complete);
    let generation = heard.generation.expect("something was generated");
    assert!(generation.streamed && generation.generated_tokens == 6);

    // A client that leaves.
    let mut body = begin(&server, "POST", "/v1/chat/completions", ask).await.into_body();
    body.frame().await.expect("a frame").expect("data");
    drop(body);
    let heard = notes.next().await;
    assert_eq!((heard.status, heard.outcome), (Some(200), Outcome::Disconnected));
    wait_active(&server, 0).await;
}

#[tokio::test]
async fn what_was_said_is_told_to_those_who_ask() {
    let (server, notes) = observed(true, Duration::ZERO);
    post(&server, &chat("Hi there", json!({}))).await;
    let content = notes.next().await.generation.and_then(|generation| generation.content).unwrap();
    assert_eq!(content.input, [("user".to_owned(), "Hi there".to_owned())]);
    assert_eq!(content.output, ["Hi there"]);
    let body = json!({"model": fake::MODEL, "prompt": "xy", "max_tokens": 5});
    post_to(&server, "/v1/completions", &body).await;
    let content = notes.next().await.generation.and_then(|generation| generation.content).unwrap();
    assert_eq!(content.input, [("user".to_owned(), "xy".to_owned())]);
    assert_eq!(content.output, ["z"]);
}

#[tokio::test]
async fn the_context_of_a_trace_is_passed_on() {
    let (server, notes) = observed(false, Duration::ZERO);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = Request::get("/health")
        .header("traceparent", parent)
        .header("tracestate", "a=b")
        .header("host", "example:8080")
        .body(Body::empty())
        .expect("a request");
    phial_serve::router(&server).oneshot(request).await.expect("an answer");
    let heard = notes.next().await;
    assert_eq!(heard.traceparent.as_deref(), Some(parent));
    assert_eq!(heard.tracestate.as_deref(), Some("a=b"));
    assert_eq!(heard.host.as_deref(), Some("example:8080"));
}
