//! A tokenizer as plain data: what a GGUF file stores under `tokenizer.ggml.*`.

use crate::added::AddedToken;
use crate::limits::VOCABULARY_MAX;
use crate::split::Splitter;
use crate::table::{TokenKind, TokenTable};
use crate::tokenizer::{Draft, Roles};
use crate::{Error, TokenId, Tokenizer, byte_level};

/// The parts of a tokenizer, as GGUF stores them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// Token texts by id; ordinary tokens in the byte-level alphabet of GPT-2, added tokens
    /// as they are.
    pub tokens: Vec<String>,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty means that
    /// all are normal.
    pub token_types: Vec<i32>,
    /// Merges in order of rank, each `left right`.
    pub merges: Vec<String>,
    /// Name of the pre-tokeniser: `gpt-4o`, `gpt-2`, `smollm`, `llama-bpe`, `qwen2`, …
    pub pre: String,
    /// Kind of tokenizer; only `gpt2` (byte-level BPE) is supported.
    pub model: String,
    /// Token that opens a document.
    pub bos: Option<TokenId>,
    /// Token that ends a document.
    pub eos: Option<TokenId>,
    /// Token for bytes the vocabulary lacks.
    pub unknown: Option<TokenId>,
    /// Token that fills up batches.
    pub padding: Option<TokenId>,
    /// Whether a document starts with `bos`.
    pub add_bos: bool,
    /// Whether a document ends with `eos`.
    pub add_eos: bool,
}

/// Pre-tokenisers of models that take a word that is a token as that token, whatever the
/// merges say; GGUF has no key for it.
const IGNORE_MERGES: &[&str] = &["llama-bpe", "llama3", "llama-v3"];

impl Tokenizer {
    /// A tokenizer from what a GGUF file stores.
    pub fn from_vocabulary(vocabulary: Vocabulary) -> Result<Self, Error> {
        let Vocabulary { tokens, token_types, merges, pre, model, .. } = vocabulary;
        let Vocabulary { bos, eos, unknown, padding, add_bos, add_eos, .. } = vocabulary;
        if model != "gpt2" {
            return Err(Error::unsupported(format!("tokenizer model {model:?}; only \"gpt2\" is")));
        }
        let splitter = Splitter::named(&pre)
            .ok_or_else(|| Error::unsupported(format!("pre-tokeniser {pre:?}")))?;
        if !token_types.is_empty() && token_types.len() != tokens.len() {
            return Err(Error::invalid(format!(
                "{} tokens, but {} token types",
                tokens.len(),
                token_types.len()
            )));
        }
        if tokens.len() > VOCABULARY_MAX {
            return Err(Error::too_large(format!("more than {VOCABULARY_MAX} tokens")));
        }
        let mut table = TokenTable::with_capacity(tokens.len());
        let mut added = Vec::new();
        for (index, text) in tokens.into_iter().enumerate() {
            let kind = kind_of(token_types.get(index).copied().unwrap_or(1), index)?;
            table.push_text(&text, kind)?;
            if matches!(kind, TokenKind::Control | TokenKind::UserDefined) {
                let id = index as TokenId;
                added.push(AddedToken { id, text, strip_left: false, strip_right: false });
            }
        }
        let draft = Draft {
            table,
            splitter,
            added,
            roles: Roles { bos, eos, unknown, padding, add_bos, add_eos },
            ignore_merges: IGNORE_MERGES.contains(&pre.as_str()),
            pre,
        };
        Self::assemble(draft, merges.iter().map(|merge| split_merge(merge)))
    }

    /// This tokenizer as GGUF stores it, with at least `size_min` ids: those without a token
    /// are called `[PADn]` and are of type 5.
    pub fn to_vocabulary(&self, size_min: usize) -> Vocabulary {
        let size = self.vocabulary_size().max(size_min.min(VOCABULARY_MAX));
        let mut tokens = Vec::with_capacity(size);
        let mut token_types = Vec::with_capacity(size);
        for id in 0..size as TokenId {
            let text = self.token_text(id);
            tokens.push(text.map_or_else(|| format!("[PAD{id}]"), str::to_owned));
            token_types.push(self.table.kind(id) as i32);
        }
        let mut merges = Vec::new();
        for [left, right] in self.merges.pairs() {
            let side = |id| match self.table.kind(id) {
                // Merges speak of bytes, also where an added token spells the same.
                TokenKind::UserDefined => {
                    let mut text = String::new();
                    byte_level::push_text(self.table.bytes(id), &mut text);
                    text
                }
                _ => self.table.text(id).to_owned(),
            };
            merges.push(format!("{} {}", side(left), side(right)));
        }
        Vocabulary {
            tokens,
            token_types,
            merges,
            pre: self.pre.clone(),
            model: "gpt2".into(),
            bos: self.roles.bos,
            eos: self.roles.eos,
            unknown: self.roles.unknown,
            padding: self.roles.padding,
            add_bos: self.roles.add_bos,
            add_eos: self.roles.add_eos,
        }
    }
}

fn kind_of(number: i32, id: usize) -> Result<TokenKind, Error> {
    Ok(match number {
        1 => TokenKind::Normal,
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        4 => TokenKind::UserDefined,
        5 => TokenKind::Unused,
        _ => return Err(Error::unsupported(format!("token {id} is of type {number}"))),
    })
}

/// The two sides of a merge written `left right`.
pub(crate) fn split_merge(merge: &str) -> Result<[&str; 2], Error> {
    match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok([left, right]),
        _ => Err(Error::invalid(format!("merge {merge:?} is not of the form \"left right\""))),
    }
}
