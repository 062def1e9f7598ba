//! What is refused, and how.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use phial_serve::{Cors, Limits, Server, ServerOptions};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::client::{Reply, begin, chat, post, send, server, wait_active};
use crate::fake;

/// Checks the shape that all errors share, and gives code, param and message.
fn error(reply: &Reply) -> (String, Value, String) {
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    let error = body["error"].as_object().unwrap();
    let names: Vec<_> = error.keys().map(String::as_str).collect();
    assert_eq!(names, ["message", "type", "param", "code"]);
    assert!(error["type"].is_string());
    assert!(reply.header("x-request-id").starts_with("req_"));
    assert_eq!(reply.header("content-type"), "application/json");
    let code = error["code"].as_str().expect("a code").to_owned();
    (code, error["param"].clone(), error["message"].as_str().unwrap().to_owned())
}

async fn check(server: &Server, body: &Value, code: &str, param: &str) {
    let reply = post(server, body).await;
    let shown = body.to_string();
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
    let (is_code, is_param, message) = error(&reply);
    assert_eq!((is_code.as_str(), &is_param), (code, &json!(param)), "{shown}: {message}");
    assert!(message.contains(param), "{message} names {param}");
}

#[tokio::test]
async fn fields_out_of_their_range_are_named() {
    let server = server();
    let cases = [
        (json!({"temperature": 2.1}), "invalid_value", "temperature"),
        (json!({"temperature": -1}), "invalid_value", "temperature"),
        (json!({"temperature": "warm"}), "invalid_type", "temperature"),
        (json!({"top_p": 1.01}), "invalid_value", "top_p"),
        (json!({"top_k": -2}), "invalid_value", "top_k"),
        (json!({"top_k": 1.5}), "invalid_type", "top_k"),
        (json!({"min_p": 2}), "invalid_value", "min_p"),
        (json!({"repetition_penalty": 0}), "invalid_value", "repetition_penalty"),
        (json!({"presence_penalty": 2.5}), "invalid_value", "presence_penalty"),
        (json!({"frequency_penalty": -2.5}), "invalid_value", "frequency_penalty"),
        (json!({"max_tokens": 0}), "invalid_value", "max_tokens"),
        (json!({"max_tokens": -5}), "invalid_value", "max_tokens"),
        (json!({"max_completion_tokens": "5"}), "invalid_type", "max_completion_tokens"),
        (json!({"max_tokens": 4, "max_completion_tokens": 5}), "invalid_value", "max_tokens"),
        (json!({"n": 0}), "invalid_value", "n"),
        (json!({"n": 129}), "invalid_value", "n"),
        (json!({"n": 9}), "invalid_value", "n"),
        (json!({"seed": 1.5}), "invalid_type", "seed"),
        (json!({"seed": u64::MAX}), "invalid_value", "seed"),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), "invalid_value", "stop"),
        (json!({"stop": [""]}), "invalid_value", "stop"),
        (json!({"stop": ["a", 1]}), "invalid_type", "stop[1]"),
        (json!({"stop": 5}), "invalid_type", "stop"),
        (json!({"stop": "s".repeat(300)}), "invalid_value", "stop"),
        (json!({"logit_bias": {"72": 101}}), "invalid_value", "logit_bias.72"),
        (json!({"logit_bias": {"H": 1}}), "invalid_value", "logit_bias"),
        (json!({"logit_bias": {"100000": 1}}), "invalid_value", "logit_bias"),
        (json!({"logit_bias": [1]}), "invalid_type", "logit_bias"),
        (json!({"logprobs": 5}), "invalid_type", "logprobs"),
        (json!({"top_logprobs": 2}), "invalid_value", "top_logprobs"),
        (json!({"logprobs": true, "top_logprobs": 21}), "invalid_value", "top_logprobs"),
        (json!({"stream": "yes"}), "invalid_type", "stream"),
        (json!({"stream_options": {"include_usage": true}}), "invalid_value", "stream_options"),
        (json!({"user": 5}), "invalid_type", "user"),
        (json!({"metadata": {"a": 1}}), "invalid_type", "metadata.a"),
        (json!({"ignore_eos": 1}), "invalid_type", "ignore_eos"),
    ];
    for (more, code, param) in cases {
        check(&server, &chat("Hi", more), code, param).await;
    }
}

