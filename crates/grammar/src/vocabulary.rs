//! The tokenizer in the form that the parser walks: a trie of the bytes of all tokens.

use std::sync::Arc;

use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use phial_text::{TokenId, Tokenizer};

use crate::limits::TOKEN_BYTES_MAX;
use crate::refused::InvalidVocabulary;

/// A tokenizer and the trie of its tokens.
struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.tokenizer.encode_bytes(bytes)
    }
}

/// Makes the trie; `stop_tokens` are those that end a text.
pub(crate) fn environment(
    tokenizer: Arc<Tokenizer>,
    stop_tokens: &[TokenId],
) -> Result<TokEnv, InvalidVocabulary> {
    let size = tokenizer.vocabulary_size();
    let known = |token: &TokenId| tokenizer.token_bytes(*token).is_some();
    let stop_tokens: Vec<TokenId> = stop_tokens.iter().copied().filter(known).collect();
    let Some(&first) = stop_tokens.first() else { return Err(InvalidVocabulary::NoStopToken) };
    let size = u32::try_from(size)
        .map_err(|_| InvalidVocabulary::Unsupported(format!("it has {size} ids")))?;
    let words: Vec<Vec<u8>> = (0..size).map(|token| trie_bytes(&tokenizer, token)).collect();
    let info = TokRxInfo::new(size, first);
    // The trie's own limits are met: ids are below 4 million, tokens short. What is left would be
    // a mistake in the library, and must not take the program down with it.
    let build = || TokTrie::from(&info, &words).with_eos_tokens(&stop_tokens);
    let trie = std::panic::catch_unwind(build)
        .map_err(|_| InvalidVocabulary::Unsupported("its trie cannot be built".to_owned()))?;
    Ok(Arc::new(Vocabulary { tokenizer, trie }))
}

/// The bytes of a token in the trie; empty for one that is never allowed.
fn trie_bytes(tokenizer: &Tokenizer, token: TokenId) -> Vec<u8> {
    let Some(bytes) = tokenizer.token_bytes(token) else { return Vec::new() };
    if bytes.len() > TOKEN_BYTES_MAX {
        return Vec::new();
    }
    if is_added(tokenizer, token) {
        // The marker is no byte of any text, so text can never be written with added tokens.
        return [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat();
    }
    // Never part of UTF-8, and the marker besides.
    if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) {
        return Vec::new();
    }
    bytes.to_vec()
}

/// Whether a token is found by its spelling: a control token, or a marker such as those of tools.
pub(crate) fn is_added(tokenizer: &Tokenizer, token: TokenId) -> bool {
    tokenizer.is_control(token)
        || tokenizer.token_text(token).and_then(|text| tokenizer.token_id(text)) == Some(token)
}
