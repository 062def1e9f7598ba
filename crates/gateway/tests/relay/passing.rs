//! What goes on, and what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use phial_gateway::Upstream;
use phial_gateway::upstreams::ChannelKey;
use phial_openai::metering::Meter;
use serde_json::{Value, json};

use crate::stub::*;

#[tokio::test]
async fn an_answer_comes_back_under_the_name_that_was_asked_for() {
    let stub = Stub::new(completion("microsoft/Phi-4-mini")).await;
    let mut settings = stub.channel(1);
    settings.key = ChannelKey::new("sk-upstream");
    settings.model_mapping =
        BTreeMap::from([("phi".to_owned(), "microsoft/Phi-4-mini".to_owned())]);
    let channels = channels(vec![settings]);
    assert_eq!(channels.models(), ["phi"]);
    let (response, heard) = ask(&channels, CHAT, &chat(false)).await;
    let mut names: Vec<_> = response.headers().keys().map(ToString::to_string).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "retry-after"], "nothing of the upstream's account");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["model"], "phi");
    assert_eq!(body["choices"][0]["message"]["content"], "hello");
    assert_eq!(heard.counts(), Some((9, 4, 3)));

    let got = stub.got.lock().unwrap()[0].clone();
    assert_eq!(got.path, CHAT);
    assert_eq!(got.body["model"], "microsoft/Phi-4-mini");
    assert_eq!(got.body["max_tokens"], 64);
    assert_eq!(got.headers["authorization"], "Bearer sk-upstream");
    assert!(!got.headers.contains_key("cookie"));
    assert!(!format!("{got:?}").contains("sk-client"));
}

#[tokio::test]
async fn the_usage_is_asked_for_and_taken_out_again() {
    let pieces = vec![
        ": ping\n\n".to_owned(),
        chunk("big", "he"),
        // Pieces of the network are no events.
        chunk("big", "llo")[..20].to_owned(),
        chunk("big", "llo")[20..].to_owned() + &usage_chunk("big", 9, 2),
        "data: [DONE]\n\n".to_owned(),
    ];
    let stub = Stub::new(Behaviour::Stream(pieces, Duration::ZERO, Ending::Whole)).await;
    let mut settings = stub.channel(1);
    settings.model_mapping = BTreeMap::from([("phi".to_owned(), "big".to_owned())]);
    let channels = channels(vec![settings]);
    let (status, body, heard) = ask_all(&channels, CHAT, &chat(true)).await;
    assert_eq!(status, 200);
    assert!(!body.contains("usage") && !body.contains("big"), "{body}");
    assert!(body.starts_with(": ping\n\n") && body.ends_with("data: [DONE]\n\n"), "{body}");
    assert_eq!(body.matches("\"model\":\"phi\"").count(), 2);
    assert_eq!(heard.counts(), Some((9, 0, 2)));
    assert_eq!(stub.got.lock().unwrap()[0].body["stream_options"], json!({"include_usage": true}));

    let mut wanted = chat(true);
    wanted["stream_options"] = json!({"include_usage": true});
    let (_, body, heard) = ask_all(&channels, CHAT, &wanted).await;
    assert!(body.contains("\"prompt_tokens\":9"), "{body}");
    assert_eq!(heard.counts(), Some((9, 0, 2)));
}

#[tokio::test]
async fn a_stream_that_needs_no_change_is_the_same_bytes() {
    let pieces = vec![chunk("phi", "he"), usage_chunk("phi", 9, 2), "data: [DONE]\n\n".to_owned()];
    let stub = Stub::new(Behaviour::Stream(pieces.clone(), Duration::ZERO, Ending::Whole)).await;
    let mut wanted = chat(true);
    wanted["stream_options"] = json!({"include_usage": true});
    let (_, body, _) = ask_all(&channels(vec![stub.channel(1)]), CHAT, &wanted).await;
    assert_eq!(body, pieces.concat());
    assert_eq!(stub.got.lock().unwrap()[0].body, wanted);
}

