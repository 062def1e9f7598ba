//! Calls of tools, as clients see them.

use axum::http::StatusCode;
use phial_text::{ChatTemplate, Message, ToolCall};
use serde_json::{Value, json};

use crate::client::{chat, post, server, stream};
use crate::fake::{self, MODEL};

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])
}

fn with_tools(more: Value) -> Value {
    let mut all = json!({"tools": tools()});
    let Value::Object(more) = more else { panic!("fields") };
    for (name, value) in more {
        all[name] = value;
    }
    all
}

const CALL: &str = r#"[{"name": "f", "arguments": {"a": 1}}]"#;

/// Asks, and gives the first choice.
async fn choice(content: &str, more: Value) -> Value {
    let reply = post(&server(), &chat(content, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()["choices"][0].clone()
}

/// The message with its ids checked and taken out.
fn without_ids(mut choice: Value) -> Value {
    if let Some(calls) = choice["message"]["tool_calls"].as_array_mut() {
        for call in calls {
            let id = call.as_object_mut().unwrap().remove("id").unwrap();
            assert!(id.as_str().unwrap().starts_with("call_"), "{id}");
        }
    }
    choice
}

#[tokio::test]
async fn a_call_has_the_official_shape() {
    let expected = json!({
        "index": 0,
        "message": {
            "role": "assistant",
            "content": null,
            "refusal": null,
            "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            ],
        },
        "logprobs": null,
        "finish_reason": "tool_calls",
    });
    for content in [
        format!("call {CALL}|"),
        format!("call {CALL}"),
        format!("<|tool_call|>{CALL}<|/tool_call|>"),
        CALL.to_owned(),
    ] {
        let choice = choice(&content, with_tools(json!({}))).await;
        assert_eq!(without_ids(choice), expected, "{content}");
    }
}

#[tokio::test]
async fn streamed_calls_add_up() {
    let events = stream(&server(), &format!("call {CALL}|"), with_tools(json!({}))).await;
    assert!(events.done);
    let pieces: Vec<&Value> = events.pieces(0).collect();
    let first = json!({"role": "assistant", "content": null, "refusal": null});
    assert_eq!(pieces[0]["delta"], first);
    let mut begin = pieces[1]["delta"].clone();
    let id = begin["tool_calls"][0].as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.as_str().unwrap().starts_with("call_"));
    let function = json!({"name": "f", "arguments": ""});
    assert_eq!(
        begin,
        json!({"tool_calls": [{"index": 0, "type": "function", "function": function}]})
    );
    let mut arguments = String::new();
    let (last, more) = pieces[2..].split_last().unwrap();
    for piece in more {
        let call = &piece["delta"]["tool_calls"][0];
        let more = call["function"]["arguments"].as_str().unwrap();
        assert_eq!(call, &json!({"index": 0, "function": {"arguments": more}}));
        assert_eq!(piece["finish_reason"], Value::Null);
        arguments.push_str(more);
    }
    assert!(more.len() > 2, "arguments come in pieces");
    assert_eq!(arguments, r#"{"a":1}"#);
    assert_eq!((&last["delta"], &last["finish_reason"]), (&json!({}), &json!("tool_calls")));
}

#[tokio::test]
async fn several_calls_and_text_are_streamed_in_order() {
    let content = format!("call {CALL}|Then: <tool_call>{CALL}</tool_call>");
    let events = stream(&server(), &content, with_tools(json!({"n": 2}))).await;
    for index in 0..2 {
        let pieces: Vec<&Value> = events.pieces(index).collect();
        let begun: Vec<&Value> = pieces
            .iter()
            .flat_map(|piece| piece["delta"]["tool_calls"].as_array())
            .flatten()
            .filter(|call| call.get("id").is_some())
            .collect();
        assert_eq!(begun.len(), 2);
        assert_eq!((&begun[0]["index"], &begun[1]["index"]), (&json!(0), &json!(1)));
        assert_ne!(begun[0]["id"], begun[1]["id"]);
        assert_eq!(events.content(index), "Then:");
        assert_eq!(pieces.last().unwrap()["finish_reason"], "tool_calls");
    }
    let one = with_tools(json!({"parallel_tool_calls": false}));
    let choice = choice(&content, one).await;
    assert_eq!(choice["message"]["tool_calls"].as_array().unwrap().len(), 1);
    assert_eq!(choice["message"]["content"], "Then:");
}

#[tokio::test]
async fn text_beside_tools_is_text() {
    let choice = choice("Hello [1] {\"a\": 2}.", with_tools(json!({"logprobs": true}))).await;
    assert_eq!(choice["message"]["content"], "Hello [1] {\"a\": 2}.");
    assert_eq!(choice["message"].get("tool_calls"), None);
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["logprobs"]["content"].as_array().unwrap().len(), 19);
    let events = stream(&server(), "Hi", with_tools(json!({}))).await;
    let first = json!({"role": "assistant", "content": "", "refusal": null});
    assert_eq!(events.pieces(0).next().unwrap()["delta"], first);
    assert_eq!(events.content(0), "Hi");
    // Also where nothing is said.
    let events = stream(&server(), "end ", with_tools(json!({}))).await;
    let pieces: Vec<&Value> = events.pieces(0).collect();
    assert_eq!((pieces.len(), &pieces[0]["delta"]), (2, &first));
}

#[tokio::test]
async fn logprobs_are_those_of_the_content() {
    let content = format!("hex {}", hex(&format!("Well.\n<tool_call>{CALL}</tool_call>")));
    let choice = choice(&content, with_tools(json!({"logprobs": true}))).await;
    assert_eq!(choice["message"]["content"], "Well.");
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
    assert_eq!(text, "Well.");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_choice_of_tools_is_kept() {
    for tool_choice in [
        json!("none"),
        json!({"type": "allowed_tools", "allowed_tools": {
            "mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}],
        }}),
    ] {
        let two = json!([
            {"type": "function", "function": {"name": "f"}},
            {"type": "function", "function": {"name": "g"}},
        ]);
        let more = json!({"tools": two, "tool_choice": tool_choice});
        let choice = choice(CALL, more).await;
        assert_eq!(choice["message"]["content"], CALL, "{tool_choice}");
        assert_eq!(choice["finish_reason"], "stop");
    }
    // Without tools, what looks like a call is what the model said.
    let choice = choice(&format!("<tool_call>{CALL}"), json!({})).await;
    assert_eq!(choice["message"]["content"], format!("<tool_call>{CALL}"));
}

#[tokio::test]
async fn an_answer_that_is_cut_says_so() {
    let more = with_tools(json!({"max_tokens": 36}));
    let choice = choice(&format!("call {CALL}|"), more).await;
    assert_eq!(choice["finish_reason"], "length");
    let arguments = choice["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert!(r#"{"a":1}"#.starts_with(arguments) && !arguments.ends_with('}'), "{arguments}");
    assert_eq!(choice["message"]["content"], Value::Null);
}

/// What comes back from tools reaches the model in the form of its family.
#[tokio::test]
async fn calls_and_results_reach_the_model() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let messages = json!([
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "R"}]},
        {"role": "user", "content": "V"},
    ]);
    let body = json!({"model": MODEL, "messages": messages, "tools": tools()});
    let reply = post(&server(), &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    let turn = Message::new;
    let call = ToolCall { name: "f".into(), arguments: json!({}), id: None };
    let messages = [
        turn("user", "U"),
        Message { tool_calls: vec![call], ..turn("assistant", "") },
        turn("tool", "R"),
        turn("user", "V"),
    ];
    let prompt = ChatTemplate::Phi4.render(&messages, Some(&tools()), true).unwrap();
    let expected = fake::tokenizer().encode_prompt(&prompt).len();
    assert_eq!(reply.json()["usage"]["prompt_tokens"], expected);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "V");
}
