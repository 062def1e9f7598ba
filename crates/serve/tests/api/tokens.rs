//! Text to tokens and back, and chats to prompts.

use axum::http::StatusCode;
use serde_json::json;

use crate::client::{post_to, server};
use crate::fake;

#[tokio::test]
async fn text_becomes_tokens_and_text_again() {
    let server = server();
    for field in ["prompt", "content"] {
        let reply = post_to(&server, "/tokenize", &json!({field: "Hi\u{e4}<|end|>"})).await;
        assert_eq!(reply.status, StatusCode::OK);
        let answer = reply.json();
        assert_eq!(answer["tokens"], json!([72, 105, 0xc3, 0xa4, fake::END]));
        assert_eq!((&answer["count"], &answer["max_model_len"]), (&json!(5), &json!(512)));
        assert!(answer.get("token_strs").is_none());
        let tokens = json!({"tokens": answer["tokens"]});
        let text = post_to(&server, "/detokenize", &tokens).await.json();
        assert_eq!(text, json!({"prompt": "Hi\u{e4}<|end|>", "content": "Hi\u{e4}<|end|>"}));
    }
    let asked = json!({"prompt": "a<|end|>", "parse_special": false, "return_token_strs": true});
    let answer = post_to(&server, "/tokenize", &asked).await.json();
    assert_eq!(answer["token_strs"], json!(["a", "<", "|", "e", "n", "d", "|", ">"]));
    assert_eq!(answer["count"], 8);
}

#[tokio::test]
async fn chats_are_shown_as_the_model_reads_them() {
    let server = server();
    let body = json!({"messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "<|end|>"},
    ]});
    let prompt = post_to(&server, "/apply-template", &body).await.json();
    let shown = "<|system|>Be brief.<|end|><|user|><|end|><|end|><|assistant|>";
    assert_eq!(prompt, json!({"prompt": shown}));
    let answer = post_to(&server, "/tokenize", &body).await.json();
    // What a user writes is text, also where it spells a control token.
    assert_eq!(answer["count"], 1 + 9 + 1 + 1 + 7 + 1 + 1);
}

#[tokio::test]
async fn mistakes_are_named() {
    let server = server();
    let cases = [
        ("/tokenize", json!({}), "missing_required_parameter", "prompt"),
        ("/tokenize", json!({"prompt": 5}), "invalid_type", "prompt"),
        ("/tokenize", json!({"prompt": "a", "trim": true}), "unknown_parameter", "trim"),
        (
            "/tokenize",
            json!({"prompt": "a", "with_pieces": true}),
            "unsupported_parameter",
            "with_pieces",
        ),
        ("/tokenize", json!({"messages": []}), "invalid_value", "messages"),
        ("/detokenize", json!({}), "missing_required_parameter", "tokens"),
        ("/detokenize", json!({"tokens": [1, -1]}), "invalid_value", "tokens[1]"),
        ("/detokenize", json!({"tokens": [1, 1_u64 << 40]}), "invalid_value", "tokens[1]"),
        ("/detokenize", json!({"tokens": [263]}), "invalid_value", "tokens[0]"),
        ("/detokenize", json!({"tokens": ["a"]}), "invalid_type", "tokens[0]"),
        ("/apply-template", json!({}), "missing_required_parameter", "messages"),
    ];
    for (path, body, code, param) in cases {
        let reply = post_to(&server, path, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}");
        let error = &reply.json()["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
    }
}