#[tokio::test]
async fn pieces_go_on_as_they_come() {
    let pieces = vec![chunk("phi", "a"), chunk("phi", "b")];
    let pause = Duration::from_secs(30);
    let stub = Stub::new(Behaviour::Stream(pieces, pause, Ending::Whole)).await;
    let started = Instant::now();
    let (response, _) = ask(&channels(vec![stub.channel(1)]), CHAT, &chat(true)).await;
    let mut body = response.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("\"a\""));
    assert!(started.elapsed() < pause / 3, "the first piece waited for the second");
}

#[tokio::test]
async fn a_client_that_goes_away_stops_the_upstream() {
    let pieces = (0..10_000).map(|_| chunk("phi", "word ")).collect();
    let pause = Duration::from_millis(5);
    let stub = Stub::new(Behaviour::Stream(pieces, pause, Ending::Whole)).await;
    let channels = channels(vec![stub.channel(1)]);
    let (response, heard) = ask(&channels, CHAT, &chat(true)).await;
    let mut body = response.into_body().into_data_stream();
    let mut seen = 0;
    while seen < 5 {
        seen += String::from_utf8_lossy(&body.next().await.unwrap().unwrap())
            .matches("word ")
            .count() as u64;
    }
    drop(body);
    let deadline = Instant::now() + Duration::from_secs(10);
    while stub.dropped.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "the upstream goes on for nobody");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Nothing told the usage: each byte of the text that came counts as a token.
    let (prompt, _, completion) = heard.counts().unwrap();
    assert_eq!(completion, (seen * 5).min(64));
    assert_eq!(prompt, chat(true).to_string().len() as u64 + 256);
}

#[tokio::test]
async fn a_slow_client_slows_the_upstream() {
    let pieces: Vec<_> = (0..4000).map(|_| chunk("phi", &"x".repeat(10_000))).collect();
    let count = pieces.len();
    let stub = Stub::new(Behaviour::Stream(pieces, Duration::ZERO, Ending::Whole)).await;
    let (response, _) = ask(&channels(vec![stub.channel(1)]), CHAT, &chat(true)).await;
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let made = stub.pieces.load(Ordering::SeqCst);
    // What buffers of the system hold is a few megabytes; the whole stream has 40.
    assert!(made < count / 2, "{made} of {count} pieces were taken for a client that reads none");
}

#[tokio::test]
async fn what_rests_on_a_servers_memory_does_not_go_where_all_users_are_one() {
    let stub = Stub::new(completion("phi")).await;
    let channels = channels(vec![stub.channel(1)]);
    for field in ["previous_response_id", "conversation", "background"] {
        let body = json!({"model": "phi", "input": "hi", field: "resp_1"});
        let (status, text, heard) = ask_all(&channels, "/v1/responses", &body).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(field), "{text}");
        assert_eq!(heard.counts(), None);
    }
    let kept = json!({"model": "phi", "input": "hi", "store": true});
    assert_eq!(ask_all(&channels, "/v1/responses", &kept).await.0, 400);
    assert_eq!(stub.requests(), 0);
    let body = json!({"model": "phi", "input": "hi"});
    assert_eq!(ask_all(&channels, "/v1/responses", &body).await.0, 200);
    assert_eq!(stub.got.lock().unwrap()[0].body["store"], false);
}

#[tokio::test]
async fn only_routes_and_models_that_are_there_are_answered() {
    let stub = Stub::new(completion("phi")).await;
    let channels = channels(vec![stub.channel(1)]);
    for route in ["/v1/files", "/v1/batches", "/v1/chat/completions/", "/v1/../admin", "/v1"] {
        let (status, text, _) = ask_all(&channels, route, &chat(false)).await;
        assert_eq!(status, 404, "{route}: {text}");
    }
    let (status, text, _) = ask_all(&channels, CHAT, &json!({"model": "psi"})).await;
    assert_eq!(status, 404);
    assert!(text.contains("model_not_found"), "{text}");
    let (status, ..) = ask_all(&channels, CHAT, &json!({"messages": []})).await;
    assert_eq!(status, 400);
    assert_eq!(stub.requests(), 0);
}

