//! The tokenizer: words to ids by way of pre-tokeniser and merges, ids to bytes.

use crate::added::{AddedToken, AddedTokens, Segment};
use crate::bpe::{Merges, Scratch};
use crate::split::Splitter;
use crate::table::{TokenKind, TokenTable};
use crate::{Error, Prompt, PromptPart, TokenId, byte_level};
use std::fmt;
use std::sync::Arc;

/// What happens to the texts of added tokens (`<|end|>`, …) inside text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// They are text like any other: for all text that someone else wrote.
    AsText,
    /// They become their ids: for text that this program wrote.
    Recognise,
}

/// Added tokens that end a turn or a document, in one family or another.
const END_OF_TURN: &[&str] = &[
    "<|end|>",
    "<|endoftext|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<end_of_turn>",
    "<|endofturn|>",
    "<|eot|>",
    "<|return|>",
];

/// Ids with a role, and whether documents are framed by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Roles {
    pub(crate) bos: Option<TokenId>,
    pub(crate) eos: Option<TokenId>,
    pub(crate) unknown: Option<TokenId>,
    pub(crate) padding: Option<TokenId>,
    pub(crate) add_bos: bool,
    pub(crate) add_eos: bool,
}

/// A byte-level BPE tokenizer. Immutable; share it behind an [`Arc`].
pub struct Tokenizer {
    pub(crate) table: TokenTable,
    pub(crate) merges: Merges,
    pub(crate) splitter: Splitter,
    pub(crate) added: Arc<AddedTokens>,
    pub(crate) roles: Roles,
    /// Name of the pre-tokeniser as GGUF has it.
    pub(crate) pre: String,
}

