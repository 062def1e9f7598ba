//! From the wire to an ask per prompt.

use phial_engine::{PromptReport, TokenId};
use phial_openai::{CompletionRequest, InvalidRequest, PromptInput, StreamOptions};

use super::choice::{Choice, Echo};
use crate::answer::{self, Ask, Input, Prepared};
use crate::api_error::ApiError;
use crate::prompt_input::read_tokens;
use crate::sampling::sampling_options;
use crate::server::Server;

/// Completions that the engine can take.
pub(super) struct PreparedCompletions {
    pub prepared: Prepared,
    /// One per text.
    pub choices: Vec<Choice>,
    pub texts_per_prompt: usize,
    pub stream: Option<StreamOptions>,
}

/// Reads, checks and tokenises a body. Takes time in proportion to its length.
pub(super) fn prepare(server: &Server, body: &[u8]) -> Result<PreparedCompletions, ApiError> {
    let asked = CompletionRequest::from_json(body)?;
    server.check_model(&asked.model)?;
    let (texts, most) = (asked.prompts.len() * asked.choices, server.engine().requests_max());
    if texts > most {
        let problem = format_args!(
            "{texts} texts were asked for; this server works on at most {most} at a time."
        );
        return Err(InvalidRequest::value("prompt", problem).into());
    }
    let mut choices = Vec::with_capacity(texts);
    let mut joined: Option<Prepared> = None;
    for (index, prompt) in asked.prompts.iter().enumerate() {
        let several = asked.prompts.len() > 1;
        let path = if several { format!("prompt[{index}]") } else { "prompt".to_owned() };
        let tokens = read_tokens(server, prompt, &path)?;
        for _ in 0..asked.choices {
            let echo = asked.echo.then(|| echo(server, prompt, &tokens));
            choices.push(Choice::new(server.model(), echo, asked.logprobs.is_some()));
        }
        // Texts of one seed differ from each other, also where their prompts are the same.
        let first_text = index * asked.choices;
        let prepared = prepare_one(server, &asked, tokens, first_text)?;
        match &mut joined {
            Some(joined) => joined.join(prepared),
            None => joined = Some(prepared),
        }
    }
    let prepared = joined.ok_or_else(|| InvalidRequest::missing("prompt"))?;
    Ok(PreparedCompletions {
        prepared,
        choices,
        texts_per_prompt: asked.choices,
        stream: asked.stream,
    })
}

fn prepare_one(
    server: &Server,
    asked: &CompletionRequest,
    tokens: Vec<TokenId>,
    first_text: usize,
) -> Result<Prepared, ApiError> {
    let mut sampling = sampling_options(&asked.sampling);
    sampling.seed = sampling.seed.map(|seed| seed.wrapping_add(first_text as u64));
    let ask = Ask {
        input: Input::Tokens(tokens),
        input_field: "prompt",
        tokens_max: Some(asked.tokens_max),
        sampling,
        choices: asked.choices,
        stop: asked.sampling.stop.clone(),
        logprobs: asked.logprobs,
        format: asked.format.clone(),
        ignore_eos: asked.sampling.ignore_eos,
        prediction: String::new(),
    };
    let mut prepared = answer::prepare(server, ask)?;
    match asked.logprobs {
        Some(top) if asked.echo => prepared.report_prompt(PromptReport::Logprobs(top)),
        // The engine has nothing else to do with it.
        None if asked.tokens_max == 0 => prepared.report_prompt(PromptReport::Logprobs(0)),
        _ => {}
    }
    Ok(prepared)
}

fn echo(server: &Server, prompt: &PromptInput, tokens: &[TokenId]) -> Echo {
    let text = match prompt {
        PromptInput::Text(text) => text.clone(),
        PromptInput::Tokens(tokens) => server.model().tokenizer.decode(tokens, false),
    };
    Echo { text, tokens: tokens.to_vec() }
}
