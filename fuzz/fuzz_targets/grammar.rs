//! Any bytes as a JSON Schema, a regular expression, a Lark grammar or a choice: a refusal, or a
//! grammar along which texts can be written, token by token, until they are what they should be.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use phial_grammar::{Allowed, Grammar, GrammarCompiler, Refused};
use phial_text::{TokenId, Tokenizer, Vocabulary};

const END: TokenId = 256;

/// Tokens of a text at most.
const LENGTH_MAX: usize = 200;

static COMPILER: LazyLock<(Arc<Tokenizer>, GrammarCompiler)> = LazyLock::new(|| {
    let tokenizer = Arc::new(tokenizer());
    let compiler = GrammarCompiler::new(Arc::clone(&tokenizer), &[END]).expect("a compiler");
    (tokenizer, compiler)
});

/// A token per byte, one that ends a text, and some of several bytes.
fn tokenizer() -> Tokenizer {
    let mut beyond = 0;
    let bytes = (0u8..=255).map(|byte| {
        let prints = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let character = if prints { u32::from(byte) } else { 256 + beyond };
        beyond += u32::from(!prints);
        char::from_u32(character).expect("a character").to_string()
    });
    let words = ["{\"", "\":", "\",", "\"}", "true", "null", "[]", "{}"].map(str::to_owned);
    let tokens: Vec<_> = bytes.chain(["<|end|>".to_owned()]).chain(words).collect();
    let mut token_types = vec![1; tokens.len()];
    token_types[END as usize] = 3;
    Tokenizer::from_vocabulary(Vocabulary {
        tokens,
        token_types,
        pre: "gpt-2".to_owned(),
        model: "gpt2".to_owned(),
        eos: Some(END),
        ..Vocabulary::default()
    })
    .expect("a tokenizer")
}

fn compile(kind: u8, text: &str) -> Option<(Result<Grammar, Refused>, bool)> {
    let compiler = &COMPILER.1;
    Some(match kind % 4 {
        0 => (compiler.json_schema(&serde_json::from_str(text).ok()?), true),
        1 => (compiler.regex(text), false),
        2 => (compiler.lark(text), false),
        _ => (compiler.choice(&text.split('\n').map(str::to_owned).collect::<Vec<_>>()), false),
    })
}

fuzz_target!(|bytes: &[u8]| {
    let [kind, turns, rest @ ..] = bytes else { return };
    let Ok(text) = str::from_utf8(rest) else { return };
    let Some((Ok(grammar), is_json)) = compile(*kind, text) else { return };
    let mut matcher = grammar.matcher();
    let mut written = Vec::new();
    let mut turn = usize::from(*turns);
    while written.len() < LENGTH_MAX && !matcher.is_complete() {
        let Ok(Allowed::Only(mask)) = matcher.allowed() else { return };
        let count = mask.count();
        assert!(count > 0, "a text that is not complete can go on");
        turn = turn.wrapping_mul(31).wrapping_add(7);
        let token = mask.tokens().nth(turn % count).expect("one of them");
        if token == END {
            assert!(matcher.may_stop(), "a text ends only where it may");
            break;
        }
        // The work of a token is bounded, and that is an error of its own.
        if matcher.accept(token).is_err() {
            return;
        }
        written.push(token);
    }
    if is_json && matcher.may_stop() {
        let bytes: Vec<u8> = written
            .iter()
            .flat_map(|&token| COMPILER.0.token_bytes(token).expect("bytes").to_vec())
            .collect();
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&bytes);
        assert!(parsed.is_ok(), "{:?} is no JSON", String::from_utf8_lossy(&bytes));
    }
});
