//! Texts that are no chats, as tokens.

use phial_engine::TokenId;
use phial_openai::{InvalidRequest, PromptInput};
use phial_text::{SpecialTokens, Tokenizer};

use crate::server::Server;

/// The tokens of the text found at `path`, at least one. Names of control tokens in it are these
/// tokens: what takes such texts is for those who write their own prompts.
pub(crate) fn read_tokens(
    server: &Server,
    input: &PromptInput,
    path: &str,
) -> Result<Vec<TokenId>, InvalidRequest> {
    let tokenizer = &server.model().tokenizer;
    let tokens = match input {
        PromptInput::Text(text) => encode(tokenizer, text, true, true),
        PromptInput::Tokens(tokens) => tokens.clone(),
    };
    if tokens.is_empty() {
        return Err(InvalidRequest::value(path, "it is empty; at least one token is needed."));
    }
    check_tokens(tokenizer, &tokens, path)?;
    Ok(tokens)
}

/// Checks that all of `tokens`, found at `path`, exist.
pub(crate) fn check_tokens(
    tokenizer: &Tokenizer,
    tokens: &[TokenId],
    path: &str,
) -> Result<(), InvalidRequest> {
    let vocabulary = tokenizer.vocabulary_size();
    match tokens.iter().position(|&token| token as usize >= vocabulary) {
        Some(index) => Err(InvalidRequest::value(
            format!("{path}[{index}]"),
            format_args!(
                "token {} is outside of the vocabulary of {vocabulary} tokens.",
                tokens[index]
            ),
        )),
        None => Ok(()),
    }
}

/// The tokens of a text.
pub(crate) fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    add_special_tokens: bool,
    parse_special: bool,
) -> Vec<TokenId> {
    let special = if parse_special { SpecialTokens::Recognise } else { SpecialTokens::AsText };
    let mut tokens = tokenizer.encode(text, special);
    let bos = tokenizer.bos().filter(|_| add_special_tokens && tokenizer.add_bos());
    if let Some(bos) = bos
        && tokens.first() != Some(&bos)
    {
        tokens.insert(0, bos);
    }
    tokens
}
