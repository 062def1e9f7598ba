//! Checks a running server with the client crate `async-openai`.
//!
//! `cargo run -- http://127.0.0.1:8000/v1 MODEL`, where the server runs the example `fake` of
//! phial-serve. Prints one line per check; exits with 1 if any failed.

use std::pin::Pin;
use std::process::ExitCode;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::chat::FinishReason;
use async_openai::types::responses::{ResponseStreamEvent, Status};
use futures_util::StreamExt;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

/// A server and the model that it serves.
struct Setup {
    client: Client<OpenAIConfig>,
    model: String,
}

/// A request as the crate has it; what the crate does not know would be lost here.
fn request<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(value)?)
}

fn expect(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.into()) }
}

impl Setup {
    fn chat(&self, more: Value) -> Value {
        let mut body = json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Say hello."},
            ],
            "max_completion_tokens": 64,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }
}

async fn models(setup: &Setup) -> Outcome {
    let listed = setup.client.models().list().await?;
    expect(listed.data.iter().any(|model| model.id == setup.model), "the model is not listed")?;
    let model = setup.client.models().retrieve(&setup.model).await?;
    expect(model.id == setup.model, "another model")
}

async fn chat(setup: &Setup) -> Outcome {
    let asked = setup.chat(json!({"n": 2, "seed": 1, "logprobs": true, "top_logprobs": 2}));
    let answer = setup.client.chat().create(request(asked)?).await?;
    expect(answer.choices.len() == 2, "two choices")?;
    let choice = &answer.choices[0];
    expect(choice.message.content.as_deref() == Some("Say hello."), "the content")?;
    expect(choice.finish_reason == Some(FinishReason::Stop), "the reason")?;
    expect(answer.usage.is_some_and(|usage| usage.completion_tokens > 0), "the usage")
}

async fn chat_streamed(setup: &Setup) -> Outcome {
    let asked = setup.chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let mut stream = setup.client.chat().create_stream(request(asked)?).await?;
    let (mut text, mut reason, mut usage) = (String::new(), None, None);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        usage = chunk.usage.or(usage);
        for choice in chunk.choices {
            text.extend(choice.delta.content);
            reason = choice.finish_reason.or(reason);
        }
    }
    expect(text == "Say hello.", &text)?;
    expect(reason == Some(FinishReason::Stop) && usage.is_some(), "how it ends")
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": false,
    })
}

async fn structured(setup: &Setup) -> Outcome {
    let format = json!({"type": "json_schema",
        "json_schema": {"name": "light", "schema": schema(), "strict": true}});
    let asked = setup.chat(json!({"response_format": format}));
    let answer = setup.client.chat().create(request(asked)?).await?;
    let text = answer.choices[0].message.content.clone().unwrap_or_default();
    let value: Value = serde_json::from_str(&text)?;
    expect(value["on"].is_boolean(), &text)
}

async fn tools(setup: &Setup) -> Outcome {
    let tool = json!({"type": "function", "function": {"name": "light", "parameters": schema()}});
    let named = json!({"type": "function", "function": {"name": "light"}});
    let asked = setup.chat(json!({"tools": [tool], "tool_choice": named}));
    let answer = serde_json::to_value(setup.client.chat().create(request(asked.clone())?).await?)?;
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    expect(call["function"]["name"] == "light", &answer.to_string())?;
    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
    expect(serde_json::from_str::<Value>(arguments)?["on"].is_boolean(), arguments)?;

    let mut streamed = asked;
    streamed["stream"] = true.into();
    let mut stream = setup.client.chat().create_stream(request(streamed)?).await?;
    let (mut pieces, mut reason) = (String::new(), None);
    while let Some(chunk) = stream.next().await {
        for choice in chunk?.choices {
            reason = choice.finish_reason.or(reason);
            for piece in choice.delta.tool_calls.into_iter().flatten() {
                pieces.extend(piece.function.and_then(|function| function.arguments));
            }
        }
    }
    expect(pieces == arguments, &pieces)?;
    expect(reason == Some(FinishReason::ToolCalls), "the reason")
}