#[tokio::test]
async fn channels_are_replaced_while_requests_run() {
    let pieces = vec![chunk("phi", "a"), chunk("phi", "b"), "data: [DONE]\n\n".to_owned()];
    let pause = Duration::from_millis(100);
    let old = Stub::new(Behaviour::Stream(pieces, pause, Ending::Whole)).await;
    let new = Stub::new(completion("phi")).await;
    let channels = channels(vec![old.channel(1)]);
    let (response, _) = ask(&channels, CHAT, &chat(true)).await;
    channels.replace(vec![new.channel(2)]).unwrap();
    assert_eq!(ask_all(&channels, CHAT, &chat(false)).await.0, 200);
    assert_eq!(new.requests(), 1);
    let rest = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).ends_with("[DONE]\n\n"));
    let twice = channels.replace(vec![new.channel(2), new.channel(2)]);
    assert!(twice.unwrap_err().to_string().contains('2'));
    assert_eq!(ask_all(&channels, CHAT, &chat(false)).await.0, 200, "the old ones stay");
}

#[tokio::test]
async fn a_channel_can_be_looked_at() {
    let models = Behaviour::Answer(200, "application/json", json!({"data": []}).to_string());
    let stub = Stub::new(models).await;
    let channels = channels(vec![stub.channel(1)]);
    let health = channels.test(1).await.unwrap();
    assert_eq!((health.state.name(), health.last_error.as_str()), ("up", ""));
    assert_eq!(stub.got.lock().unwrap()[0].path, "/v1/models");
    *stub.behaviour.lock().unwrap() = Behaviour::Answer(401, "text/plain", String::new());
    channels.test(1).await;
    let health = channels.test(1).await.unwrap();
    assert_eq!((health.state.name(), health.last_error.as_str()), ("down", "it refuses the key"));
    assert!(channels.test(9).await.is_none());
}

#[tokio::test]
async fn what_is_reserved_bounds_what_can_be_used() {
    let stub = Stub::new(completion("phi")).await;
    let channels = channels(vec![stub.channel(1)]);
    let measure = async |body: Value| {
        let body = body.to_string().into();
        channels.measure(CHAT, &body).await.unwrap().unwrap()
    };
    let mut body = chat(false);
    body["n"] = json!(2);
    let demand = measure(body.clone()).await;
    assert_eq!(demand.completion_tokens_max, 128);
    assert_eq!(demand.prompt_tokens, body.to_string().len() as u64 + 256);
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.org/x.png"}});
    body["messages"][0]["content"] = json!([image]);
    assert_eq!(measure(body).await.prompt_tokens, 4096, "an image may fill the context");
    assert_eq!(stub.requests(), 0, "nothing is asked to measure");
}

#[tokio::test]
async fn models_of_all_channels_are_listed() {
    let stub = Stub::new(completion("phi")).await;
    let mut settings = vec![stub.channel(1), stub.channel(2), stub.channel(3)];
    settings[1].models = vec!["phi".into(), "owner/large".into()];
    settings[2].models = vec!["off".into()];
    settings[2].enabled = false;
    let channels = channels(settings);
    let get = async |path: &str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let answer = channels.call(request, Meter::new(Arc::new(Heard::default()))).await;
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let (_, list) = get("/v1/models").await;
    let names: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(names, ["phi", "owner/large"]);
    assert_eq!(get("/v1/models/owner/large").await.1["max_model_len"], 4096);
    assert_eq!(get("/v1/models/off").await.0, 404);
    assert_eq!(stub.requests(), 0);
}
