//! Tools that the server runs itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use phial_serve::{
    ExternalError, ExternalFuture, ExternalTool, ExternalTools, Limits, Server, ServerOptions,
};
use serde_json::{Map, Value, json};

use crate::client::{chat, named_events, post, post_to, stream};
use crate::fake;

/// A server `shop` with the tools `price`, which fails without an item, `again`, which has the
/// model call it again, and `sleep`; and `down`, which does not answer.
#[derive(Debug)]
struct Shop;

impl ExternalTools for Shop {
    fn servers(&self) -> Vec<String> {
        vec!["shop".to_owned(), "down".to_owned()]
    }

    fn tools<'a>(&'a self, server: &'a str) -> ExternalFuture<'a, Vec<ExternalTool>> {
        Box::pin(async move {
            if server == "down" {
                return Err(ExternalError("it is closed".to_owned()));
            }
            let tool = |name: &str| ExternalTool {
                name: name.to_owned(),
                description: None,
                parameters: json!({"type": "object"}),
            };
            Ok(["p.rice", "again", "sleep"].map(tool).to_vec())
        })
    }

    fn call<'a>(
        &'a self,
        _server: &'a str,
        tool: &'a str,
        arguments: Map<String, Value>,
    ) -> ExternalFuture<'a, String> {
        Box::pin(async move {
            match tool {
                "p.rice" => match arguments.get("item") {
                    Some(item) => Ok(format!("{item} is 3")),
                    None => Err(ExternalError("no item".to_owned())),
                },
                "again" => Ok(r#"call {"name": "again", "arguments": {}}"#.to_owned()),
                _ => {
                    tokio::time::sleep(Duration::from_secs(600)).await;
                    Ok(String::new())
                }
            }
        })
    }
}

fn server() -> Server {
    let limits = Limits {
        external_rounds_max: 3,
        external_call_time_max: Duration::from_millis(50),
        ..Limits::default()
    };
    let options = ServerOptions {
        limits,
        external_tools: Some(Arc::new(Shop)),
        ping_interval: Duration::from_millis(5),
        ..ServerOptions::default()
    };
    fake::server(Duration::ZERO, fake::engine_limits(), options)
}

fn shop(more: Value) -> Value {
    let mut tool = json!({"type": "mcp", "server_label": "shop", "require_approval": "never"});
    let Value::Object(more) = more else { panic!("fields") };
    for (name, value) in more {
        tool[name] = value;
    }
    json!({"tools": [tool]})
}

const TEA: &str = r#"call {"name": "p_rice", "arguments": {"item": "tea"}}|"#;

