//! Completions of plain text.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{Events, Reply, post_to, server};
use crate::fake::{self, MODEL};

const PATH: &str = "/v1/completions";

fn body(prompt: impl Into<Value>, more: Value) -> Value {
    let mut body = json!({"model": MODEL, "prompt": prompt.into()});
    let Value::Object(more) = more else { panic!("fields") };
    more.into_iter().for_each(|(name, value)| body[name] = value);
    body
}

async fn ask(prompt: impl Into<Value>, more: Value) -> Reply {
    post_to(&server(), PATH, &body(prompt, more)).await
}

async fn answer(prompt: impl Into<Value>, more: Value) -> Value {
    let reply = ask(prompt, more).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()
}

#[tokio::test]
async fn a_text_goes_on() {
    let answer = answer("abc", json!({"max_tokens": 3})).await;
    let object = answer.as_object().unwrap();
    let names: Vec<_> = object.keys().map(String::as_str).collect();
    let expected = ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"];
    assert_eq!(names, expected);
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(answer["object"], "text_completion");
    let choice = json!([{"text": "def", "index": 0, "logprobs": null, "finish_reason": "length"}]);
    assert_eq!(answer["choices"], choice);
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn sixteen_tokens_are_the_usual() {
    assert_eq!(answer("a", json!({})).await["choices"][0]["text"], "bcdefghijklmnopq");
    let end = answer("w", json!({})).await;
    assert_eq!(end["choices"][0]["text"], "xyz");
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn prompts_come_in_four_forms() {
    for (prompt, texts) in [
        (json!("ab"), vec!["cd"]),
        (json!(["ab", "x"]), vec!["cd", "yz"]),
        (json!([97, 98]), vec!["cd"]),
        (json!([[97, 98], [120]]), vec!["cd", "yz"]),
    ] {
        let answer = answer(prompt, json!({"max_tokens": 2})).await;
        let choices = answer["choices"].as_array().unwrap();
        let given: Vec<_> = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(given, texts);
        let indices: Vec<_> = choices.iter().map(|choice| &choice["index"]).collect();
        assert_eq!(
            indices,
            (0..texts.len()).map(Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn several_choices_of_several_prompts() {
    let answer = answer(json!(["ab", "x"]), json!({"max_tokens": 1, "n": 2})).await;
    let texts: Vec<_> =
        answer["choices"].as_array().unwrap().iter().map(|choice| &choice["text"]).collect();
    assert_eq!(texts, ["c", "c", "y", "y"]);
    // A prompt counts once, however many texts it has.
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    assert_eq!(answer["usage"]["completion_tokens"], 4);
}

#[tokio::test]
async fn log_probabilities_of_an_echoed_prompt() {
    // What harnesses ask to find how probable a text is.
    for prompt in [json!("abZ"), json!([97, 98, 90])] {
        let more = json!({"echo": true, "max_tokens": 0, "logprobs": 1});
        let answer = answer(prompt, more).await;
        let choice = &answer["choices"][0];
        assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("abZ"), &json!("length")));
        let logprobs = &choice["logprobs"];
        assert_eq!(logprobs["tokens"], json!(["a", "b", "Z"]));
        assert_eq!(logprobs["text_offset"], json!([0, 1, 2]));
        let values = &logprobs["token_logprobs"];
        assert_eq!(values[0], Value::Null);
        assert!(values[1].as_f64().unwrap() > -0.001, "{values}");
        assert!((values[2].as_f64().unwrap() + 50.0).abs() < 0.001, "{values}");
        assert_eq!(logprobs["top_logprobs"][0], Value::Null);
        assert_eq!(logprobs["top_logprobs"][1].as_object().unwrap().len(), 1);
        // The likeliest, and the one that stands there.
        let top = logprobs["top_logprobs"][2].as_object().unwrap();
        assert_eq!(top.keys().collect::<Vec<_>>(), ["c", "Z"]);
        assert_eq!(answer["usage"]["completion_tokens"], 0);
    }
    let more = json!({"echo": true, "max_tokens": 1, "logprobs": 2});
    let answer = answer("\u{e4}b", more).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], "\u{e4}bc");
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["tokens"], json!(["bytes:\\xc3", "bytes:\\xa4", "b", "c"]));
    assert_eq!(logprobs["text_offset"], json!([0, 1, 1, 2]));
    for (name, list) in logprobs.as_object().unwrap() {
        assert_eq!(list.as_array().unwrap().len(), 4, "{name}");
    }
}

#[tokio::test]
async fn an_echo_without_more() {
    let answer = answer("abc", json!({"echo": true, "max_tokens": 0})).await;
    assert_eq!(answer["choices"][0]["text"], "abc");
    assert_eq!(answer["choices"][0]["logprobs"], Value::Null);
}

#[tokio::test]
async fn pieces_have_the_same_shape() {
    let more = json!({
        "stream": true, "max_tokens": 2, "echo": true, "logprobs": 0, "n": 2,
        "stream_options": {"include_usage": true},
    });
    let reply = ask("ab", more).await;
    assert!(reply.header("content-type").starts_with("text/event-stream"));
    let events = Events::parse(&reply.body);
    assert!(events.done);
    let (last, pieces) = events.chunks.split_last().unwrap();
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(6)));
    for index in 0..2 {
        let own: Vec<_> =
            pieces.iter().filter(|piece| piece["choices"][0]["index"] == index).collect();
        let text: String =
            own.iter().map(|piece| piece["choices"][0]["text"].as_str().unwrap()).collect();
        assert_eq!(text, "abcd");
        let tokens: Vec<_> = own
            .iter()
            .filter_map(|piece| piece["choices"][0]["logprobs"]["tokens"].as_array())
            .flatten()
            .collect();
        assert_eq!(tokens, ["a", "b", "c", "d"]);
        let reasons: Vec<_> =
            own.iter().map(|piece| &piece["choices"][0]["finish_reason"]).collect();
        assert_eq!(*reasons.last().unwrap(), "length");
        assert!(reasons[..reasons.len() - 1].iter().all(|reason| reason.is_null()));
    }
    for piece in pieces {
        assert_eq!(piece["object"], "text_completion");
        assert_eq!(piece["usage"], Value::Null);
        assert_eq!(piece["id"], pieces[0]["id"]);
    }
}

