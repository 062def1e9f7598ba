//! The built-in vocabulary of the Phi-4-mini family: o200k_base and the family's own tokens.

use crate::added::{AddedToken, AddedTokens};
use crate::bpe::Merges;
use crate::split::Splitter;
use crate::table::{TokenKind, TokenTable};
use crate::tokenizer::Roles;
use crate::{Error, TokenId, Tokenizer, byte_level};
use std::sync::Arc;

/// Written by `data/make.py`, which says what is inside.
const O200K: &[u8] = include_bytes!("../data/o200k.bin.deflate");

/// Rows of the embedding: ids beyond the last token are padding.
const VOCABULARY_SIZE: usize = 200_064;
const END_OF_TEXT: TokenId = 199_999;
const PRE: &str = "gpt-4o";

/// The tool tokens are added, but not control tokens: decoded text keeps them, and parsers
/// of tool calls rely on that.
const ADDED: &[(TokenId, &str, TokenKind)] = &[
    (END_OF_TEXT, "<|endoftext|>", TokenKind::Control),
    // Placeholders of an image and of a sound.
    (200_010, "<|endoftext10|>", TokenKind::Control),
    (200_011, "<|endoftext11|>", TokenKind::Control),
    (200_018, "<|endofprompt|>", TokenKind::Control),
    (200_019, "<|assistant|>", TokenKind::Control),
    (200_020, "<|end|>", TokenKind::Control),
    (200_021, "<|user|>", TokenKind::Control),
    (200_022, "<|system|>", TokenKind::Control),
    (200_023, "<|tool|>", TokenKind::UserDefined),
    (200_024, "<|/tool|>", TokenKind::UserDefined),
    (200_025, "<|tool_call|>", TokenKind::UserDefined),
    (200_026, "<|/tool_call|>", TokenKind::UserDefined),
    (200_027, "<|tool_response|>", TokenKind::UserDefined),
    (200_028, "<|tag|>", TokenKind::Control),
];

impl Tokenizer {
    /// The tokenizer of the Phi-4-mini family, from data inside this library. Building it
    /// takes some tens of milliseconds: build it once and share it.
    pub fn phi4() -> Self {
        build().expect("the built-in vocabulary is valid; a test builds it")
    }
}

fn build() -> Result<Tokenizer, Error> {
    let damaged = || Error::invalid("the built-in vocabulary is damaged");
    let data = miniz_oxide::inflate::decompress_to_vec(O200K).map_err(|_| damaged())?;
    let (count, data) = data.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (bytes, data) = data.split_first_chunk::<256>().ok_or_else(damaged)?;
    let count = u32::from_le_bytes(*count) as usize;
    let planes: Vec<&[u8]> = data.chunks_exact(count.max(1)).collect();
    let [a0, a1, a2, b0, b1, b2] = planes[..] else { return Err(damaged()) };

    let mut table = TokenTable::with_capacity(VOCABULARY_SIZE);
    let mut text = String::new();
    for &byte in bytes {
        text.clear();
        byte_level::push_text(&[byte], &mut text);
        table.push_text(&text, TokenKind::Normal)?;
    }
    let id = |low: &[u8], middle: &[u8], high: &[u8], index: usize| {
        TokenId::from_le_bytes([low[index], middle[index], high[index], 0])
    };
    let pairs: Vec<_> =
        (0..count).map(|index| [id(a0, a1, a2, index), id(b0, b1, b2, index)]).collect();
    for &[left, right] in &pairs {
        table.push_join(left, right)?;
    }
    let mut added = Vec::new();
    for &(id, text, kind) in ADDED {
        table.pad(id as usize)?;
        table.push_text(text, kind)?;
        added.push(AddedToken { id, text: text.into(), strip_left: false, strip_right: false });
    }
    table.pad(VOCABULARY_SIZE)?;
    let mut merges = Merges::new(&table, count, false, None);
    for (rank, &pair) in pairs.iter().enumerate() {
        merges.push(rank, pair, (256 + rank) as TokenId)?;
    }
    Ok(Tokenizer {
        table,
        merges,
        splitter: Splitter::named(PRE).ok_or_else(damaged)?,
        added: Arc::new(AddedTokens::new(added)?),
        roles: Roles {
            bos: Some(END_OF_TEXT),
            eos: Some(END_OF_TEXT),
            unknown: Some(END_OF_TEXT),
            padding: Some(END_OF_TEXT),
            add_bos: false,
            add_eos: false,
        },
        pre: PRE.into(),
    })
}