async fn completions(setup: &Setup) -> Outcome {
    let asked = json!({"model": setup.model, "prompt": "abc", "max_tokens": 3});
    let answer = setup.client.completions().create(request(asked.clone())?).await?;
    expect(answer.choices[0].text == "def", &answer.choices[0].text)?;
    let mut streamed = asked;
    streamed["stream"] = true.into();
    let mut stream = setup.client.completions().create_stream(request(streamed)?).await?;
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        piece?.choices.iter().for_each(|choice| text.push_str(&choice.text));
    }
    expect(text == "def", &text)
}

async fn embeddings(setup: &Setup) -> Outcome {
    let asked = json!({"model": setup.model, "input": ["one", "two"]});
    let answer = setup.client.embeddings().create(request(asked)?).await?;
    expect(answer.data.len() == 2, "two vectors")?;
    let values = &answer.data[0].embedding;
    let length: f32 = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    expect((length - 1.0).abs() < 1e-3, "the length of a vector")
}

async fn responses(setup: &Setup) -> Outcome {
    let asked = json!({"model": setup.model, "input": "Say hello.", "instructions": "Be brief."});
    let response = setup.client.responses().create(request(asked.clone())?).await?;
    expect(response.status == Status::Completed, "the status")?;
    expect(response.output_text().as_deref() == Some("Say hello."), "the text")?;
    let again = setup.client.responses().retrieve(&response.id).await?;
    expect(again.output_text() == response.output_text(), "what was stored")?;
    setup.client.responses().delete(&response.id).await?;

    let mut streamed = asked;
    streamed["stream"] = true.into();
    streamed["text"] = json!({"format": {"type": "json_schema", "name": "light",
        "schema": schema(), "strict": true}});
    let mut stream = setup.client.responses().create_stream(request(streamed)?).await?;
    let (mut text, mut done) = (String::new(), false);
    while let Some(event) = stream.next().await {
        match event? {
            ResponseStreamEvent::ResponseOutputTextDelta(event) => text.push_str(&event.delta),
            ResponseStreamEvent::ResponseCompleted(event) => {
                done = event.response.status == Status::Completed;
            }
            _ => {}
        }
    }
    expect(done && serde_json::from_str::<Value>(&text)?["on"].is_boolean(), &text)
}

async fn errors(setup: &Setup) -> Outcome {
    let bad = json!({"type": "json_schema", "json_schema": {"name": "light",
        "schema": {"type": "object", "properties": {"on": {"not": {}}}}}});
    let asked = setup.chat(json!({"response_format": bad}));
    match setup.client.chat().create(request(asked)?).await {
        Err(OpenAIError::ApiError(error)) => {
            let shown = format!("{error:?}");
            let told = ["invalid_json_schema", "response_format", "'not' at '#/properties/on/not'"];
            expect(told.iter().all(|part| shown.contains(part)), &shown)
        }
        other => Err(format!("{other:?}").into()),
    }
}

type Check = for<'s> fn(&'s Setup) -> Pin<Box<dyn Future<Output = Outcome> + 's>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(base), Some(model)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: phial-rust-client http://127.0.0.1:8000/v1 MODEL");
        return ExitCode::FAILURE;
    };
    let config = OpenAIConfig::new().with_api_base(base).with_api_key("none");
    let setup = Setup { client: Client::with_config(config), model };
    let checks: [(&str, Check); 9] = [
        ("models", |setup| Box::pin(models(setup))),
        ("chat", |setup| Box::pin(chat(setup))),
        ("chat_streamed", |setup| Box::pin(chat_streamed(setup))),
        ("structured", |setup| Box::pin(structured(setup))),
        ("tools", |setup| Box::pin(tools(setup))),
        ("completions", |setup| Box::pin(completions(setup))),
        ("embeddings", |setup| Box::pin(embeddings(setup))),
        ("responses", |setup| Box::pin(responses(setup))),
        ("errors", |setup| Box::pin(errors(setup))),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        match check(&setup).await {
            Ok(()) => println!("ok   {name}"),
            Err(error) => {
                failed += 1;
                println!("FAIL {name}: {error}");
            }
        }
    }
    println!("{} passed, {failed} failed", checks.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
