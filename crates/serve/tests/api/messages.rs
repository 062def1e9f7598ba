//! The dialect of Anthropic's API.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{named_events, post_to, server};
use crate::fake::MODEL;

const PATH: &str = "/v1/messages";

fn body(content: impl Into<Value>, more: Value) -> Value {
    let mut body = json!({
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": content.into()}],
    });
    let Value::Object(more) = more else { panic!("fields") };
    more.into_iter().for_each(|(name, value)| body[name] = value);
    body
}

fn tools() -> Value {
    json!([{"name": "f", "description": "does f", "input_schema": {"type": "object"}}])
}

const CALL: &str = r#"call [{"name": "f", "arguments": {"a": 1}}]|"#;

#[tokio::test]
async fn a_message_has_the_official_shape() {
    let reply = post_to(&server(), PATH, &body("Hello", json!({}))).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    assert_eq!(reply.header("request-id"), reply.header("x-request-id"));
    let mut answer = reply.json();
    let id = answer.as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.as_str().unwrap().starts_with("msg_"));
    let expected = json!({
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": {
            "input_tokens": 8,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 6,
        },
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn systems_and_blocks_are_read() {
    let server = server();
    for system in [
        json!("Be brief."),
        json!([{"type": "text", "text": "Be brief.",
        "cache_control": {"type": "ephemeral"}}]),
    ] {
        let blocks = json!([
            {"type": "text", "text": "Hel", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "lo"},
        ]);
        let more = json!({
            "system": system,
            "metadata": {"user_id": "me"},
            "thinking": {"type": "disabled"},
            "temperature": 1.0,
            "top_k": 5,
        });
        let answer = post_to(&server, PATH, &body(blocks, more)).await.json();
        assert_eq!(answer["content"][0]["text"], "Hel\nlo", "{answer}");
        // <|system|>, nine, <|end|>, <|user|>, six, <|end|>, <|assistant|>
        // The second time they are in the cache.
        let usage = &answer["usage"];
        let read = |name: &str| usage[name].as_u64().unwrap();
        assert_eq!(read("input_tokens") + read("cache_read_input_tokens"), 20);
    }
}

#[tokio::test]
async fn reasons_to_stop() {
    let server = server();
    let answer = post_to(&server, PATH, &body("abcdef", json!({"max_tokens": 2}))).await.json();
    assert_eq!(answer["stop_reason"], "max_tokens");
    let more = json!({"stop_sequences": ["xx", "de"]});
    let answer = post_to(&server, PATH, &body("abcdef", more)).await.json();
    assert_eq!(answer["content"][0]["text"], "abc");
    assert_eq!(
        (&answer["stop_reason"], &answer["stop_sequence"]),
        (&json!("stop_sequence"), &json!("de"))
    );
}

#[tokio::test]
async fn tools_are_called_and_answered() {
    let server = server();
    let more = json!({"tools": tools(), "tool_choice": {"type": "auto"}});
    let answer = post_to(&server, PATH, &body(CALL, more)).await.json();
    assert_eq!(answer["stop_reason"], "tool_use", "{answer}");
    let call = &answer["content"][0];
    let id = call["id"].as_str().unwrap();
    assert_eq!(*call, json!({"type": "tool_use", "id": id, "name": "f", "input": {"a": 1}}));

    let messages = json!([
        {"role": "user", "content": CALL},
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "7"}]},
            {"type": "text", "text": "And now?"},
        ]},
    ]);
    let more = json!({"messages": messages, "tools": tools()});
    let answer = post_to(&server, PATH, &body("", more)).await.json();
    assert_eq!(answer["content"][0]["text"], "And now?", "{answer}");
    assert_eq!(answer["stop_reason"], "end_turn");
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn events_come_in_the_official_order() {
    let reply = post_to(&server(), PATH, &body("Hello", json!({"stream": true}))).await;
    assert!(reply.header("content-type").starts_with("text/event-stream"));
    let events = named_events(&reply.body);
    let expected = [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(names(&events), expected);
    let message = &events[0].1["message"];
    assert_eq!((&message["content"], &message["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(message["usage"]["input_tokens"], 8);
    let text: String =
        events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, "Hello");
    let end = &events[events.len() - 2].1;
    assert_eq!(end["delta"], json!({"stop_reason": "end_turn", "stop_sequence": null}));
    assert_eq!(end["usage"]["output_tokens"], 6);
}

#[tokio::test]
async fn streamed_calls_are_blocks_of_their_own() {
    let more = json!({"stream": true, "tools": tools()});
    let events = named_events(&post_to(&server(), PATH, &body(CALL, more)).await.body);
    let starts: Vec<_> = events.iter().filter(|(name, _)| name == "content_block_start").collect();
    assert_eq!(starts.len(), 1);
    let block = &starts[0].1["content_block"];
    assert_eq!(
        (&block["type"], &block["name"], &block["input"]),
        (&json!("tool_use"), &json!("f"), &json!({}))
    );
    let arguments: String =
        events.iter().filter_map(|(_, data)| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), json!({"a": 1}));
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn tokens_are_counted() {
    let server = server();
    let counted = json!({
        "model": MODEL,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hello"}],
    });
    let reply = post_to(&server, "/v1/messages/count_tokens", &counted).await;
    assert_eq!(reply.json(), json!({"input_tokens": 19}));
    let mut asked = counted.clone();
    asked["max_tokens"] = 1.into();
    let answer = post_to(&server, PATH, &asked).await.json();
    assert_eq!(answer["usage"]["input_tokens"], 19);
}

#[tokio::test]
async fn mistakes_are_told_in_this_dialect() {
    let server = server();
    let turn = |turn: Value| json!({"messages": [turn]});
    let result = json!([{"type": "tool_result", "tool_use_id": "x", "content": "7"}]);
    let image = json!([{"type": "image", "source": {}}]);
    let cases = [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}), "thinking.type"),
        (json!({"n": 2}), "n"),
        (json!({"stop_sequences": [""]}), "stop_sequences[0]"),
        (json!({"tools": [{"name": "a b", "input_schema": {}}]}), "tools[0].name"),
        (json!({"tools": [{"name": "a"}]}), "tools[0].input_schema"),
        (json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}), "tools[0].type"),
        (json!({"tool_choice": {"type": "any"}}), "tool_choice"),
        (
            json!({"tools": tools(), "tool_choice": {"type": "tool", "name": "g"}}),
            "tool_choice.name",
        ),
        (turn(json!({"role": "system", "content": "a"})), "messages[0].role"),
        (turn(json!({"role": "assistant", "content": "a"})), "messages[0].role"),
        (turn(json!({"role": "user", "content": result})), "messages[0].content[0].tool_use_id"),
        (turn(json!({"role": "user", "content": image})), "messages[0].content[0]"),
    ];
    for (more, param) in cases {
        let reply = post_to(&server, PATH, &body("Hello", more)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{param}");
        let answer = reply.json();
        assert_eq!(answer["type"], "error");
        assert_eq!(answer["error"]["type"], "invalid_request_error");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("'{param}'")), "{message}");
    }
    let reply = post_to(&server, PATH, &body("Hello", json!({"model": "other"}))).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.json()["error"]["type"], "not_found_error");
}
