//! Texts as vectors.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{post_to, server};
use crate::fake::{self, MODEL};

const PATH: &str = "/v1/embeddings";

/// The vector of tokens whose ids have this mean.
fn vector(mean: f64) -> [f64; 2] {
    let length = mean.hypot(1.0);
    [mean / length, 1.0 / length]
}

fn check(value: &Value, expected: [f64; 2]) {
    let values: Vec<f64> = value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    assert_eq!(values.len(), 2);
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{values:?}");
    }
}

#[tokio::test]
async fn vectors_are_means_of_length_one() {
    let server = server();
    // More inputs than the queue has room for.
    let inputs: Vec<String> = (0..40).map(|index| "ab".repeat(index + 1)).collect();
    let body = json!({"model": MODEL, "input": inputs});
    let reply = post_to(&server, PATH, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    let answer = reply.json();
    assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!(MODEL)));
    assert_eq!(answer["data"].as_array().unwrap().len(), 40);
    for (index, entry) in answer["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&entry["object"], &entry["index"]), (&json!("embedding"), &json!(index)));
        check(&entry["embedding"], vector(97.5));
    }
    let tokens = 2 * (1..=40).sum::<usize>();
    assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
}

#[tokio::test]
async fn base64_holds_the_same_numbers() {
    let server = server();
    let body = json!({"model": MODEL, "input": [0, 2], "encoding_format": "base64"});
    let answer = post_to(&server, PATH, &body).await.json();
    // 1/sqrt(2) twice, as 32-bit numbers with the least significant byte first.
    assert_eq!(answer["data"][0]["embedding"], "8wQ1P/MENT8=");
    let body = json!({"model": MODEL, "input": [[0, 2], [3]], "encoding_format": "float"});
    let answer = post_to(&server, PATH, &body).await.json();
    check(&answer["data"][0]["embedding"], vector(1.0));
    check(&answer["data"][1]["embedding"], vector(3.0));
}

#[tokio::test]
async fn mistakes_are_named() {
    let server = server();
    let cases = [
        (json!({}), "missing_required_parameter", "input"),
        (json!({"input": []}), "invalid_value", "input"),
        (json!({"input": ["a", ""]}), "invalid_value", "input[1]"),
        (json!({"input": "a", "dimensions": 2}), "unsupported_parameter", "dimensions"),
        (json!({"input": "a", "encoding_format": "hex"}), "invalid_value", "encoding_format"),
        (json!({"input": "a", "truncate": true}), "unknown_parameter", "truncate"),
        (json!({"input": "x".repeat(fake::CONTEXT + 1)}), "context_length_exceeded", "input"),
    ];
    for (mut body, code, param) in cases {
        body["model"] = MODEL.into();
        let reply = post_to(&server, PATH, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let error = &reply.json()["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
    }
    // A text that fills the context is read to its end.
    let body = json!({"model": MODEL, "input": "x".repeat(fake::CONTEXT)});
    assert_eq!(post_to(&server, PATH, &body).await.status, StatusCode::OK);
}
