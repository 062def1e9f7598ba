//! The dialect of `/v1/responses`.

use std::time::Duration;

use axum::http::StatusCode;
use phial_serve::{Limits, Server, ServerOptions};
use serde_json::{Value, json};

use crate::client::{get, named_events, post_to, send, server};
use crate::fake::{self, MODEL};

const PATH: &str = "/v1/responses";

async fn create(server: &Server, more: Value) -> Value {
    let mut body = json!({"model": MODEL});
    let Value::Object(more) = more else { panic!("fields") };
    more.into_iter().for_each(|(name, value)| body[name] = value);
    let reply = post_to(server, PATH, &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"].as_str().expect("text")
}

fn tools() -> Value {
    json!([{"type": "function", "name": "f", "parameters": {"type": "object"}}])
}

const CALL: &str = r#"call [{"name": "f", "arguments": {"a": 1}}]|"#;

#[tokio::test]
async fn a_response_has_the_official_shape() {
    let response = create(&server(), json!({"input": "Hello", "metadata": {"run": "1"}})).await;
    assert!(response["id"].as_str().unwrap().starts_with("resp_"));
    for (name, expected) in [
        ("object", json!("response")),
        ("status", json!("completed")),
        ("error", json!(null)),
        ("incomplete_details", json!(null)),
        ("instructions", json!(null)),
        ("metadata", json!({"run": "1"})),
        ("model", json!(MODEL)),
        ("parallel_tool_calls", json!(true)),
        ("temperature", json!(1.0)),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
        ("top_p", json!(1.0)),
        ("text", json!({"format": {"type": "text"}})),
        ("truncation", json!("disabled")),
    ] {
        assert_eq!(response[name], expected, "{name}");
    }
    let item = &response["output"][0];
    assert!(item["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(
        (&item["type"], &item["role"], &item["status"]),
        (&json!("message"), &json!("assistant"), &json!("completed"))
    );
    let part = json!({"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []});
    assert_eq!(item["content"], json!([part]));
    let usage = json!({
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    });
    assert_eq!(response["usage"], usage);
}

#[tokio::test]
async fn conversations_go_on() {
    let server = server();
    let first = create(&server, json!({"input": "Hello", "instructions": "Be brief."})).await;
    assert_eq!(first["usage"]["input_tokens"], 8 + 11);
    let more = json!({"input": "And now?", "previous_response_id": first["id"]});
    let second = create(&server, more).await;
    assert_eq!(text(&second), "And now?");
    assert_eq!(second["previous_response_id"], first["id"]);
    // Instructions do not carry over: <|user|>Hello<|end|><|assistant|>Hello<|end|><|user|>…
    assert_eq!(second["usage"]["input_tokens"], 7 + 7 + 11);

    let path = format!("{PATH}/{}", second["id"].as_str().unwrap());
    assert_eq!(get(&server, &path).await.json(), second);
    let items = get(&server, &format!("{path}/input_items?order=asc&limit=2")).await.json();
    assert_eq!(items["object"], "list");
    assert_eq!((&items["has_more"], items["data"].as_array().unwrap().len()), (&json!(true), 2));
    assert_eq!(items["data"][0]["content"], json!([{"type": "input_text", "text": "Hello"}]));
    assert_eq!(items["data"][1]["id"], first["output"][0]["id"]);
    let after = items["last_id"].as_str().unwrap();
    let rest = get(&server, &format!("{path}/input_items?order=asc&after={after}")).await.json();
    assert_eq!(rest["data"][0]["content"][0]["text"], "And now?");
    assert_eq!(rest["has_more"], false);

    let path = format!("{PATH}/{}", first["id"].as_str().unwrap());
    let deleted = send(&server, "DELETE", &path, Vec::new()).await;
    assert_eq!(deleted.json(), json!({"id": first["id"], "object": "response", "deleted": true}));
    assert_eq!(get(&server, &path).await.status, StatusCode::NOT_FOUND);
    let body = json!({"model": MODEL, "input": "a", "previous_response_id": second["id"]});
    let reply = post_to(&server, PATH, &body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.json()["error"]["code"], "previous_response_not_found");
}

#[tokio::test]
async fn only_so_many_are_stored() {
    let limits = Limits { responses_max: 2, ..Limits::default() };
    let options = ServerOptions { limits, ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    let mut ids = Vec::new();
    for store in [true, false, true, true] {
        let response = create(&server, json!({"input": "Hello", "store": store})).await;
        ids.push(response["id"].as_str().unwrap().to_owned());
    }
    let mut found = Vec::new();
    for id in ids {
        found.push(get(&server, &format!("{PATH}/{id}")).await.status == StatusCode::OK);
    }
    assert_eq!(found, [false, false, true, true]);
}

#[tokio::test]
async fn events_come_in_the_official_order() {
    let server = server();
    let body = json!({"model": MODEL, "input": "Hello", "stream": true});
    let reply = post_to(&server, PATH, &body).await;
    let events = named_events(&reply.body);
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    for (index, (_, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], index);
    }
    let deltas = events.iter().filter(|(name, _)| name == "response.output_text.delta");
    let text: String = deltas.map(|(_, data)| data["delta"].as_str().unwrap()).collect();
    assert_eq!(text, "Hello");
    let done = events.iter().find(|(name, _)| name == "response.output_text.done").unwrap();
    assert_eq!((&done.1["text"], &done.1["logprobs"]), (&json!("Hello"), &json!([])));
    let response = &events.last().unwrap().1["response"];
    let path = format!("{PATH}/{}", response["id"].as_str().unwrap());
    assert_eq!(get(&server, &path).await.json(), *response);
}

#[tokio::test]
async fn a_cut_response_is_incomplete() {
    let server = server();
    let response = create(&server, json!({"input": "Hello", "max_output_tokens": 2})).await;
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(response["output"][0]["status"], "incomplete");
    assert_eq!(text(&response), "He");
}

#[tokio::test]
async fn tools_are_called_and_answered() {
    let server = server();
    let response = create(&server, json!({"input": CALL, "tools": tools()})).await;
    let item = &response["output"][0];
    assert_eq!(
        (&item["type"], &item["name"]),
        (&json!("function_call"), &json!("f")),
        "{response}"
    );
    let arguments: Value = serde_json::from_str(item["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"a": 1}));
    assert!(item["id"].as_str().unwrap().starts_with("fc_"));
    let output = json!({"type": "function_call_output", "call_id": item["call_id"], "output": "7"});
    // Stored, and all sent again.
    let input = json!([output, {"role": "user", "content": "And now?"}]);
    let more = json!({"input": input, "previous_response_id": response["id"], "tools": tools()});
    assert_eq!(text(&create(&server, more).await), "And now?");
    let input = json!([
        {"role": "user", "content": [{"type": "input_text", "text": CALL}]},
        item,
        output,
        {"type": "message", "role": "user", "content": "And now?"},
    ]);
    let more = json!({"input": input, "store": false, "tools": tools(),
        "include": ["reasoning.encrypted_content"]});
    assert_eq!(text(&create(&server, more).await), "And now?");
}

#[tokio::test]
async fn streamed_calls_have_their_own_events() {
    let body = json!({"model": MODEL, "input": CALL, "tools": tools(), "stream": true});
    let events = named_events(&post_to(&server(), PATH, &body).await.body);
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn log_probabilities_on_request() {
    let more = json!({"input": "Hi", "include": ["message.output_text.logprobs"],
        "top_logprobs": 1});
    let response = create(&server(), more).await;
    let logprobs = &response["output"][0]["content"][0]["logprobs"];
    assert_eq!((&logprobs[0]["token"], &logprobs[0]["bytes"]), (&json!("H"), &json!([72])));
    assert_eq!(logprobs[0]["top_logprobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn mistakes_are_named() {
    let server = server();
    let orphan = json!([{"type": "function_call_output", "call_id": "x", "output": "7"}]);
    let cases = [
        (json!({}), "missing_required_parameter", "input"),
        (json!({"input": []}), "invalid_value", "input"),
        (json!({"input": 5}), "invalid_type", "input"),
        (json!({"input": orphan}), "invalid_value", "input"),
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            "invalid_value",
            "input[0].type",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "unsupported_content_type",
            "input[0].content[0].type",
        ),
        (json!({"input": "a", "background": true}), "unsupported_parameter", "background"),
        (json!({"input": "a", "conversation": "c"}), "unsupported_parameter", "conversation"),
        (json!({"input": "a", "truncation": "auto"}), "unsupported_parameter", "truncation"),
        (
            json!({"input": "a", "reasoning": {"effort": "high"}}),
            "unsupported_parameter",
            "reasoning.effort",
        ),
        (
            json!({"input": "a", "tools": [{"type": "web_search"}]}),
            "unsupported_parameter",
            "tools[0].type",
        ),
        (json!({"input": "a", "top_logprobs": 2}), "invalid_value", "top_logprobs"),
        (json!({"input": "a", "seed": 2}), "unknown_parameter", "seed"),
        (json!({"input": "x".repeat(600)}), "context_length_exceeded", "input"),
    ];
    for (mut body, code, param) in cases {
        body["model"] = MODEL.into();
        let reply = post_to(&server, PATH, &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{param}");
        let error = &reply.json()["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
    }
}
