//! Answers in chunks.

use std::time::Duration;

use phial_serve::ServerOptions;
use serde_json::{Value, json};

use crate::client::{server, stream};
use crate::fake;

#[tokio::test]
async fn chunks_have_the_official_shape() {
    let events = stream(&server(), "Hi", json!({})).await;
    assert!(events.done);
    let pieces: Vec<&Value> = events.pieces(0).collect();
    let piece = |delta: Value, reason: Value| json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason});
    let role = json!({"role": "assistant", "content": "", "refusal": null});
    assert_eq!(
        pieces,
        [
            &piece(role, Value::Null),
            &piece(json!({"content": "H"}), Value::Null),
            &piece(json!({"content": "i"}), Value::Null),
            &piece(json!({}), json!("stop")),
        ]
    );
    for chunk in &events.chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], fake::MODEL);
        for name in ["id", "created", "system_fingerprint"] {
            assert_eq!(chunk[name], events.chunks[0][name]);
        }
        assert_eq!(chunk.get("usage"), None);
    }
}

#[tokio::test]
async fn usage_comes_last_if_asked_for() {
    let more = json!({"stream_options": {"include_usage": true, "include_obfuscation": true}});
    let events = stream(&server(), "Hi", more).await;
    let (last, others) = events.chunks.split_last().unwrap();
    assert!(others.iter().all(|chunk| chunk.get("usage") == Some(&Value::Null)));
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 5);
    assert_eq!(last["usage"]["completion_tokens"], 3);
    assert_eq!(last["usage"]["total_tokens"], 8);
    assert_eq!(last["id"], others[0]["id"]);
    assert!(events.done);
}

#[tokio::test]
async fn characters_are_never_split() {
    let events = stream(&server(), "aé🦀", json!({})).await;
    let texts: Vec<_> = events.pieces(0).filter_map(|p| p["delta"]["content"].as_str()).collect();
    assert_eq!(texts, ["", "a", "é", "🦀"]);
    assert_eq!(stream(&server(), "hex 61e282", json!({})).await.content(0), "a\u{fffd}");
}

#[tokio::test]
async fn stop_strings_are_held_back() {
    let events = stream(&server(), "oneEN twoEND", json!({"stop": ["END"]})).await;
    let texts: Vec<_> = events.pieces(0).filter_map(|p| p["delta"]["content"].as_str()).collect();
    assert_eq!(texts, ["", "o", "n", "e", "EN ", "t", "w", "o"]);
    assert_eq!(events.pieces(0).last().unwrap()["finish_reason"], "stop");
    // What looked like a stop string until the end came.
    let events = stream(&server(), "oneEN", json!({"stop": ["END"]})).await;
    assert_eq!(events.content(0), "oneEN");
}

#[tokio::test]
async fn log_probabilities_go_with_their_text() {
    let more = json!({"logprobs": true, "top_logprobs": 1, "stop": ["END"]});
    for content in ["aé END", "aENéEEND", "hex 61ff45e28245", "plain"] {
        let events = stream(&server(), content, more.clone()).await;
        let mut spoken = false;
        for piece in events.pieces(0) {
            let text = piece["delta"]["content"].as_str().unwrap_or_default();
            let Some(logprobs) = piece["logprobs"]["content"].as_array() else {
                assert_eq!(text, "");
                continue;
            };
            spoken = true;
            let bytes = logprobs.iter().flat_map(|token| token["bytes"].as_array().unwrap());
            let bytes: Vec<u8> = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
            assert_eq!(String::from_utf8_lossy(&bytes), text, "{content}");
        }
        assert!(spoken);
    }
}

#[tokio::test]
async fn choices_are_told_apart_by_index() {
    let more = json!({"n": 3, "seed": 5, "max_tokens": 12});
    let server = server();
    let events = stream(&server, "random", more.clone()).await;
    assert!(events.done);
    for index in 0..3 {
        let pieces: Vec<&Value> = events.pieces(index).collect();
        let roles = pieces.iter().filter(|piece| piece["delta"].get("role").is_some()).count();
        assert_eq!(roles, 1);
        assert_eq!(pieces[0]["delta"]["role"], "assistant");
        let ends: Vec<_> =
            pieces.iter().filter(|piece| !piece["finish_reason"].is_null()).collect();
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0]["delta"], json!({}));
        assert_eq!(ends[0]["finish_reason"], "length");
        assert_eq!(pieces.last(), Some(ends[0]));
    }
    let plain = crate::client::post(&server, &crate::client::chat("random", more)).await.json();
    for index in 0..3 {
        assert_eq!(plain["choices"][index]["message"]["content"], events.content(index));
    }
}

#[tokio::test]
async fn silence_is_filled_with_comments() {
    let options =
        ServerOptions { ping_interval: Duration::from_millis(10), ..ServerOptions::default() };
    let server = fake::server(Duration::from_millis(60), fake::engine_limits(), options);
    let events = stream(&server, "Hi", json!({})).await;
    assert!(events.pings >= 3, "{}", events.pings);
    assert_eq!(events.content(0), "Hi");
}
