//! The tokens by id and by bytes.

use crate::limits::{TOKEN_BYTES_MAX, VOCABULARY_MAX};
use crate::{Error, TokenId, byte_level};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// What a token is for. The numbers are those of GGUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A piece of text.
    Normal = 1,
    /// Stands for what the vocabulary lacks.
    Unknown = 2,
    /// Steers the model and is never shown.
    Control = 3,
    /// Added beside the merges, but shown like text.
    UserDefined = 4,
    /// An id without a token.
    Unused = 5,
}

/// Tokens by id, and ordinary tokens by their bytes.
#[derive(Clone, Debug)]
pub(crate) struct TokenTable {
    kinds: Vec<TokenKind>,
    /// Bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Texts as stored, likewise.
    texts: String,
    /// Where the bytes and the text of an id begin; one entry more than ids.
    starts: Vec<(u32, u32)>,
    words: HashTable<TokenId>,
    hasher: DefaultHashBuilder,
    length_max: usize,
}

impl TokenTable {
    pub(crate) fn with_capacity(tokens: usize) -> Self {
        let mut starts = Vec::with_capacity(tokens + 1);
        starts.push((0, 0));
        Self {
            kinds: Vec::with_capacity(tokens),
            bytes: Vec::with_capacity(tokens * 8),
            texts: String::with_capacity(tokens * 10),
            starts,
            words: HashTable::with_capacity(tokens),
            hasher: DefaultHashBuilder::default(),
            length_max: 0,
        }
    }

    /// Appends the token with the next id, given as stored.
    pub(crate) fn push_text(&mut self, text: &str, kind: TokenKind) -> Result<(), Error> {
        let id = self.kinds.len();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Error::too_large(format!(
                "token {id} has {} bytes, more than {TOKEN_BYTES_MAX}",
                text.len()
            )));
        }
        match kind {
            TokenKind::Normal => {
                if !byte_level::push_bytes(text, &mut self.bytes) {
                    return Err(Error::invalid(format!(
                        "token {id}, {text:?}, is not written in the byte-level alphabet"
                    )));
                }
            }
            TokenKind::Unused => {}
            _ => self.bytes.extend_from_slice(text.as_bytes()),
        }
        self.texts.push_str(text);
        self.finish_token(kind)
    }

    /// Appends the ordinary token that is the join of two others.
    pub(crate) fn push_join(&mut self, left: TokenId, right: TokenId) -> Result<(), Error> {
        for part in [left, right] {
            let (start, end) = self.range(part).ok_or_else(|| {
                Error::invalid(format!("token {} is made of later tokens", self.kinds.len()))
            })?;
            self.bytes.extend_from_within(start.0..end.0);
            self.texts.extend_from_within(start.1..end.1);
        }
        self.finish_token(TokenKind::Normal)
    }

    fn finish_token(&mut self, kind: TokenKind) -> Result<(), Error> {
        let id = self.kinds.len();
        let (Ok(bytes_end), Ok(texts_end)) =
            (u32::try_from(self.bytes.len()), u32::try_from(self.texts.len()))
        else {
            return Err(Error::too_large("the tokens have more than 4 GiB of text"));
        };
        if id >= VOCABULARY_MAX {
            return Err(Error::too_large(format!("more than {VOCABULARY_MAX} tokens")));
        }
        let start = self.starts[id].0 as usize;
        self.starts.push((bytes_end, texts_end));
        self.kinds.push(kind);
        if matches!(kind, TokenKind::Normal | TokenKind::UserDefined) {
            self.index(id as TokenId, start, kind)?;
        }
        Ok(())
    }

    fn index(&mut self, id: TokenId, start: usize, kind: TokenKind) -> Result<(), Error> {
        let Self { words, bytes, starts, hasher, kinds, .. } = self;
        let of = |id: TokenId| token_slice(bytes, starts, id);
        let word = &bytes[start..];
        if word.is_empty() {
            return Err(Error::invalid(format!("token {id} is empty")));
        }
        self.length_max = self.length_max.max(word.len());
        let hash = hasher.hash_one(word);
        let entry = words.entry(hash, |&id| of(id) == word, |&id| hasher.hash_one(of(id)));
        match entry {
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(id);
            }
            // An added token may spell what an ordinary token spells; merges mean the latter.
            hashbrown::hash_table::Entry::Occupied(mut entry) => {
                let other = *entry.get();
                match (kind, kinds[other as usize]) {
                    (TokenKind::UserDefined, TokenKind::Normal) => {}
                    (TokenKind::Normal, TokenKind::UserDefined) => *entry.get_mut() = id,
                    _ => {
                        let text = String::from_utf8_lossy(word);
                        return Err(Error::invalid(format!(
                            "tokens {other} and {id} are both {text:?}"
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends ids without tokens up to `size` ids.
    pub(crate) fn pad(&mut self, size: usize) -> Result<(), Error> {
        while self.kinds.len() < size {
            self.finish_token(TokenKind::Unused)?;
        }
        Ok(())
    }

    /// Number of ids.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    pub(crate) fn kind(&self, id: TokenId) -> TokenKind {
        self.kinds.get(id as usize).copied().unwrap_or(TokenKind::Unused)
    }

    /// The token's bytes; empty for an id without one.
    #[inline]
    pub(crate) fn bytes(&self, id: TokenId) -> &[u8] {
        if (id as usize) < self.kinds.len() {
            token_slice(&self.bytes, &self.starts, id)
        } else {
            &[]
        }
    }

    /// The token's text as stored; empty for an id without one.
    pub(crate) fn text(&self, id: TokenId) -> &str {
        self.range(id).map_or("", |(start, end)| &self.texts[start.1..end.1])
    }

    fn range(&self, id: TokenId) -> Option<((usize, usize), (usize, usize))> {
        let start = self.starts.get(id as usize)?;
        let end = self.starts.get(id as usize + 1)?;
        Some(((start.0 as usize, start.1 as usize), (end.0 as usize, end.1 as usize)))
    }

    /// The ordinary or user-defined token with these bytes.
    #[inline]
    pub(crate) fn find(&self, word: &[u8]) -> Option<TokenId> {
        if word.len() > self.length_max {
            return None;
        }
        self.words.find(self.hasher.hash_one(word), |&id| self.bytes(id) == word).copied()
    }
}

#[inline]
fn token_slice<'b>(bytes: &'b [u8], starts: &[(u32, u32)], id: TokenId) -> &'b [u8] {
    let id = id as usize;
    &bytes[starts[id].0 as usize..starts[id + 1].0 as usize]
}