#[tokio::test]
async fn what_is_not_offered_is_refused() {
    let server = server();
    let cases = [
        (json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}), "tools[0].type"),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (json!({"function_call": "auto"}), "function_call"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"audio": {"voice": "v"}}), "audio"),
        (json!({"reasoning_effort": "low"}), "reasoning_effort"),
        (json!({"verbosity": "low"}), "verbosity"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (json!({"store": true}), "store"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"grammar": "root ::= \"a\""}), "grammar"),
        (
            json!({"structured_outputs": {"structural_tag": "t"}}),
            "structured_outputs.structural_tag",
        ),
        (json!({"prompt_cache_retention": "24h"}), "prompt_cache_retention"),
        (json!({"prompt_cache_options": {"mode": "explicit"}}), "prompt_cache_options"),
        (json!({"min_tokens": 5}), "min_tokens"),
        (
            json!({"stream": true, "stream_options": {"continuous_usage_stats": true}}),
            "stream_options.continuous_usage_stats",
        ),
    ];
    for (more, param) in cases {
        check(&server, &chat("Hi", more), "unsupported_parameter", param).await;
    }
}

#[tokio::test]
async fn what_is_not_known_is_refused() {
    let server = server();
    let tool = |more: Value| {
        let mut tool = json!({"type": "function", "function": {"name": "f"}});
        tool["function"]["note"] = more;
        json!({"tools": [tool]})
    };
    let messages = |message: Value| json!({ "messages": [message] });
    for (more, param) in [
        (json!({"no_such_field": {"x": 1}}), "no_such_field"),
        (json!({"stream": true, "stream_options": {"usage": true}}), "stream_options.usage"),
        (tool(json!("x")), "tools[0].function.note"),
        (messages(json!({"role": "user", "content": "Hi", "mood": "bad"})), "messages[0].mood"),
        (
            messages(json!({"role": "user", "content": [{"type": "text", "text": "a", "b": 1}]})),
            "messages[0].content[0].b",
        ),
    ] {
        check(&server, &chat("Hi", more), "unknown_parameter", param).await;
    }
}

#[tokio::test]
async fn calls_and_results_that_cannot_be_read_are_named() {
    let server = server();
    let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}});
    let cases = [
        (
            json!([{"role": "tool", "content": "Hi"}]),
            "missing_required_parameter",
            "messages[0].tool_call_id",
        ),
        (
            json!([{"role": "tool", "content": "Hi", "tool_call_id": "1"}]),
            "invalid_value",
            "messages[0].role",
        ),
        (
            json!([
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "content": "Hi", "tool_call_id": "2"},
            ]),
            "invalid_value",
            "messages[1].tool_call_id",
        ),
        (
            json!([{"role": "function", "name": "f", "content": "Hi"}]),
            "unsupported_parameter",
            "messages[0].role",
        ),
        (
            json!([{"role": "user", "content": "Hi", "tool_calls": [call]}]),
            "invalid_value",
            "messages[0].tool_calls",
        ),
        (
            json!([{"role": "assistant", "tool_calls": [{"id": "1"}]}]),
            "missing_required_parameter",
            "messages[0].tool_calls[0].function",
        ),
        (
            json!([{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]),
            "unsupported_parameter",
            "messages[0].function_call",
        ),
    ];
    for (messages, code, param) in cases {
        check(&server, &json!({"model": fake::MODEL, "messages": messages}), code, param).await;
    }
}

