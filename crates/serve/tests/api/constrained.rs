//! Calls that are kept to their schema.

use std::time::Duration;

use axum::http::StatusCode;
use phial_serve::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::client::{Events, chat, post};
use crate::fake;

fn server() -> Server {
    let options = ServerOptions::default();
    fake::constrained_server(Duration::ZERO, fake::engine_limits(), options)
}

/// A tool with one argument, which is true or false.
fn tool(name: &str) -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": false,
    });
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

async fn choice(content: &str, more: Value) -> Value {
    let reply = post(&server(), &chat(content, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()["choices"][0].clone()
}

fn check_call(choice: &Value, name: &str) {
    assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
    assert_eq!(choice["message"]["content"], Value::Null);
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["function"]["name"], name);
    let arguments = calls[0]["function"]["arguments"].as_str().unwrap();
    assert!([r#"{"on":true}"#, r#"{"on":false}"#].contains(&arguments), "{arguments}");
}

#[tokio::test]
async fn forced_calls_are_made_whatever_the_model_would_say() {
    let named = json!({"type": "function", "function": {"name": "g"}});
    for (tool_choice, name) in [(json!("required"), "f"), (named, "g")] {
        let tools = if name == "f" { json!([tool("f")]) } else { json!([tool("f"), tool("g")]) };
        let more =
            json!({"tools": tools, "tool_choice": tool_choice, "parallel_tool_calls": false});
        check_call(&choice("I would rather not.", more.clone()).await, name);
        let mut body = chat("No.", more);
        body["stream"] = true.into();
        let reply = post(&server(), &body).await;
        let events = Events::parse(&reply.body);
        assert!(events.done);
        assert_eq!(events.content(0), "");
        assert_eq!(events.pieces(0).last().unwrap()["finish_reason"], "tool_calls");
    }
}

#[tokio::test]
async fn a_call_that_begins_is_kept_to_its_schema() {
    let more = json!({"tools": [tool("f")], "parallel_tool_calls": false});
    // Neither the name nor the arguments are those of the tool.
    check_call(
        &choice(r#"call [{"name": "x", "arguments": {"off": 1}}]"#, more.clone()).await,
        "f",
    );
    // What begins without a call is free.
    let choice = choice("Hello.", more).await;
    assert_eq!(choice["message"]["content"], "Hello.");
    assert_eq!(choice["finish_reason"], "stop");
}

#[tokio::test]
async fn schemas_that_cannot_be_enforced_are_refused() {
    let mut bad = tool("f");
    bad["function"]["parameters"]["properties"]["on"] = json!({"not": {"type": "null"}});
    for (strict, choice, status) in
        [(false, "required", 400), (true, "auto", 400), (false, "auto", 200)]
    {
        bad["function"]["strict"] = strict.into();
        let more = json!({"tools": [tool("g"), bad], "tool_choice": choice});
        let reply = post(&server(), &chat("Hi", more)).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.json());
        if status == 400 {
            let error = &reply.json()["error"];
            assert_eq!(error["code"], "invalid_function_parameters");
            assert_eq!(error["param"], "tools[1].function.parameters");
            let message = error["message"].as_str().unwrap();
            assert!(message.starts_with("Invalid schema for function 'f': 'not' at"), "{message}");
            assert!(message.contains("#/properties/on/not"), "{message}");
        }
    }
}