#[tokio::test]
async fn stop_strings_end_texts() {
    let answer = answer("ab", json!({"stop": "ef"})).await;
    assert_eq!(answer["choices"][0]["text"], "cd");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn mistakes_are_named() {
    let long = "x".repeat(fake::CONTEXT);
    let cases = [
        (json!(null), json!({}), "missing_required_parameter", "prompt"),
        (json!([]), json!({}), "invalid_value", "prompt"),
        (json!(""), json!({}), "invalid_value", "prompt"),
        (json!({}), json!({}), "invalid_type", "prompt"),
        (json!(["a", 1]), json!({}), "invalid_type", "prompt[1]"),
        (json!([1, "a"]), json!({}), "invalid_type", "prompt[1]"),
        (json!([1, -1]), json!({}), "invalid_value", "prompt[1]"),
        (json!([[1], [4000]]), json!({}), "invalid_value", "prompt[1][0]"),
        (json!("a"), json!({"suffix": "b"}), "unsupported_parameter", "suffix"),
        (json!("a"), json!({"best_of": 2}), "unsupported_parameter", "best_of"),
        (json!("a"), json!({"max_tokens": 0}), "invalid_value", "max_tokens"),
        (json!("a"), json!({"logprobs": 6}), "invalid_value", "logprobs"),
        (json!("a"), json!({"logprobs": true}), "invalid_type", "logprobs"),
        (json!("a"), json!({"n": 13}), "invalid_value", "prompt"),
        (json!("a"), json!({"n": 9}), "invalid_value", "n"),
        (json!("a"), json!({"top_logprobs": 1}), "unknown_parameter", "top_logprobs"),
        (json!(long), json!({}), "context_length_exceeded", "prompt"),
    ];
    for (prompt, more, code, param) in cases {
        let shown = more.to_string();
        let reply = ask(prompt, more).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{shown}");
        let error = &reply.json()["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
    }
}

#[tokio::test]
async fn values_that_ask_for_nothing_pass() {
    let more = json!({"suffix": "", "best_of": 1, "logprobs": null, "user": "me", "n": 1});
    assert_eq!(ask("a", more).await.status, StatusCode::OK);
}