#[tokio::test]
async fn tools_that_cannot_be_read_are_named() {
    let server = server();
    let tool = |function: Value| json!({"tools": [{"type": "function", "function": function}]});
    let with = |choice: Value| {
        let mut body = tool(json!({"name": "f"}));
        body["tool_choice"] = choice;
        body
    };
    let two = json!({"type": "function", "function": {"name": "f"}});
    let many: Vec<Value> = (0..129)
        .map(|index| json!({"type": "function", "function": {"name": format!("f{index}")}}))
        .collect();
    let cases = [
        (json!({"tools": {}}), "invalid_type", "tools"),
        (json!({"tools": ["f"]}), "invalid_type", "tools[0]"),
        (json!({"tools": [{}]}), "missing_required_parameter", "tools[0].type"),
        (json!({"tools": [{"type": "x"}]}), "invalid_value", "tools[0].type"),
        (
            json!({"tools": [{"type": "function"}]}),
            "missing_required_parameter",
            "tools[0].function",
        ),
        (tool(json!({})), "missing_required_parameter", "tools[0].function.name"),
        (tool(json!({"name": "a b"})), "invalid_value", "tools[0].function.name"),
        (tool(json!({"name": ""})), "invalid_value", "tools[0].function.name"),
        (tool(json!({"name": "n".repeat(65)})), "invalid_value", "tools[0].function.name"),
        (
            tool(json!({"name": "f", "parameters": []})),
            "invalid_type",
            "tools[0].function.parameters",
        ),
        (
            tool(json!({"name": "f", "description": 1})),
            "invalid_type",
            "tools[0].function.description",
        ),
        (tool(json!({"name": "f", "strict": 1})), "invalid_type", "tools[0].function.strict"),
        (json!({"tools": [two, two]}), "invalid_value", "tools[1].function.name"),
        (json!({"tools": many}), "invalid_value", "tools"),
        (json!({"tool_choice": "required"}), "invalid_value", "tool_choice"),
        (with(json!("any")), "invalid_value", "tool_choice"),
        (with(json!(5)), "invalid_type", "tool_choice"),
        (with(json!({})), "missing_required_parameter", "tool_choice.type"),
        (with(json!({"type": "custom"})), "unsupported_parameter", "tool_choice.type"),
        (with(json!({"type": "function"})), "missing_required_parameter", "tool_choice.function"),
        (
            with(json!({"type": "function", "function": {"name": "g"}})),
            "invalid_value",
            "tool_choice.function.name",
        ),
        (
            with(json!({"type": "allowed_tools", "allowed_tools": {"mode": "never", "tools": []}})),
            "invalid_value",
            "tool_choice.allowed_tools.mode",
        ),
        (
            with(json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}})),
            "invalid_value",
            "tool_choice.allowed_tools.tools",
        ),
        (json!({"parallel_tool_calls": "no"}), "invalid_type", "parallel_tool_calls"),
    ];
    for (more, code, param) in cases {
        check(&server, &chat("Hi", more), code, param).await;
    }
}

