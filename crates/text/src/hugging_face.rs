//! Reading `tokenizer.json` and `tokenizer_config.json` of Hugging Face.
//!
//! What is not supported is refused by name; nothing that changes ids is ignored.

mod config;
mod model;
mod pipeline;

use crate::added::AddedToken;
use crate::limits::{TOKENIZER_JSON_BYTES_MAX, VOCABULARY_MAX};
use crate::split::Splitter;
use crate::table::{TokenKind, TokenTable};
use crate::tokenizer::{Draft, Roles};
use crate::{Error, TokenId, Tokenizer};
use hashbrown::HashMap;
use model::Model;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    added_tokens: Vec<AddedEntry>,
    model: Model,
}

#[derive(Deserialize)]
struct AddedEntry {
    id: u64,
    content: String,
    #[serde(default)]
    special: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

impl Tokenizer {
    /// A tokenizer from a `tokenizer.json`: byte-level BPE without normalisation.
    ///
    /// The file does not say which tokens begin and end a document; see
    /// [`Self::with_tokenizer_config`].
    pub fn from_tokenizer_json(json: &[u8]) -> Result<Self, Error> {
        if json.len() > TOKENIZER_JSON_BYTES_MAX {
            return Err(Error::too_large(format!(
                "tokenizer.json has {} bytes, more than {TOKENIZER_JSON_BYTES_MAX}",
                json.len()
            )));
        }
        let file: TokenizerFile = serde_json::from_slice(json)
            .map_err(|error| Error::invalid(format!("tokenizer.json: {error}")))?;
        file.model.check()?;
        pipeline::check_normalizer(&file.normalizer)?;
        pipeline::check_decoder(&file.decoder)?;
        let splitter = Splitter::new(pipeline::steps(&file.pre_tokenizer)?);
        let frame = pipeline::frame(&file.post_processor)?;

        let Model { vocab, merges, ignore_merges, unk_token, .. } = file.model;
        let (slots, ids) = slots(&vocab, &file.added_tokens)?;
        let mut table = TokenTable::with_capacity(slots.len());
        for (text, kind) in slots {
            table.push_text(text, kind)?;
        }
        let named = |what: &str, text: &str| {
            let unknown = || Error::invalid(format!("{what} {text:?} is not a token"));
            ids.get(text).copied().ok_or_else(unknown)
        };
        let unknown = unk_token.filter(|text| !text.is_empty());
        let roles = Roles {
            bos: frame.first.as_ref().map(|text| named("bos", text)).transpose()?,
            eos: match &frame.last {
                Some(text) => Some(named("eos", text)?),
                None => ids.get("<|endoftext|>").copied(),
            },
            unknown: unknown.map(|text| named("unk_token", &text)).transpose()?,
            padding: None,
            add_bos: frame.first.is_some(),
            add_eos: frame.last.is_some(),
        };
        // Cuts that GGUF has no name for get one that readers refuse rather than mistake.
        let pre = splitter.name().unwrap_or("unnamed").to_owned();
        let added = file
            .added_tokens
            .iter()
            .map(|token| AddedToken {
                id: token.id as TokenId,
                text: token.content.clone(),
                strip_left: token.lstrip,
                strip_right: token.rstrip,
            })
            .collect();
        let draft = Draft { table, splitter, added, roles, pre, ignore_merges };
        Self::assemble(draft, merges.pairs())
    }
}

type Slots<'t> = (Vec<(&'t str, TokenKind)>, HashMap<&'t str, TokenId>);

/// All ids up to the largest, each with its text; and the ids by text.
fn slots<'t>(vocab: &'t [(String, u64)], added: &'t [AddedEntry]) -> Result<Slots<'t>, Error> {
    let largest = vocab.iter().map(|(_, id)| *id).chain(added.iter().map(|token| token.id)).max();
    let size = largest.map_or(0, |id| id.saturating_add(1));
    if size > VOCABULARY_MAX as u64 {
        return Err(Error::too_large(format!(
            "the largest id is {}, beyond {VOCABULARY_MAX} ids",
            size - 1
        )));
    }
    let mut slots = vec![("", TokenKind::Unused); size as usize];
    let mut ids = HashMap::with_capacity(vocab.len() + added.len());
    for (text, id) in vocab {
        let slot = &mut slots[*id as usize];
        if slot.1 != TokenKind::Unused {
            return Err(Error::invalid(format!("{:?} and {text:?} both have id {id}", slot.0)));
        }
        *slot = (text, TokenKind::Normal);
        if ids.insert(text.as_str(), *id as TokenId).is_some() {
            return Err(Error::invalid(format!("the vocabulary has {text:?} twice")));
        }
    }
    for AddedEntry { id, content, special, single_word, .. } in added {
        if *single_word {
            return Err(Error::unsupported(format!("added token {content:?} with single_word")));
        }
        let known = ids.insert(content, *id as TokenId);
        let slot = &mut slots[*id as usize];
        let fits = if slot.1 == TokenKind::Unused { known.is_none() } else { slot.0 == content };
        if !fits {
            let text = slot.0;
            return Err(Error::invalid(format!(
                "added token {content:?} with id {id} contradicts the vocabulary, where the id \
                 is {text:?} and the text has id {known:?}"
            )));
        }
        let kind = if *special { TokenKind::Control } else { TokenKind::UserDefined };
        *slot = (content, kind);
    }
    Ok((slots, ids))
}

#[cfg(test)]
#[path = "hugging_face/tests.rs"]
mod tests;
