//! A tokenizer in and out of GGUF metadata.

use phial_formats::gguf::{Array, Metadata};
use phial_text::{Tokenizer, Vocabulary};

use crate::error::Error;

/// The tokenizer that GGUF metadata holds; `None` when there is none.
///
/// # Errors
/// A tokenizer of an unsupported or broken kind.
pub fn tokenizer_of(metadata: &Metadata, origin: &str) -> Result<Option<Tokenizer>, Error> {
    let Some(tokens) = metadata.strings("tokenizer.ggml.tokens")? else { return Ok(None) };
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let text = |key: &str| metadata.str(key).map(|text| text.unwrap_or_default().to_owned());
    let flag = |key: &str| metadata.bool(key).map(|flag| flag.unwrap_or(false));
    let vocabulary = Vocabulary {
        tokens: owned(tokens),
        token_types: metadata.i32s("tokenizer.ggml.token_type")?.unwrap_or_default(),
        merges: owned(metadata.strings("tokenizer.ggml.merges")?.unwrap_or_default()),
        pre: text("tokenizer.ggml.pre")?,
        model: text("tokenizer.ggml.model")?,
        bos: metadata.u32("tokenizer.ggml.bos_token_id")?,
        eos: metadata.u32("tokenizer.ggml.eos_token_id")?,
        unknown: metadata.u32("tokenizer.ggml.unknown_token_id")?,
        padding: metadata.u32("tokenizer.ggml.padding_token_id")?,
        add_bos: flag("tokenizer.ggml.add_bos_token")?,
        add_eos: flag("tokenizer.ggml.add_eos_token")?,
    };
    Tokenizer::from_vocabulary(vocabulary)
        .map(Some)
        .map_err(|source| Error::Tokenizer { origin: origin.to_owned(), source })
}

/// Writes a vocabulary into metadata.
pub fn vocabulary_into(vocabulary: &Vocabulary, metadata: &mut Metadata) {
    metadata.set("tokenizer.ggml.model", vocabulary.model.as_str());
    metadata.set("tokenizer.ggml.pre", vocabulary.pre.as_str());
    metadata.set("tokenizer.ggml.tokens", Array::strings(&vocabulary.tokens));
    metadata.set("tokenizer.ggml.token_type", Array::from(vocabulary.token_types.as_slice()));
    metadata.set("tokenizer.ggml.merges", Array::strings(&vocabulary.merges));
    let ids = [
        ("bos", vocabulary.bos),
        ("eos", vocabulary.eos),
        ("unknown", vocabulary.unknown),
        ("padding", vocabulary.padding),
    ];
    for (name, id) in ids {
        if let Some(id) = id {
            metadata.set(&format!("tokenizer.ggml.{name}_token_id"), id);
        }
    }
    metadata.set("tokenizer.ggml.add_bos_token", vocabulary.add_bos);
    metadata.set("tokenizer.ggml.add_eos_token", vocabulary.add_eos);
}