impl Tokenizer {
    /// Ids of `text`, without anything added around it.
    ///
    /// ```
    /// use phial_text::{SpecialTokens, Tokenizer};
    /// let tokenizer = Tokenizer::phi4();
    /// assert_eq!(tokenizer.encode("<|end|>", SpecialTokens::Recognise), [200020]);
    /// assert_eq!(tokenizer.encode("<|end|>", SpecialTokens::AsText), [27, 91, 419, 91, 29]);
    /// ```
    pub fn encode(&self, text: &str, special: SpecialTokens) -> Vec<TokenId> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let mut scratch = Scratch::default();
        match special {
            SpecialTokens::AsText => self.encode_text(text, &mut scratch, &mut ids),
            SpecialTokens::Recognise => {
                for segment in self.added.segments(text) {
                    match segment {
                        Segment::Text(text) => self.encode_text(text, &mut scratch, &mut ids),
                        Segment::Token(token) => ids.push(token.id),
                    }
                }
            }
        }
        ids
    }

    /// Ids of bytes that need not be UTF-8, added tokens being text. If the vocabulary has
    /// all 256 bytes, [`Self::decode_bytes`] of the ids gives exactly `bytes`.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut ids = Vec::with_capacity(bytes.len() / 4 + 1);
        let mut scratch = Scratch::default();
        for chunk in bytes.utf8_chunks() {
            self.encode_text(chunk.valid(), &mut scratch, &mut ids);
            if !chunk.invalid().is_empty() {
                self.merges.encode_word(chunk.invalid(), &self.table, &mut scratch, &mut ids);
            }
        }
        ids
    }

    /// Ids of a prompt: control parts become their ids, text parts never do.
    pub fn encode_prompt(&self, prompt: &Prompt) -> Vec<TokenId> {
        let mut ids = Vec::new();
        let mut scratch = Scratch::default();
        // Text that belongs together is encoded together, also across control tokens that
        // this vocabulary lacks.
        let mut text = String::new();
        let mut after_stripping = false;
        for part in &prompt.parts {
            let token = match part {
                PromptPart::Control(token) => self.added.find(token),
                PromptPart::Text(_) => None,
            };
            let Some(token) = token else {
                let (PromptPart::Control(part) | PromptPart::Text(part)) = part;
                text.push_str(if after_stripping { part.trim_start() } else { part });
                after_stripping &= text.is_empty();
                continue;
            };
            let before = if token.strip_left { text.trim_end() } else { &text };
            self.encode_text(before, &mut scratch, &mut ids);
            text.clear();
            ids.push(token.id);
            after_stripping = token.strip_right;
        }
        self.encode_text(&text, &mut scratch, &mut ids);
        ids
    }

    fn encode_text(&self, text: &str, scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        self.splitter.for_each_word(text, &mut |word: &str| {
            self.merges.encode_word(word.as_bytes(), &self.table, scratch, ids);
        });
    }

    /// Text of `ids`; bytes that are not UTF-8 become U+FFFD. Ids without a token give
    /// nothing.
    pub fn decode(&self, ids: &[TokenId], skip_control: bool) -> String {
        match String::from_utf8(self.decode_bytes(ids, skip_control)) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// Bytes of `ids`. Ids without a token give nothing.
    pub fn decode_bytes(&self, ids: &[TokenId], skip_control: bool) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for &id in ids {
            if !(skip_control && self.is_control(id)) {
                bytes.extend_from_slice(self.table.bytes(id));
            }
        }
        bytes
    }

    /// The bytes a token stands for; none for ids without a token.
    pub fn token_bytes(&self, id: TokenId) -> Option<&[u8]> {
        (self.table.kind(id) != TokenKind::Unused).then(|| self.table.bytes(id))
    }

    /// The text a token is stored as: ordinary tokens in the byte-level alphabet of GPT-2,
    /// added tokens as they are; none for ids without a token.
    pub fn token_text(&self, id: TokenId) -> Option<&str> {
        (self.table.kind(id) != TokenKind::Unused).then(|| self.table.text(id))
    }

    /// Whether a token steers the model and is not for showing. The tool-call tokens of the
    /// Phi-4-mini family are added tokens, but not control tokens.
    pub fn is_control(&self, id: TokenId) -> bool {
        self.table.kind(id) == TokenKind::Control
    }

    /// Id of the added token with this text.
    pub fn token_id(&self, text: &str) -> Option<TokenId> {
        self.added.find(text).map(|token| token.id)
    }

    /// Number of ids, those without a token included.
    pub fn vocabulary_size(&self) -> usize {
        self.table.len()
    }

    /// Token that opens a document.
    pub fn bos(&self) -> Option<TokenId> {
        self.roles.bos
    }

    /// Token that ends a document.
    pub fn eos(&self) -> Option<TokenId> {
        self.roles.eos
    }

    /// Whether a document (not a prompt, whose template decides) starts with [`Self::bos`].
    pub fn add_bos(&self) -> bool {
        self.roles.add_bos
    }

    /// Whether a document ends with [`Self::eos`].
    pub fn add_eos(&self) -> bool {
        self.roles.add_eos
    }

    /// Ids at which generation stops: `eos`, and every added token known to end a turn.
    pub fn end_of_turn_ids(&self) -> Vec<TokenId> {
        let known = END_OF_TURN.iter().filter_map(|text| self.token_id(text));
        let mut ids: Vec<_> = known.chain(self.roles.eos).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Puts the parts together, resolving `merges` (`left`, `right` as stored) to ids.
    pub(crate) fn assemble<'m>(
        draft: Draft,
        merges: impl ExactSizeIterator<Item = Result<[&'m str; 2], Error>>,
    ) -> Result<Self, Error> {
        let Draft { table, splitter, added, roles, pre, ignore_merges } = draft;
        let mut resolved = Merges::new(&table, merges.len(), ignore_merges, roles.unknown);
        let mut bytes = Vec::new();
        for (rank, merge) in merges.enumerate() {
            let [left, right] = merge?;
            bytes.clear();
            let unknown = |text: &str| {
                Error::invalid(format!(
                    "merge {rank}, {left:?} with {right:?}: {text:?} is not a token"
                ))
            };
            let whole_left = byte_level::push_bytes(left, &mut bytes);
            let middle = bytes.len();
            if !whole_left {
                return Err(unknown(left));
            }
            if !byte_level::push_bytes(right, &mut bytes) {
                return Err(unknown(right));
            }
            let left_id = table.find(&bytes[..middle]).ok_or_else(|| unknown(left))?;
            let right_id = table.find(&bytes[middle..]).ok_or_else(|| unknown(right))?;
            let id = table.find(&bytes).ok_or_else(|| unknown(&format!("{left}{right}")))?;
            resolved.push(rank, [left_id, right_id], id)?;
        }
        let roles_inside = [roles.bos, roles.eos, roles.unknown, roles.padding];
        if let Some(id) = roles_inside.into_iter().flatten().find(|&id| id as usize >= table.len())
        {
            return Err(Error::invalid(format!("bos, eos, unknown or padding is {id}: no token")));
        }
        let added = Arc::new(AddedTokens::new(added)?);
        Ok(Self { table, merges: resolved, splitter, added, roles, pre })
    }
}

/// A tokenizer whose merges are still to be resolved.
pub(crate) struct Draft {
    pub(crate) table: TokenTable,
    pub(crate) splitter: Splitter,
    pub(crate) added: Vec<AddedToken>,
    pub(crate) roles: Roles,
    pub(crate) pre: String,
    pub(crate) ignore_merges: bool,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tokenizer")
            .field("vocabulary_size", &self.vocabulary_size())
            .field("pre", &self.pre)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