#[tokio::test]
async fn messages_that_cannot_be_read_are_named() {
    let server = server();
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let audio = json!({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}});
    let cases = [
        (json!([]), "invalid_value", "messages"),
        (json!("Hi"), "invalid_type", "messages"),
        (json!(null), "missing_required_parameter", "messages"),
        (json!(["Hi"]), "invalid_type", "messages[0]"),
        (json!([{"content": "Hi"}]), "missing_required_parameter", "messages[0].role"),
        (json!([{"role": "user"}]), "missing_required_parameter", "messages[0].content"),
        (json!([{"role": "robot", "content": "Hi"}]), "invalid_value", "messages[0].role"),
        (json!([{"role": "user", "content": 5}]), "invalid_type", "messages[0].content"),
        (
            json!([{"role": "user", "content": [{"type": "text"}]}]),
            "missing_required_parameter",
            "messages[0].content[0].text",
        ),
        (
            json!([{"role": "user", "content": [{"type": "smell"}]}]),
            "invalid_value",
            "messages[0].content[0].type",
        ),
    ];
    for (messages, code, param) in cases {
        check(&server, &json!({"model": fake::MODEL, "messages": messages}), code, param).await;
    }
    for part in [image, audio] {
        let body = chat("", json!({"messages": [{"role": "user", "content": [part]}]}));
        let reply = post(&server, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        let (code, param, message) = error(&reply);
        assert_eq!(
            (code.as_str(), param),
            ("unsupported_content_type", json!("messages[0].content[0].type"))
        );
        assert!(message.contains("reads text only"));
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read() {
    let server = server();
    let path = "/v1/chat/completions";
    for body in ["", "{", "{\"model\": }", "\u{feff}{}"] {
        let reply = send(&server, "POST", path, body.as_bytes().to_vec()).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(error(&reply).0, "invalid_json");
    }
    let reply = send(&server, "POST", path, b"[1]".to_vec()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(error(&reply).0, "invalid_type");
    let reply = post(&server, &json!({"messages": []})).await;
    assert_eq!(error(&reply).1, "model");

    let form = Request::post(path)
        .header("content-type", "text/plain")
        .body(Body::from(chat("Hi", json!({})).to_string()))
        .unwrap();
    let response = phial_serve::router(&server).oneshot(form).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_body_too_large() {
    let limits = Limits { body_bytes_max: 1000, ..Limits::default() };
    let options = ServerOptions { limits, ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    for length in [1000, 100_000] {
        let reply = post(&server, &chat(&"x".repeat(length), json!({}))).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(error(&reply).0, "payload_too_large");
    }
}

#[tokio::test]
async fn addresses_and_methods() {
    let server = server();
    for path in ["/", "/v1", "/v1/chat", "/v1/nothing"] {
        let reply = send(&server, "GET", path, Vec::new()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let (code, _, message) = error(&reply);
        assert_eq!(code, "unknown_url");
        assert_eq!(message, format!("Invalid URL (GET {path})"));
    }
    for (method, path) in [("GET", "/v1/chat/completions"), ("POST", "/v1/models")] {
        let reply = send(&server, method, path, Vec::new()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(error(&reply).0, "method_not_supported");
        assert!(reply.headers.contains_key("allow"));
    }
}

#[tokio::test]
async fn other_models() {
    let options = ServerOptions { aliases: vec!["phi".to_owned()], ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    let reply = post(&server, &chat("Hi", json!({"model": "other"}))).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let (code, param, _) = error(&reply);
    assert_eq!((code.as_str(), param), ("model_not_found", json!("model")));
    let reply = post(&server, &chat("Hi", json!({"model": "phi"}))).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["model"], fake::MODEL);
}

#[tokio::test]
async fn a_prompt_longer_than_the_context() {
    let reply = post(&server(), &chat(&"x".repeat(fake::CONTEXT), json!({}))).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let (code, param, message) = error(&reply);
    assert_eq!((code.as_str(), param), ("context_length_exceeded", json!("messages")));
    assert_eq!(
        message,
        "This model's maximum context length is 512 tokens. However, your messages resulted in \
         515 tokens. Please reduce the length of the messages."
    );
}

#[tokio::test]
async fn a_full_queue() {
    let limits =
        phial_engine::Limits { running_max: 1, waiting_max: 1, ..phial_engine::Limits::default() };
    let server = fake::server(Duration::from_millis(5), limits, ServerOptions::default());
    let ask = chat("forever", json!({"stream": true})).to_string().into_bytes();
    let first = begin(&server, "POST", "/v1/chat/completions", ask.clone()).await;
    let second = begin(&server, "POST", "/v1/chat/completions", ask).await;
    wait_active(&server, 2).await;
    for more in [json!({}), json!({"stream": true})] {
        let reply = post(&server, &chat("Hi", more)).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(error(&reply).0, "rate_limit_exceeded");
        assert_eq!(reply.header("retry-after"), "5");
        assert_eq!(reply.header("retry-after-ms"), "5000");
    }
    drop(first);
    // A place is free as soon as its client is gone.
    assert_eq!(
        post(&server, &chat("Hi", json!({"n": 2}))).await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    drop(second);
    assert_eq!(post(&server, &chat("Hi", json!({"n": 2}))).await.status, StatusCode::OK);
}

#[tokio::test]
async fn pages_of_other_origins() {
    let preflight = || {
        Request::options("/v1/chat/completions")
            .header("origin", "https://example.org")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-stainless-os")
            .body(Body::empty())
            .unwrap()
    };
    let response = phial_serve::router(&server()).oneshot(preflight()).await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"));

    let cors = Cors::Origins(vec!["https://example.org".to_owned()]);
    let options = ServerOptions { cors, ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    let response = phial_serve::router(&server).oneshot(preflight()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://example.org");
    assert_eq!(response.headers()["access-control-allow-headers"], "authorization,x-stainless-os");
    assert!(response.headers().contains_key("x-request-id"));
}
