//! Answers in one piece.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::client::{chat, get, post, server, slow_server};
use crate::fake::{CONTEXT, MODEL};

/// Asks, and gives the first choice.
async fn choice(content: &str, more: Value) -> Value {
    let reply = post(&server(), &chat(content, more)).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()["choices"][0].clone()
}

#[tokio::test]
async fn an_answer_has_the_official_shape() {
    let reply = post(&server(), &chat("Hello", json!({}))).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("x-request-id").starts_with("req_"));
    assert!(reply.header("openai-processing-ms").parse::<u64>().is_ok());

    let mut body = reply.json();
    assert!(body["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    assert!(body["system_fingerprint"].as_str().unwrap().starts_with("fp_"));
    for name in ["id", "created", "system_fingerprint"] {
        body.as_object_mut().unwrap().remove(name);
    }
    let expected = json!({
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        // <|user|> Hello <|end|> <|assistant|>, and Hello <|end|>.
        "usage": {
            "prompt_tokens": 8,
            "completion_tokens": 6,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_was_read_before_is_told() {
    let server = server();
    let ask = chat("The same question", json!({"n": 2}));
    // <|user|> 17 bytes <|end|> <|assistant|>; the last is read in any case.
    for cached in [0, 19] {
        let usage = post(&server, &ask).await.json()["usage"].clone();
        assert_eq!(usage["prompt_tokens"], 20);
        assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], cached);
    }
}

#[tokio::test]
async fn a_prediction_is_tried_and_told() {
    // Steps that take the same time however many rows they have, and long beside what else the
    // machine does: guesses gain.
    let server = slow_server(20);
    // The model says what the question spells, which is predicted, or predicted but for some
    // letters: one alone may be met in a step that guesses nothing.
    let text = "a text that is long enough to be worth a guess or two, then some more of it, \
                and at last the end";
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let ask = format!("hex {hex}");
    let wrong = text.replace("worth", "wortx").replace("some", "sxme").replace("last", "lxst");
    let parts = json!([{"type": "text", "text": wrong}]);
    for content in [json!(text), parts] {
        let right = content == json!(text);
        let prediction = json!({"type": "content", "content": content});
        let body = post(&server, &chat(&ask, json!({"prediction": prediction}))).await.json();
        assert_eq!(body["choices"][0]["message"]["content"], text);
        let details = &body["usage"]["completion_tokens_details"];
        assert!(details["accepted_prediction_tokens"].as_u64() > Some(20), "{details}");
        assert_eq!(details["rejected_prediction_tokens"] == 0, right, "{details}");
    }
    for (prediction, param) in [
        (json!("x"), "prediction"),
        (json!({"content": "x"}), "prediction.type"),
        (json!({"type": "words", "content": "x"}), "prediction.type"),
        (json!({"type": "content"}), "prediction.content"),
        (json!({"type": "content", "content": 1}), "prediction.content"),
    ] {
        let reply = post(&server, &chat("Hi", json!({"prediction": prediction}))).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert_eq!(reply.json()["error"]["param"], param);
    }
}

#[tokio::test]
async fn messages_come_in_every_form() {
    let server = server();
    let messages = json!([
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "a", "name": "someone"},
        {"role": "assistant", "content": null},
        {"role": "user", "content": "b"},
        {"role": "assistant"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
    ]);
    let reply = post(&server, &json!({"model": MODEL, "messages": messages})).await;
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "one\ntwo");
    // "Be brief.", a, b, c, "one\ntwo"; eight roles, eight ends, the turn to speak.
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 9 + 3 + 7 + 8 + 8 + 1);
}

#[tokio::test]
async fn text_that_spells_a_control_token_is_text() {
    let choice = choice("<|end|>", json!({})).await;
    assert_eq!(choice["message"]["content"], "<|end|>");
}

#[tokio::test]
async fn fields_that_ask_for_nothing_pass() {
    let more = json!({
        "tools": [], "tool_choice": "none", "functions": [], "response_format": {"type": "text"},
        "modalities": ["text"], "store": false, "user": "someone", "metadata": {"run": "1"},
        "parallel_tool_calls": true, "service_tier": "auto", "verbosity": "medium",
        "stream": false, "stream_options": null, "temperature": null, "n": null, "stop": null,
        "safety_identifier": "s", "prompt_cache_key": "k", "no_such_field": null,
        "prompt_cache_retention": "in_memory", "guided_json": null,
    });
    assert_eq!(choice("Hi", more).await["message"]["content"], "Hi");
}

#[tokio::test]
async fn limits_end_an_answer() {
    let both = json!({"max_tokens": 3, "max_completion_tokens": 3});
    for more in [json!({"max_tokens": 3}), json!({"max_completion_tokens": 3}), both] {
        let choice = choice("Hello", more).await;
        assert_eq!(choice["message"]["content"], "Hel");
        assert_eq!(choice["finish_reason"], "length");
    }
}

#[tokio::test]
async fn the_context_ends_an_answer() {
    let server = server();
    for more in [json!({}), json!({"max_tokens": 100_000})] {
        let reply = post(&server, &chat("forever", more)).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
        assert_eq!(reply.json()["usage"]["total_tokens"], CONTEXT);
    }
}

#[tokio::test]
async fn stop_strings_end_an_answer_before_them() {
    for stop in [json!("END"), json!(["never", "END"])] {
        let choice = choice("some ENEND more", json!({"stop": stop})).await;
        assert_eq!(choice["message"]["content"], "some EN");
        assert_eq!(choice["finish_reason"], "stop");
    }
}

#[tokio::test]
async fn characters_of_several_tokens_come_whole() {
    assert_eq!(choice("naïve 🦀", json!({})).await["message"]["content"], "naïve 🦀");
    assert_eq!(
        choice("hex 61ff62e282", json!({})).await["message"]["content"],
        "a\u{fffd}b\u{fffd}"
    );
}

#[tokio::test]
async fn a_seed_gives_the_same_answer_again() {
    let server = server();
    let mut answers = Vec::new();
    for seed in [1, 1, 2, -1] {
        let more = json!({"seed": seed, "max_tokens": 20});
        let reply = post(&server, &chat("random", more)).await;
        answers.push(reply.json()["choices"][0]["message"]["content"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    assert_ne!(answers[0], answers[2]);
    assert_ne!(answers[0], answers[3]);
}

#[tokio::test]
async fn several_choices_differ_and_repeat() {
    let server = server();
    let more = json!({"n": 3, "seed": 5, "max_tokens": 12});
    let first = post(&server, &chat("random", more.clone())).await.json();
    let texts = |body: &Value| -> Vec<Value> {
        let choices = body["choices"].as_array().unwrap();
        assert!(choices.iter().enumerate().all(|(index, choice)| choice["index"] == index));
        choices.iter().map(|choice| choice["message"]["content"].clone()).collect()
    };
    let said = texts(&first);
    assert_eq!(said.len(), 3);
    assert!(said[0] != said[1] && said[1] != said[2] && said[0] != said[2]);
    // The prompt is one, however many answers there are.
    assert_eq!(first["usage"]["prompt_tokens"], 9);
    assert_eq!(first["usage"]["completion_tokens"], 36);
    assert_eq!(texts(&post(&server, &chat("random", more)).await.json()), said);
}

#[tokio::test]
async fn sampling_parameters_reach_the_engine() {
    let ban = json!({"logit_bias": {"72": -100}, "max_tokens": 1});
    // Without `H` the model's second choice remains.
    assert_eq!(choice("Hello", ban).await["message"]["content"], "I");
    let one = json!({"top_k": 1, "max_tokens": 4, "seed": 3});
    assert_eq!(choice("random", one).await["message"]["content"], "aaaa");
    let greedy = json!({"temperature": 0, "max_tokens": 4});
    assert_eq!(choice("random", greedy).await["message"]["content"], "aaaa");
    let varied = json!({"temperature": 0, "frequency_penalty": 2, "max_tokens": 4});
    assert_eq!(choice("random", varied).await["message"]["content"], "abcd");
}

#[tokio::test]
async fn the_end_of_a_turn_can_be_ignored() {
    let more = json!({"ignore_eos": true, "max_tokens": 6});
    let choice = choice("end ab", more).await;
    assert_eq!(choice["message"]["content"], "abab");
    assert_eq!(choice["finish_reason"], "length");
}

#[tokio::test]
async fn log_probabilities_match_the_text() {
    let more = json!({"logprobs": true, "top_logprobs": 2, "stop": "END"});
    let choice = choice("aé END", more).await;
    assert_eq!(choice["message"]["content"], "aé ");
    let content = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(choice["logprobs"]["refusal"], Value::Null);
    let bytes: Vec<u8> =
        content.iter().map(|token| token["bytes"][0].as_u64().unwrap() as u8).collect();
    assert_eq!(bytes, "aé ".as_bytes());
    assert_eq!(content[0]["token"], "a");
    assert_eq!(content[1]["token"], "\u{fffd}");
    for token in content {
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        assert_eq!(top[0]["bytes"], token["bytes"]);
        assert!(top[0]["logprob"].as_f64() > top[1]["logprob"].as_f64());
    }
}

#[tokio::test]
async fn log_probabilities_without_alternatives() {
    let choice = choice("abc", json!({"logprobs": true})).await;
    let content = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), 3);
    assert!(content.iter().all(|token| token["top_logprobs"] == json!([])));
}

#[tokio::test]
async fn models_are_listed() {
    let server = server();
    let model = json!({
        "id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "phial",
        "max_model_len": CONTEXT,
    });
    let list = get(&server, "/v1/models").await.json();
    assert_eq!(list, json!({"object": "list", "data": [model]}));
    // The name has a slash.
    assert_eq!(get(&server, "/v1/models/fake/echo").await.json(), model);
    let missing = get(&server, "/v1/models/fake/other").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(missing.json()["error"]["code"], "model_not_found");
    assert_eq!(get(&server, "/health").await.json(), json!({"status": "ok"}));
}