async fn answer(content: &str, more: Value) -> Value {
    let reply = post(&server(), &chat(content, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()
}

fn without_id(mut call: Value) -> Value {
    let id = call.as_object_mut().unwrap().remove("id").unwrap();
    assert!(id.as_str().unwrap().starts_with("mcp_"), "{id}");
    call
}

fn tea_call() -> Value {
    json!({
        "type": "mcp_call",
        "server_label": "shop",
        "name": "p.rice",
        "arguments": "{\"item\":\"tea\"}",
        "output": "\"tea\" is 3",
        "error": null,
    })
}

#[tokio::test]
async fn tools_are_run_and_shown() {
    let body = answer(TEA, shop(json!({"allowed_tools": ["p.rice"]}))).await;
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["content"], "\"tea\" is 3");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"].get("tool_calls"), None);
    let calls = choice["message"]["mcp_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 1);
    assert_eq!(without_id(calls[0].clone()), tea_call());
    // Both rounds count.
    let usage = &body["usage"];
    let generated = usage["completion_tokens"].as_u64().unwrap();
    assert_eq!(generated as usize, TEA.len() - "call ".len() + 1 + 1 + "\"tea\" is 3".len() + 1);
    assert_eq!(
        usage["total_tokens"].as_u64(),
        Some(usage["prompt_tokens"].as_u64().unwrap() + generated)
    );
}

#[tokio::test]
async fn streams_show_calls_as_they_are_run() {
    let events = stream(&server(), TEA, shop(json!({}))).await;
    assert!(events.done);
    let pieces: Vec<&Value> = events.pieces(0).collect();
    assert_eq!(pieces[0]["delta"]["role"], "assistant");
    let mut call = pieces[1]["delta"]["mcp_calls"][0].clone();
    assert_eq!(call.as_object_mut().unwrap().remove("index"), Some(json!(0)));
    assert_eq!(without_id(call), tea_call());
    assert_eq!(events.content(0), "\"tea\" is 3");
    assert_eq!(pieces.last().unwrap()["finish_reason"], "stop");
}

#[tokio::test]
async fn what_goes_wrong_is_told_to_the_model_and_the_client() {
    let body = answer(r#"call {"name": "p_rice", "arguments": {}}"#, shop(json!({}))).await;
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], "Error: no item.");
    assert_eq!(message["mcp_calls"][0]["error"], "no item");
    assert_eq!(message["mcp_calls"][0]["output"], Value::Null);
    // With pings meanwhile, which must not begin the call anew.
    let events =
        stream(&server(), r#"call {"name": "sleep", "arguments": {}}"#, shop(json!({}))).await;
    assert!(events.pings > 0);
    assert!(events.content(0).contains("longer than"), "{}", events.content(0));
}

#[tokio::test]
async fn rounds_have_an_end() {
    let body = answer(r#"call {"name": "again", "arguments": {}}"#, shop(json!({}))).await;
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["mcp_calls"].as_array().unwrap().len(), 3);
    // Asked for the last time, the model is offered nothing to call.
    assert_eq!(choice["message"]["content"], r#"{"name": "again", "arguments": {}}"#);
    assert_eq!(choice["finish_reason"], "stop");
}

#[tokio::test]
async fn calls_of_the_client_come_first() {
    let mut more = shop(json!({}));
    let function = json!({"type": "function", "function": {"name": "f"}});
    more["tools"].as_array_mut().unwrap().push(function);
    let content = r#"call [{"name": "f", "arguments": {}}, {"name": "p_rice", "arguments": {}}]"#;
    let body = answer(content, more).await;
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["tool_calls"].as_array().unwrap().len(), 1);
    let call = &choice["message"]["mcp_calls"][0];
    assert!(call["error"].as_str().unwrap().starts_with("not run"), "{call}");
}

#[tokio::test]
async fn what_cannot_be_offered_is_refused() {
    let mut twice = shop(json!({}));
    let again = twice["tools"][0].clone();
    twice["tools"].as_array_mut().unwrap().push(again);
    let mut several = shop(json!({}));
    several["n"] = json!(2);
    let cases = [
        (shop(json!({"server_label": "other"})), 400, "tools"),
        (shop(json!({"server_label": null})), 400, "tools[0].server_label"),
        (shop(json!({"allowed_tools": ["nothing"]})), 400, "tools"),
        (shop(json!({"allowed_tools": [1]})), 400, "tools[0].allowed_tools[0]"),
        (shop(json!({"require_approval": "always"})), 400, "tools[0].require_approval"),
        (shop(json!({"require_approval": null})), 400, "tools[0].require_approval"),
        (shop(json!({"server_url": "http://localhost"})), 400, "tools[0].server_url"),
        (twice, 400, "tools[1].server_label"),
        (several, 400, "n"),
    ];
    for (more, status, param) in cases {
        let reply = post(&server(), &chat("Hi", more)).await;
        assert_eq!(reply.status.as_u16(), status, "{}", reply.json());
        assert_eq!(reply.json()["error"]["param"], param);
    }
    let reply = post(&server(), &chat("Hi", shop(json!({"server_label": "down"})))).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_eq!(reply.json()["error"]["code"], "external_tools_unavailable");
    // Off unless configured.
    let reply = post(&crate::client::server(), &chat("Hi", shop(json!({})))).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.json()["error"]["message"].as_str().unwrap().contains("no tools of its own"));
}

/// A request for a response with the tools of `shop`.
fn respond(input: &Value, more: Value) -> Value {
    let mut body = json!({"model": fake::MODEL, "input": input});
    let Value::Object(more) = more else { panic!("fields") };
    for (name, value) in more {
        body[name] = value;
    }
    body
}

async fn response(server: &Server, input: &Value, more: Value) -> Value {
    let reply = post_to(server, "/v1/responses", &respond(input, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()
}

fn kinds(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn responses_list_tools_and_show_calls_as_items() {
    let server = server();
    let body = response(&server, &json!(TEA), shop(json!({"allowed_tools": ["p.rice"]}))).await;
    let output = &body["output"];
    assert_eq!(kinds(output), ["mcp_list_tools", "mcp_call", "message"]);
    let list = &output[0];
    assert!(list["id"].as_str().unwrap().starts_with("mcpl_"), "{list}");
    assert_eq!(list["server_label"], "shop");
    assert_eq!(list["error"], Value::Null);
    let tools = list["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 1);
    assert_eq!(tools[0]["name"], "p.rice");
    assert_eq!(tools[0]["input_schema"], json!({"type": "object"}));
    let mut expected = tea_call();
    expected["status"] = json!("completed");
    expected["approval_request_id"] = Value::Null;
    assert_eq!(without_id(output[1].clone()), expected);
    assert_eq!(output[2]["content"][0]["text"], "\"tea\" is 3");
    let shown = json!([{
        "type": "mcp", "server_label": "shop", "allowed_tools": ["p.rice"],
        "require_approval": "never",
    }]);
    assert_eq!(body["tools"], shown);
    assert_eq!(body["status"], "completed");
    // Both rounds count, the prompt too.
    let usage = &body["usage"];
    let total = usage["input_tokens"].as_u64().unwrap() + usage["output_tokens"].as_u64().unwrap();
    assert_eq!(usage["total_tokens"].as_u64(), Some(total));
    assert!(usage["input_tokens"].as_u64().unwrap() > 2 * TEA.len() as u64, "{usage}");

    // The conversation goes on, and what is known is not listed again.
    let previous = json!({"previous_response_id": body["id"]});
    let mut more = shop(json!({}));
    more["previous_response_id"] = previous["previous_response_id"].clone();
    let next = response(&server, &json!("Hi"), more).await;
    assert_eq!(kinds(&next["output"]), ["message"]);
    // As without a stored response, when the client brings the items itself.
    let mut input = output.as_array().unwrap().clone();
    input.push(json!({"role": "user", "content": "Hi"}));
    let next = response(&server, &json!(input), shop(json!({}))).await;
    assert_eq!(kinds(&next["output"]), ["message"]);
    assert_eq!(next["output"][0]["content"][0]["text"], "Hi");
}

#[tokio::test]
async fn streamed_responses_tell_of_calls_in_the_official_order() {
    let mut body = respond(&json!(TEA), shop(json!({"allowed_tools": ["p.rice"]})));
    body["stream"] = json!(true);
    let reply = post_to(&server(), "/v1/responses", &body).await;
    let events = named_events(&reply.body);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.mcp_list_tools.in_progress",
        "response.mcp_list_tools.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
    ];
    assert_eq!(names[..expected.len()], expected);
    for (number, (_, event)) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let of = |at: usize| &events[at].1;
    assert_eq!(of(2)["item"]["tools"], json!([]));
    assert_eq!(of(5)["item"]["tools"][0]["name"], "p.rice");
    assert_eq!(of(6)["item"]["status"], "in_progress");
    assert_eq!(of(9)["arguments"], r#"{"item":"tea"}"#);
    for (at, index) in [(2, 0), (5, 0), (6, 1), (10, 1), (12, 2)] {
        assert_eq!(of(at)["output_index"], index, "{at}");
    }
    assert_eq!(of(7)["item_id"], of(11)["item"]["id"]);
    let last = &events.last().unwrap().1["response"];
    assert_eq!(kinds(&last["output"]), ["mcp_list_tools", "mcp_call", "message"]);
}

#[tokio::test]
async fn calls_that_fail_are_items_too() {
    let call = r#"call {"name": "p_rice", "arguments": {}}"#;
    let body = response(&server(), &json!(call), shop(json!({}))).await;
    let item = &body["output"][1];
    assert_eq!((&item["status"], &item["output"]), (&json!("failed"), &Value::Null));
    let error = json!({
        "type": "mcp_tool_execution_error",
        "content": [{"type": "text", "text": "no item"}],
    });
    assert_eq!(item["error"], error);
    assert_eq!(body["output"][2]["content"][0]["text"], "Error: no item.");
}

#[tokio::test]
async fn responses_refuse_what_is_not_offered_by_name() {
    let cases = [
        (shop(json!({"server_label": "other"})), "tools"),
        (shop(json!({"require_approval": "always"})), "tools[0].require_approval"),
        (shop(json!({"require_approval": null})), "tools[0].require_approval"),
        (
            shop(json!({"require_approval": {"never": {"tool_names": ["p.rice"]}}})),
            "tools[0].require_approval",
        ),
        (shop(json!({"server_url": "http://localhost"})), "tools[0].server_url"),
        (shop(json!({"connector_id": "connector_gmail"})), "tools[0].connector_id"),
        (shop(json!({"headers": {"a": "b"}})), "tools[0].headers"),
        (shop(json!({"server_description": "A shop"})), "tools[0].server_description"),
        (json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
    ];
    for (more, param) in cases {
        let reply = post_to(&server(), "/v1/responses", &respond(&json!("Hi"), more)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.json());
        assert_eq!(reply.json()["error"]["param"], param);
    }
    let mut choice = shop(json!({}));
    choice["tool_choice"] = json!({"type": "mcp", "server_label": "shop"});
    let reply = post_to(&server(), "/v1/responses", &respond(&json!("Hi"), choice)).await;
    assert_eq!(reply.json()["error"]["param"], "tool_choice.type");
    let down = respond(&json!("Hi"), shop(json!({"server_label": "down"})));
    let reply = post_to(&server(), "/v1/responses", &down).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
}
