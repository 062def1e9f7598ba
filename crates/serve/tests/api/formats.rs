//! Answers that must have a form, by every name that asks for one.

use std::time::Duration;

use axum::http::StatusCode;
use phial_serve::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::client::{Events, chat, named_events, post, post_to, stream};
use crate::fake;

fn server() -> Server {
    fake::constrained_server(Duration::ZERO, fake::engine_limits(), ServerOptions::default())
}

fn switch() -> Value {
    json!({
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": false,
    })
}

fn named(schema: &Value) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": true}})
}

async fn choice(content: &str, more: Value) -> Value {
    let reply = post(&server(), &chat(content, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()["choices"][0].clone()
}

async fn refusal(path: &str, body: &Value) -> Value {
    let reply = post_to(&server(), path, body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body}");
    reply.json()["error"].clone()
}

fn is_switch(text: &str) -> bool {
    [r#"{"on": true}"#, r#"{"on": false}"#].contains(&text)
}

#[tokio::test]
async fn chats_obey_every_name_of_a_form() {
    for (more, right) in [
        (json!({"response_format": named(&switch())}), is_switch as fn(&str) -> bool),
        (json!({"response_format": {"type": "json_object", "schema": switch()}}), is_switch),
        (json!({"json_schema": switch()}), is_switch),
        (json!({"guided_json": switch().to_string()}), is_switch),
        (json!({"structured_outputs": {"json": switch()}}), is_switch),
        (json!({"structured_outputs": {"regex": "[0-9]{3}"}}), |text| {
            text.len() == 3 && text.parse::<u32>().is_ok()
        }),
        (json!({"guided_regex": "a{2}"}), |text| text == "aa"),
        (json!({"structured_outputs": {"choice": ["yes", "no"]}}), |text| {
            ["yes", "no"].contains(&text)
        }),
        (json!({"guided_choice": ["maybe"]}), |text| text == "maybe"),
        (json!({"guided_grammar": "start: \"x\" (\"+\" \"x\")*"}), |text| {
            text.split('+').all(|part| part == "x")
        }),
    ] {
        let answer = choice("No.", more.clone()).await;
        let text = answer["message"]["content"].as_str().unwrap();
        assert!(right(text), "{more}: {text:?}");
        assert_eq!(answer["finish_reason"], "stop", "{more}");
        assert_eq!(answer["message"]["refusal"], Value::Null);
        let events = stream(&server(), "No.", more.clone()).await;
        assert!(events.done && right(&events.content(0)), "{more}");
        assert_eq!(events.pieces(0).last().unwrap()["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn an_object_is_an_object() {
    let more = json!({"response_format": {"type": "json_object"}, "temperature": 1});
    let mut ended = 0;
    for seed in 0..12 {
        let mut more = more.clone();
        more["seed"] = seed.into();
        let answer = choice("noise", more).await;
        let text = answer["message"]["content"].as_str().unwrap();
        assert!(text.starts_with('{'), "{text:?}");
        if answer["finish_reason"] == "stop" {
            ended += 1;
            assert!(serde_json::from_str::<Value>(text).unwrap().is_object(), "{text:?}");
        }
    }
    assert!(ended > 0);
    // What the model would say itself is kept where it has the form.
    let said = r#"{"a": [1, null, "x"], "b": {}}"#;
    let answer = choice(said, json!({"response_format": {"type": "json_object"}})).await;
    assert_eq!(answer["message"]["content"], said);
}

#[tokio::test]
async fn all_choices_have_the_form_and_their_tokens_are_told() {
    let more = json!({"response_format": named(&switch()), "n": 3, "logprobs": true,
        "top_logprobs": 2, "temperature": 1, "seed": 1});
    let reply = post(&server(), &chat("noise", more)).await;
    let choices = reply.json()["choices"].as_array().unwrap().clone();
    assert_eq!(choices.len(), 3);
    for choice in choices {
        let text = choice["message"]["content"].as_str().unwrap();
        assert!(is_switch(text), "{text:?}");
        let tokens = choice["logprobs"]["content"].as_array().unwrap();
        let told: String = tokens.iter().map(|token| token["token"].as_str().unwrap()).collect();
        assert_eq!(told, text);
        assert!(tokens.iter().all(|token| token["logprob"].as_f64().unwrap() <= 0.0));
    }
}

#[tokio::test]
async fn limits_and_stop_strings_cut_what_has_a_form_too() {
    for (more, text, reason) in
        [(json!({"max_tokens": 4}), r#"{"on"#, "length"), (json!({"stop": "on"}), r#"{""#, "stop")]
    {
        let mut more = more;
        more["response_format"] = named(&switch());
        let answer = choice("No.", more.clone()).await;
        assert_eq!(
            (&answer["message"]["content"], &answer["finish_reason"]),
            (&json!(text), &json!(reason))
        );
        let events = stream(&server(), "No.", more).await;
        assert_eq!(events.content(0), text);
    }
    // Neither of these ever ends, and in the second all is forced.
    let endless = json!({"type": "object", "properties": {"on": {"type": "boolean"},
        "next": {"$ref": "#"}}, "required": ["on", "next"], "additionalProperties": false});
    let forced = json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"],
        "additionalProperties": false});
    let answer = choice("No.", json!({"response_format": named(&forced)})).await;
    assert_eq!(answer["finish_reason"], "length");
    let answer =
        choice("No.", json!({"response_format": named(&endless), "max_tokens": 200})).await;
    assert_eq!(answer["finish_reason"], "length");
    let answer = choice("No.", json!({"response_format": named(&endless)})).await;
    assert_eq!(answer["finish_reason"], "length");
}

fn tool() -> Value {
    json!({"type": "function", "function": {"name": "f", "parameters": switch()}})
}

/// With tools, an answer either has the form or is calls.
#[tokio::test]
async fn a_form_beside_tools() {
    let more = |choice: Value| {
        json!({"response_format": named(&switch()), "tools": [tool()], "tool_choice": choice,
            "parallel_tool_calls": false})
    };
    let answer = choice(r#"{"on": true}"#, more(json!("auto"))).await;
    assert_eq!(answer["message"]["content"], r#"{"on": true}"#);
    assert_eq!(
        (&answer["finish_reason"], &answer["message"]["tool_calls"]),
        (&json!("stop"), &Value::Null)
    );
    let called = r#"call [{"name": "f", "arguments": {"on": true}}]|"#;
    for choice_mode in ["auto", "required"] {
        let answer = choice(called, more(json!(choice_mode))).await;
        assert_eq!(answer["finish_reason"], "tool_calls", "{answer}");
        assert_eq!(answer["message"]["content"], Value::Null);
        assert_eq!(answer["message"]["tool_calls"][0]["function"]["arguments"], r#"{"on":true}"#);
        let events = stream(&server(), called, more(json!(choice_mode))).await;
        assert_eq!(events.content(0), "");
        assert_eq!(events.pieces(0).last().unwrap()["finish_reason"], "tool_calls");
    }
    let answer = choice(called, more(json!("none"))).await;
    assert!(is_switch(answer["message"]["content"].as_str().unwrap()), "{answer}");
    // What has the form of a call is an answer here.
    let lookalike = json!({"type": "object", "properties": {"name": {"const": "f"},
        "arguments": switch()}, "required": ["name", "arguments"], "additionalProperties": false});
    let mut asked = more(json!("auto"));
    asked["response_format"] = named(&lookalike);
    let said = r#"{"name": "f", "arguments": {"on": false}}"#;
    let answer = choice(said, asked.clone()).await;
    assert_eq!(answer["message"]["content"], said);
    assert_eq!(stream(&server(), said, asked).await.content(0), said);
}

#[tokio::test]
async fn what_cannot_be_enforced_is_refused_with_its_place() {
    let bad = json!({"type": "object", "properties": {"a": {"not": {"type": "null"}}}});
    let message =
        |title: &str| format!("Invalid schema for {title}: 'not' at '#/properties/a/not': ");
    let bodies = [
        (
            "/v1/chat/completions",
            json!({"response_format": named(&bad)}),
            "response_format",
            "response_format 'thing'",
        ),
        ("/v1/chat/completions", json!({"guided_json": bad}), "guided_json", "guided_json"),
        (
            "/v1/completions",
            json!({"structured_outputs": {"json": bad}}),
            "structured_outputs.json",
            "structured_outputs.json",
        ),
        (
            "/v1/responses",
            json!({"text": {"format": {"type": "json_schema", "name": "thing", "schema": bad}}}),
            "text.format",
            "text.format 'thing'",
        ),
    ];
    for (path, more, param, title) in bodies {
        let mut body =
            json!({"model": fake::MODEL, "messages": [{"role": "user", "content": "Hi"}]});
        match path {
            "/v1/completions" => body = json!({"model": fake::MODEL, "prompt": "Hi"}),
            "/v1/responses" => body = json!({"model": fake::MODEL, "input": "Hi"}),
            _ => {}
        }
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = refusal(path, &body).await;
        assert_eq!(
            (&error["param"], &error["code"], &error["type"]),
            (&json!(param), &json!("invalid_json_schema"), &json!("invalid_request_error"))
        );
        assert!(error["message"].as_str().unwrap().starts_with(&message(title)), "{error}");
    }
    let in_tool = json!({"response_format": named(&switch()), "tools": [{"type": "function",
        "function": {"name": "f", "strict": true, "parameters": bad}}]});
    let error = refusal("/v1/chat/completions", &chat("Hi", in_tool)).await;
    assert_eq!(error["param"], "tools[0].function.parameters");
    for (more, param) in [
        (json!({"guided_regex": "("}), "guided_regex"),
        (json!({"guided_choice": []}), "guided_choice"),
        (
            json!({"structured_outputs": {"grammar": "root ::= \"a\""}}),
            "structured_outputs.grammar",
        ),
        (json!({"guided_regex": "a", "ignore_eos": true}), "ignore_eos"),
    ] {
        let error = refusal("/v1/chat/completions", &chat("Hi", more)).await;
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!(param), &json!("invalid_value")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn texts_have_the_form_behind_their_prompt() {
    let body = json!({"model": fake::MODEL, "prompt": ["a", "b"], "echo": true, "max_tokens": 40,
        "guided_json": switch()});
    let reply = post_to(&server(), "/v1/completions", &body).await;
    for (choice, prompt) in reply.json()["choices"].as_array().unwrap().iter().zip(["a", "b"]) {
        let text = choice["text"].as_str().unwrap();
        assert!(is_switch(text.strip_prefix(prompt).unwrap()), "{text:?}");
        assert_eq!(choice["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn responses_and_messages_have_forms() {
    let format =
        json!({"type": "json_schema", "name": "thing", "schema": switch(), "strict": true});
    let body = json!({"model": fake::MODEL, "input": "No.", "text": {"format": format}});
    let reply = post_to(&server(), "/v1/responses", &body).await.json();
    assert_eq!(reply["text"]["format"], format);
    assert!(is_switch(reply["output"][0]["content"][0]["text"].as_str().unwrap()), "{reply}");
    let mut streamed = body;
    streamed["stream"] = true.into();
    streamed["text"]["format"] = json!({"type": "json_object"});
    streamed["input"] = "{}".into();
    let events = named_events(&post_to(&server(), "/v1/responses", &streamed).await.body);
    let done = events.iter().find(|(name, _)| name == "response.output_text.done").unwrap();
    assert_eq!(done.1["text"], "{}");

    let format = json!({"type": "json_schema", "schema": switch()});
    for more in [json!({"output_config": {"format": format}}), json!({"output_format": format})] {
        let mut body = chat("No.", json!({"max_tokens": 40}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = post_to(&server(), "/v1/messages", &body).await.json();
        assert!(is_switch(reply["content"][0]["text"].as_str().unwrap()), "{reply}");
        assert_eq!(reply["stop_reason"], "end_turn");
    }
}

/// Schemas of all kinds, through the API: what comes to an end is valid.
#[tokio::test]
async fn every_answer_is_valid_for_its_schema() {
    let corpus: Value =
        serde_json::from_str(include_str!("../../../grammar/tests/data/schemas.json")).unwrap();
    let all = corpus["enforced"].as_array().unwrap();
    let schemas: Vec<&Value> = all.iter().filter(|schema| schema.is_object()).collect();
    assert!(schemas.len() > 200);
    let untyped = [json!({}), json!({"type": "object"}), json!({"items": {}, "type": "array"})];
    let server = server();
    let mut ended = 0;
    for (index, schema) in schemas.iter().copied().chain(&untyped).enumerate() {
        let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
        let more = json!({"response_format": format, "temperature": 1, "seed": index});
        let (text, reason) = if index % 2 == 0 {
            let reply = post(&server, &chat("noise", more)).await;
            assert_eq!(reply.status, StatusCode::OK, "{schema}: {}", reply.json());
            let choice = reply.json()["choices"][0].clone();
            let text = choice["message"]["content"].as_str().unwrap_or_default().to_owned();
            (text, choice["finish_reason"].clone())
        } else {
            let events: Events = stream(&server, "noise", more).await;
            let reason = events.pieces(0).last().unwrap()["finish_reason"].clone();
            (events.content(0), reason)
        };
        if reason == "length" {
            continue;
        }
        assert_eq!(reason, "stop", "{schema}");
        ended += 1;
        let value: Value = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{schema}: {text:?}: {error}"));
        let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
        assert!(validator.is_valid(&value), "{schema}: {text}");
    }
    assert!(ended * 4 > schemas.len() * 3, "{ended} of {} came to an end", schemas.len());
}
