//! From an ask to requests that the engine can take.

use phial_engine::{Request, Sampling, SamplingOptions, TokenId};
use phial_openai::InvalidRequest;
use phial_text::{Message, Prompt, SpecialTokens};

use super::reader::Reader;
use super::{Ask, Input, Prepared, Tools, constraint};
use crate::api_error::ApiError;
use crate::limits::Limits;
use crate::server::Server;

/// Checks and tokenises. Takes time in proportion to the length of the input.
///
/// # Errors
/// What is wrong with the ask, naming fields as the chat API does.
pub(crate) fn prepare(server: &Server, ask: Ask) -> Result<Prepared, ApiError> {
    check_limits(&ask, &server.options().limits)?;
    if ask.ignore_eos && ask.format.is_some() {
        let problem = "not allowed where the answer must have a form: it ends with that.";
        return Err(InvalidRequest::value("ignore_eos", problem).into());
    }
    let model = server.model();
    let vocabulary = model.tokenizer.vocabulary_size();
    check_logit_bias(&ask.sampling, vocabulary)?;
    let said = server.wants_content().then(|| said(server, &ask.input));
    let Ask { input, input_field, .. } = ask;
    let (prompt, tools) = match input {
        Input::Tokens(tokens) => (tokens, None),
        Input::Chat { messages, tools } => {
            let prompt = render(server, &messages, &tools, input_field)?;
            (model.tokenizer.encode_prompt(&prompt), Some(tools))
        }
    };
    check_prompt(&prompt, input_field, vocabulary)?;
    let prompt_tokens = prompt.len();
    let context = server.context_tokens();
    if prompt_tokens + usize::from(ask.tokens_max != Some(0)) > context {
        return Err(ApiError::context_length(context, prompt_tokens, input_field));
    }
    let constraint = constraint::of_answer(server, tools.as_ref(), ask.format.as_ref())?;
    let room = context - prompt_tokens;
    let mut prediction = model.tokenizer.encode(&ask.prediction, SpecialTokens::AsText);
    // What lies behind the end of the answer is never looked at.
    prediction.truncate(room);
    let mut requests = Vec::with_capacity(ask.choices);
    for index in 0..ask.choices {
        // Choices of one seed differ from each other, and each is the same the next time.
        let seed = ask.sampling.seed.map(|seed| seed.wrapping_add(index as u64));
        let options = SamplingOptions { seed, ..ask.sampling.clone() };
        requests.push(Request {
            tokens_max: Some(ask.tokens_max.map_or(room, |asked| asked.min(room))),
            sampling: Sampling::new(options).map_err(|error| {
                InvalidRequest::value(error.parameter(), format_args!("{error}."))
            })?,
            stop_tokens: model.stop_tokens.clone(),
            stop_strings: ask.stop.clone(),
            ignore_stop_tokens: ask.ignore_eos,
            logprobs: ask.logprobs,
            prediction: prediction.clone(),
            constraint: constraint.clone(),
            ..Request::new(prompt.clone())
        });
    }
    let reader =
        || Reader::new(server, tools.as_ref(), ask.format.is_some(), ask.logprobs.is_some());
    let readers = (0..ask.choices).map(|_| reader()).collect();
    let prompts = vec![0; requests.len()];
    Ok(Prepared { requests, prompts, prompt_tokens, readers, said })
}

/// Roles and texts of a prompt.
fn said(server: &Server, input: &Input) -> Vec<(String, String)> {
    match input {
        Input::Tokens(tokens) => {
            vec![("user".to_owned(), server.model().tokenizer.decode(tokens, false))]
        }
        Input::Chat { messages, .. } => {
            let said = messages.iter().map(|said| (said.role.clone(), said.content.clone()));
            said.collect()
        }
    }
}

/// The prompt that a conversation becomes.
///
/// # Errors
/// If the template has no place for something in it, naming `input_field`.
pub(crate) fn render(
    server: &Server,
    messages: &[Message],
    tools: &Tools,
    input_field: &str,
) -> Result<Prompt, InvalidRequest> {
    server
        .model()
        .template
        .render(messages, tools.for_template().as_ref(), true)
        .map_err(|error| InvalidRequest::value(input_field, format_args!("{error}.")))
}

/// Tokens of the prompt that `input` becomes.
///
/// # Errors
/// As [`render`].
pub(crate) fn count_tokens(
    server: &Server,
    input: &Input,
    input_field: &str,
) -> Result<usize, ApiError> {
    match input {
        Input::Tokens(tokens) => Ok(tokens.len()),
        Input::Chat { messages, tools } => {
            let prompt = render(server, messages, tools, input_field)?;
            Ok(server.model().tokenizer.encode_prompt(&prompt).len())
        }
    }
}

fn check_limits(ask: &Ask, limits: &Limits) -> Result<(), InvalidRequest> {
    if ask.choices > limits.choices_max {
        return Err(InvalidRequest::value(
            "n",
            format_args!(
                "this server gives at most {} choices, but {} were asked for.",
                limits.choices_max, ask.choices
            ),
        ));
    }
    let longest = ask.stop.iter().map(String::len).max().unwrap_or(0);
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

fn check_logit_bias(sampling: &SamplingOptions, vocabulary: usize) -> Result<(), InvalidRequest> {
    match sampling.logit_bias.iter().find(|(token, _)| *token as usize >= vocabulary) {
        None => Ok(()),
        Some((token, _)) => Err(InvalidRequest::value(
            "logit_bias",
            format_args!("token {token} is outside of the vocabulary of {vocabulary} tokens."),
        )),
    }
}

fn check_prompt(
    prompt: &[TokenId],
    field: &'static str,
    vocabulary: usize,
) -> Result<(), InvalidRequest> {
    if prompt.is_empty() {
        return Err(InvalidRequest::value(field, "it is empty; there is nothing to answer."));
    }
    match prompt.iter().find(|&&token| token as usize >= vocabulary) {
        None => Ok(()),
        Some(token) => Err(InvalidRequest::value(
            field,
            format_args!("token {token} is outside of the vocabulary of {vocabulary} tokens."),
        )),
    }
}
