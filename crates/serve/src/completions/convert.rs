//! From the wire to the engine.

use phial_engine::{PromptReport, Request, TokenId};
use phial_openai::{CompletionRequest, InvalidRequest, PromptInput, StreamOptions};

use super::choice::{Choice, Echo};
use crate::api_error::ApiError;
use crate::prompt_input::read_tokens;
use crate::sampling::{check_stop, sampling};
use crate::server::Server;

/// A request that the engine can take.
pub(super) struct Prepared {
    /// One per choice.
    pub requests: Vec<Request>,
    /// As many.
    pub choices: Vec<Choice>,
    /// Of all prompts, each counted once.
    pub prompt_tokens: usize,
    pub stream: Option<StreamOptions>,
}

/// Reads, checks and tokenises a body. Takes time in proportion to its length.
pub(super) fn prepare(server: &Server, body: &[u8]) -> Result<Prepared, ApiError> {
    let asked = CompletionRequest::from_json(body)?;
    server.check_model(&asked.model)?;
    check_limits(server, &asked)?;
    let mut prepared = Prepared {
        requests: Vec::new(),
        choices: Vec::new(),
        prompt_tokens: 0,
        stream: asked.stream,
    };
    let several = asked.prompts.len() > 1;
    for (index, prompt) in asked.prompts.iter().enumerate() {
        let path = if several { format!("prompt[{index}]") } else { "prompt".to_owned() };
        let tokens = read_tokens(server, prompt, &path)?;
        prepared.prompt_tokens += tokens.len();
        for _ in 0..asked.choices {
            let echo = asked.echo.then(|| echo(server, prompt, &tokens));
            let wants_logprobs = asked.logprobs.is_some();
            prepared.choices.push(Choice::new(server.model(), echo, wants_logprobs));
            prepared.requests.push(request(
                server,
                &asked,
                tokens.clone(),
                prepared.requests.len(),
            )?);
        }
    }
    Ok(prepared)
}

fn check_limits(server: &Server, asked: &CompletionRequest) -> Result<(), InvalidRequest> {
    let limits = &server.options().limits;
    if asked.choices > limits.choices_max {
        let problem = format_args!(
            "this server gives at most {} choices, but {} were asked for.",
            limits.choices_max, asked.choices
        );
        return Err(InvalidRequest::value("n", problem));
    }
    let (texts, most) = (asked.prompts.len() * asked.choices, server.engine().requests_max());
    if texts > most {
        let problem = format_args!(
            "{texts} texts were asked for; this server works on at most {most} at a time."
        );
        return Err(InvalidRequest::value("prompt", problem));
    }
    check_stop(&asked.sampling.stop, "stop", limits)
}

fn echo(server: &Server, prompt: &PromptInput, tokens: &[TokenId]) -> Echo {
    let text = match prompt {
        PromptInput::Text(text) => text.clone(),
        PromptInput::Tokens(tokens) => server.model().tokenizer.decode(tokens, false),
    };
    Echo { text, tokens: tokens.to_vec() }
}

fn request(
    server: &Server,
    asked: &CompletionRequest,
    prompt: Vec<TokenId>,
    index: usize,
) -> Result<Request, ApiError> {
    let context = server.context_tokens();
    if prompt.len() + usize::from(asked.tokens_max > 0) > context {
        return Err(ApiError::context_length(context, prompt.len(), "prompt"));
    }
    let prompt_report = match asked.logprobs {
        Some(top) if asked.echo => PromptReport::Logprobs(top),
        // The engine has nothing else to do with it.
        None if asked.tokens_max == 0 => PromptReport::Logprobs(0),
        _ => PromptReport::Nothing,
    };
    Ok(Request {
        tokens_max: Some(asked.tokens_max.min(context - prompt.len())),
        sampling: sampling(&asked.sampling, server.model().tokenizer.vocabulary_size(), index)?,
        stop_tokens: server.model().stop_tokens.clone(),
        stop_strings: asked.sampling.stop.clone(),
        ignore_stop_tokens: asked.sampling.ignore_eos,
        logprobs: asked.logprobs,
        prompt_report,
        ..Request::new(prompt)
    })
}
