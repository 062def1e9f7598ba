//! `/tokenize`, `/detokenize` and `/apply-template`: what the model reads, shown.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use phial_openai::{
    AppliedTemplate, ChatRequest, DetokenizeRequest, Detokenized, InvalidRequest, TokenizeInput,
    TokenizeRequest, Tokenized,
};
use phial_text::Prompt;
use serde_json::Value;

use crate::answer::{Ask, Input, render};
use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::chat;
use crate::prompt_input::{check_tokens, encode};
use crate::server::Server;

/// `POST /tokenize`
pub(crate) async fn tokenize(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Tokenized>, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    blocking(move || {
        let request = TokenizeRequest::from_json(&body)?;
        let tokenizer = &server.model().tokenizer;
        let tokens = match request.input {
            TokenizeInput::Chat(body) => tokenizer.encode_prompt(&prompt(&server, body)?),
            TokenizeInput::Text { text, add_special_tokens, parse_special } => {
                encode(tokenizer, &text, add_special_tokens, parse_special)
            }
        };
        let text = |token: &u32| {
            let bytes = tokenizer.token_bytes(*token).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        Ok(Json(Tokenized {
            count: tokens.len(),
            max_model_len: server.context_tokens(),
            token_strs: request.return_token_strings.then(|| tokens.iter().map(text).collect()),
            tokens,
        }))
    })
    .await
}

/// `POST /detokenize`
pub(crate) async fn detokenize(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Detokenized>, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    blocking(move || {
        let tokens = DetokenizeRequest::from_json(&body)?.tokens;
        let tokenizer = &server.model().tokenizer;
        check_tokens(tokenizer, &tokens, "tokens")?;
        let text = tokenizer.decode(&tokens, false);
        Ok(Json(Detokenized { prompt: text.clone(), content: text }))
    })
    .await
}

/// `POST /apply-template`
pub(crate) async fn apply_template(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AppliedTemplate>, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    blocking(move || {
        let body = serde_json::from_slice(&body).map_err(|error| InvalidRequest::syntax(&error))?;
        Ok(Json(AppliedTemplate { prompt: prompt(&server, body)?.to_string() }))
    })
    .await
}

/// The prompt of a chat; its model may be left out.
fn prompt(server: &Server, mut body: Value) -> Result<Prompt, ApiError> {
    if let Value::Object(fields) = &mut body {
        fields.entry("model").or_insert_with(|| server.model().id.clone().into());
    }
    let chat = ChatRequest::from_json(body.to_string().as_bytes())?;
    server.check_model(&chat.model)?;
    if !chat.tools.servers.is_empty() {
        return Err(InvalidRequest::unsupported_beyond("tools", "those of type 'function'").into());
    }
    let Ask { input, input_field, .. } = chat::ask(chat);
    match input {
        Input::Chat { messages, tools } => Ok(render(server, &messages, &tools, input_field)?),
        Input::Tokens(_) => Err(ApiError::internal()),
    }
}
