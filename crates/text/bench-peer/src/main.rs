//! phial-text beside the `tokenizers` crate, on the same vocabulary and the same text:
//! `cargo run --release -- FILE [TOKENIZER_JSON]`, in this folder.
//!
//! Without a description, that of o200k is used. The rounds alternate; ids must be equal.
//! Prints MB/s on one thread: minimum, median, maximum.

use phial_text::{SpecialTokens, Tokenizer};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: usize = 11;
const EXPRESSION: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let text = std::fs::read_to_string(arguments.next().ok_or("usage: FILE [TOKENIZER_JSON]")?)?;
    let json = match arguments.next() {
        Some(path) => std::fs::read(path)?,
        None => serde_json::to_vec(&o200k())?,
    };
    let start = Instant::now();
    let peer = tokenizers::Tokenizer::from_bytes(&json)?;
    println!("load: tokenizers {:?}", start.elapsed());
    let start = Instant::now();
    let own = Tokenizer::from_tokenizer_json(&json)?;
    println!("load: phial-text {:?}", start.elapsed());

    let expected = peer.encode_fast(text.as_str(), false)?.get_ids().to_vec();
    let found = own.encode(&text, SpecialTokens::Recognise);
    if let Some(place) =
        (0..expected.len().max(found.len())).find(|&place| expected.get(place) != found.get(place))
    {
        let around = |ids: &[u32]| {
            let end = ids.len().min(place + 8);
            own.decode(&ids[place.saturating_sub(8).min(end)..end], false)
        };
        return Err(format!(
            "ids differ from token {place} on: {:?} by tokenizers, {:?} here",
            around(&expected),
            around(&found)
        )
        .into());
    }
    let (mut own_speed, mut peer_speed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        own_speed.push(speed(&text, || {
            black_box(own.encode(&text, SpecialTokens::Recognise));
        }));
        peer_speed.push(speed(&text, || {
            black_box(peer.encode_fast(text.as_str(), false).ok());
        }));
    }
    println!("{} bytes, {} tokens, ids equal", text.len(), found.len());
    report("phial-text", own_speed);
    report("tokenizers", peer_speed);
    Ok(())
}

fn o200k() -> Value {
    let vocabulary = Tokenizer::phi4().to_vocabulary(0);
    let typed = vocabulary.tokens.iter().zip(&vocabulary.token_types).enumerate();
    // The added token is in the vocabulary too: tokenizers numbers it anew otherwise.
    let vocab: Map<String, Value> = typed
        .filter(|(id, (_, kind))| **kind == 1 || *id == 199_999)
        .map(|(id, (text, _))| (text.clone(), json!(id)))
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [{"id": 199_999, "content": "<|endoftext|>", "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": EXPRESSION}, "behavior": "Removed", "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        ]},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": vocabulary.merges},
    })
}

fn speed(text: &str, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    text.len() as f64 / 1e6 / start.elapsed().as_secs_f64()
}

fn report(what: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (minimum, median, maximum) = (values[0], values[ROUNDS / 2], values[ROUNDS - 1]);
    println!("{what:12} {minimum:8.1} {median:8.1} {maximum:8.1} MB/s");
}
