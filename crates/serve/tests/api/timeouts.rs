//! Requests that take too long.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use http_body_util::BodyExt;
use phial_serve::{Limits, Server, ServerOptions};
use serde_json::{Value, json};

use crate::client::{Events, begin, chat, get, named_events, post, post_to, wait_active};
use crate::fake;

const STEP: Duration = Duration::from_millis(5);

/// A server that works on one request at a time, within these times.
fn server(request: Option<u64>, queue: Option<u64>) -> Server {
    let limits = Limits {
        request_time_max: request.map(Duration::from_millis),
        queue_time_max: queue.map(Duration::from_millis),
        ..Limits::default()
    };
    let engine = phial_engine::Limits { running_max: 1, ..fake::engine_limits() };
    fake::server(STEP, engine, ServerOptions { limits, ..ServerOptions::default() })
}

fn forever(more: Value) -> Value {
    chat("forever", more)
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_408_and_not_worth_another_try() {
    let server = server(Some(100), None);
    let started = Instant::now();
    let reply = post(&server, &forever(json!({}))).await;
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(reply.json()["error"]["code"], "request_timeout");
    assert_eq!(reply.json()["error"]["type"], "server_error");
    // Clients try again after 408 unless they are told not to.
    assert_eq!(reply.header("x-should-retry"), "false");
    wait_active(&server, 0).await;
    // What is quick enough is answered as ever.
    assert_eq!(post(&server, &chat("Hi", json!({}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_dialect_has_its_own_words_for_it() {
    let server = server(Some(50), None);
    let messages = json!({
        "model": fake::MODEL, "max_tokens": 500,
        "messages": [{"role": "user", "content": "forever"}],
    });
    let reply = post_to(&server, "/v1/messages", &messages).await;
    assert_eq!(reply.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(reply.json()["error"]["type"], "timeout_error");
    let responses = json!({"model": fake::MODEL, "input": "forever", "stream": true});
    let reply = post_to(&server, "/v1/responses", &responses).await;
    let (name, event) = named_events(&reply.body).pop().expect("events");
    assert_eq!(name, "response.failed");
    assert!(event["response"]["error"]["message"].as_str().unwrap().contains("took longer"));
    wait_active(&server, 0).await;
}

#[tokio::test]
async fn a_stream_that_takes_too_long_ends_with_an_error() {
    let server = server(Some(100), None);
    let reply = post(&server, &forever(json!({"stream": true}))).await;
    assert_eq!(reply.status, StatusCode::OK);
    let events = Events::parse(&reply.body);
    assert!(!events.done && events.content(0).contains('x'), "{:?}", events.chunks);
    assert_eq!(events.chunks.last().unwrap()["error"]["code"], "request_timeout");
    wait_active(&server, 0).await;
}

#[tokio::test]
async fn who_waits_too_long_is_asked_to_come_again_and_nobody_else_notices() {
    let server = server(None, Some(60));
    let body = forever(json!({"stream": true})).to_string().into_bytes();
    let running = begin(&server, "POST", "/v1/chat/completions", body).await;
    wait_active(&server, 1).await;
    let reply = post(&server, &chat("Hi", json!({}))).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json()["error"]["code"], "queue_timeout");
    assert_eq!(reply.header("retry-after"), "5");
    assert_eq!(reply.header("retry-after-ms"), "5000");
    assert!(!reply.headers.contains_key("x-should-retry"));
    let reply = post(&server, &chat("Hi", json!({"stream": true}))).await;
    assert_eq!(Events::parse(&reply.body).chunks.last().unwrap()["error"]["code"], "queue_timeout");
    // The one that runs goes on for longer than anybody may wait.
    wait_active(&server, 1).await;
    let mut body = running.into_body();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(200) {
        body.frame().await.expect("it goes on").expect("data");
    }
    drop(body);
    wait_active(&server, 0).await;
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    assert!(text.contains("vllm:num_requests_waiting{model_name=\"fake/echo\"} 0"), "{text}");
}

#[tokio::test]
async fn a_request_whose_time_ends_in_the_queue_may_come_again() {
    let server = server(Some(60), None);
    let body = forever(json!({}));
    let (first, second) = tokio::join!(post(&server, &body), post(&server, &body));
    let mut statuses = [first.status, second.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE]);
}
