//! From the wire to the engine.

use phial_engine::{Request, Sampling, SamplingOptions};
use phial_openai::{ChatRequest, InvalidRequest, StreamOptions};
use phial_text::Message;

use crate::api_error::ApiError;
use crate::limits::Limits;
use crate::server::Server;

/// A request that the engine can take.
pub(super) struct Prepared {
    /// One per choice.
    pub requests: Vec<Request>,
    /// Of each of them.
    pub prompt_tokens: usize,
    pub logprobs: bool,
    pub stream: Option<StreamOptions>,
}

/// Reads, checks and tokenises a body. Takes time in proportion to its length.
pub(super) fn prepare(server: &Server, body: &[u8]) -> Result<Prepared, ApiError> {
    let chat = ChatRequest::from_json(body)?;
    server.check_model(&chat.model)?;
    check_limits(&chat, &server.options().limits)?;
    let sampling = sampling_options(&chat, server.model().tokenizer.vocabulary_size())?;
    let prompt = prompt(server, &chat)?;
    let prompt_tokens = prompt.len();
    let context = server.context_tokens();
    if prompt_tokens >= context {
        return Err(ApiError::context_length(context, prompt_tokens));
    }
    let room = context - prompt_tokens;
    let mut requests = Vec::with_capacity(chat.choices);
    for index in 0..chat.choices {
        // Choices of one seed differ from each other, and each is the same the next time.
        let seed = chat.seed.map(|seed| (seed as u64).wrapping_add(index as u64));
        let options = SamplingOptions { seed, ..sampling.clone() };
        requests.push(Request {
            prompt: prompt.clone(),
            tokens_max: Some(chat.tokens_max.map_or(room, |asked| asked.min(room))),
            sampling: Sampling::new(options).map_err(|error| {
                InvalidRequest::value(error.parameter(), format_args!("{error}."))
            })?,
            stop_tokens: server.model().stop_tokens.clone(),
            stop_strings: chat.stop.clone(),
            ignore_stop_tokens: chat.ignore_eos,
            logprobs: chat.logprobs,
            adapter: None,
            prefix_salt: None,
        });
    }
    let logprobs = chat.logprobs.is_some();
    Ok(Prepared { requests, prompt_tokens, logprobs, stream: chat.stream })
}

fn check_limits(chat: &ChatRequest, limits: &Limits) -> Result<(), InvalidRequest> {
    if chat.messages.len() > limits.messages_max {
        return Err(InvalidRequest::value(
            "messages",
            format_args!(
                "array too long. Expected an array with maximum length {}, but got an array with \
                 length {} instead.",
                limits.messages_max,
                chat.messages.len()
            ),
        ));
    }
    if chat.choices > limits.choices_max {
        return Err(InvalidRequest::value(
            "n",
            format_args!(
                "this server gives at most {} choices, but {} were asked for.",
                limits.choices_max, chat.choices
            ),
        ));
    }
    let longest = chat.stop.iter().map(String::len).max().unwrap_or(0);
    if longest > limits.stop_string_bytes_max {
        return Err(InvalidRequest::value(
            "stop",
            format_args!(
                "string too long. Expected at most {} bytes, but got {longest} instead.",
                limits.stop_string_bytes_max
            ),
        ));
    }
    Ok(())
}

fn prompt(server: &Server, chat: &ChatRequest) -> Result<Vec<u32>, InvalidRequest> {
    let messages: Vec<Message> = chat
        .messages
        .iter()
        .map(|message| Message::new(message.role.name(), message.content.as_str()))
        .collect();
    let model = server.model();
    let prompt = model
        .template
        .render(&messages, None, true)
        .map_err(|error| InvalidRequest::value("messages", format_args!("{error}.")))?;
    Ok(model.tokenizer.encode_prompt(&prompt))
}

/// Everything but the seed, which differs between choices.
fn sampling_options(
    chat: &ChatRequest,
    vocabulary: usize,
) -> Result<SamplingOptions, InvalidRequest> {
    if let Some((token, _)) = chat.logit_bias.iter().find(|(t, _)| *t as usize >= vocabulary) {
        return Err(InvalidRequest::value(
            "logit_bias",
            format_args!("token {token} is outside of the vocabulary of {vocabulary} tokens."),
        ));
    }
    let default = SamplingOptions::default();
    Ok(SamplingOptions {
        temperature: chat.temperature.unwrap_or(default.temperature),
        top_k: chat.top_k.unwrap_or(default.top_k),
        top_p: chat.top_p.unwrap_or(default.top_p),
        min_p: chat.min_p.unwrap_or(default.min_p),
        repetition_penalty: chat.repetition_penalty.unwrap_or(default.repetition_penalty),
        presence_penalty: chat.presence_penalty.unwrap_or(default.presence_penalty),
        frequency_penalty: chat.frequency_penalty.unwrap_or(default.frequency_penalty),
        logit_bias: chat.logit_bias.clone(),
        seed: None,
    })
}
