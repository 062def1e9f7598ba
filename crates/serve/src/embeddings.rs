//! `POST /v1/embeddings`
//!
//! The models served here were made to write, not to embed. Their embedding of a text is the mean
//! over its tokens of the last hidden state, scaled to length 1: what is usual for such models.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use phial_engine::{PromptReport, Request, TokenId};
use phial_openai::{EmbeddingEncoding, EmbeddingList, EmbeddingRequest};

use crate::api_error::ApiError;
use crate::body::{blocking, read_json};
use crate::engine_thread::Update;
use crate::exchange::Exchange;
use crate::measure::Measure;
use crate::prompt_input::read_tokens;
use crate::server::Server;

/// Inputs that are in the engine at a time, so that a long list does not fill the queue.
const INPUTS_AT_A_TIME: usize = 8;

struct Prepared {
    inputs: Vec<Vec<TokenId>>,
    encoding: EmbeddingEncoding,
}

/// Embeds texts.
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<EmbeddingList>, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let for_task = server.clone();
    let Prepared { inputs, encoding } = blocking(move || prepare(&for_task, &body)).await?;
    let prompt_tokens = inputs.iter().map(Vec::len).sum();
    exchange.answers(&server.model().id, "", false, prompt_tokens);
    let mut vectors = Vec::with_capacity(inputs.len());
    for inputs in inputs.chunks(INPUTS_AT_A_TIME.min(server.engine().requests_max())) {
        vectors.extend(embed(&server, &exchange, inputs).await?);
    }
    let model = server.model().id.clone();
    Ok(Json(EmbeddingList::new(vectors, encoding, model, prompt_tokens)))
}

fn prepare(server: &Server, body: &[u8]) -> Result<Prepared, ApiError> {
    let asked = EmbeddingRequest::from_json(body)?;
    server.check_model(&asked.model)?;
    let several = asked.inputs.len() > 1;
    let context = server.context_tokens();
    let read = |(index, input)| {
        let path = if several { format!("input[{index}]") } else { "input".to_owned() };
        let tokens = read_tokens(server, input, &path)?;
        if tokens.len() > context {
            return Err(ApiError::context_length(context, tokens.len(), &path));
        }
        Ok(tokens)
    };
    let inputs = asked.inputs.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Prepared { inputs, encoding: asked.encoding })
}

/// What embedding the texts of a body takes.
pub(crate) fn measure(server: &Server, body: &[u8]) -> Result<Measure, ApiError> {
    let prompt_tokens = prepare(server, body)?.inputs.iter().map(Vec::len).sum::<usize>() as u64;
    Ok(Measure { prompt_tokens, generated_tokens_max: 0 })
}

async fn embed(
    server: &Server,
    exchange: &Exchange,
    inputs: &[Vec<TokenId>],
) -> Result<Vec<Vec<f32>>, ApiError> {
    let request = |tokens: &Vec<TokenId>| Request {
        tokens_max: Some(0),
        prompt_report: PromptReport::MeanHidden,
        ..Request::new(tokens.clone())
    };
    let requests = inputs.iter().map(request).collect();
    let prompts: Vec<usize> = (0..inputs.len()).collect();
    let mut submission = server.engine().submit(requests, &prompts, exchange)?;
    let mut vectors = vec![Vec::new(); inputs.len()];
    while !submission.is_done() {
        let (index, update) = submission.next().await?;
        match update {
            Update::PromptHidden(mean) => vectors[index] = normalised(mean),
            Update::Rejected(rejected) => return Err(ApiError::from(&rejected)),
            Update::Started
            | Update::PromptLogprobs(_)
            | Update::Token { .. }
            | Update::Finished { .. } => {}
        }
    }
    Ok(vectors)
}

/// `vector` at length 1; nothing points nowhere.
fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
    }
    vector
}
