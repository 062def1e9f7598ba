//! Speed of the tokenizer: `cargo bench -p phial-text [-- FILE]`.
//!
//! Prints the time to build the tokenizer, and MB/s of encoding on one core: minimum, median
//! and maximum of several rounds. Without a file, the text is generated: words with the
//! lengths and repetition of English.

use phial_text::{SpecialTokens, Tokenizer, Vocabulary};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const BYTES: usize = 4 << 20;

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let text = file.map_or_else(generated, |path| {
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    });
    report("Tokenizer::phi4", "ms", rounds(|| milliseconds(|| drop(Tokenizer::phi4()))));
    let tokenizer = Tokenizer::phi4();
    let vocabulary = tokenizer.to_vocabulary(0);
    let load =
        |vocabulary: Vocabulary| milliseconds(|| drop(Tokenizer::from_vocabulary(vocabulary)));
    report("from_vocabulary, 200k", "ms", rounds(|| load(vocabulary.clone())));

    let ids = tokenizer.encode(&text, SpecialTokens::AsText);
    println!("{} bytes, {} tokens", text.len(), ids.len());
    let speed = |time: f64| text.len() as f64 / 1e3 / time;
    let encode =
        || speed(milliseconds(|| drop(black_box(tokenizer.encode(&text, SpecialTokens::AsText)))));
    report("encode", "MB/s", rounds(encode));
    let decode = || speed(milliseconds(|| drop(black_box(tokenizer.decode(&ids, true)))));
    report("decode", "MB/s", rounds(decode));
}

fn milliseconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().max(Duration::from_nanos(1)).as_secs_f64() * 1e3
}

fn rounds(measure: impl Fn() -> f64) -> Vec<f64> {
    (0..ROUNDS).map(|_| measure()).collect()
}

fn report(what: &str, unit: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (minimum, median, maximum) = (values[0], values[ROUNDS / 2], values[ROUNDS - 1]);
    println!("{what:24} {minimum:9.1} {median:9.1} {maximum:9.1} {unit}");
}

/// Text of common words, some of them rare, with punctuation.
fn generated() -> String {
    let common = "the of and to in a is that for it as was with be by on not he his but at are \
                  this have from which they their more other some would into only could time these \
                  rivers mountain tokenizer carefully between government understand individual";
    let common: Vec<_> = common.split_whitespace().collect();
    let mut state = 1_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut text = String::with_capacity(BYTES + 64);
    while text.len() < BYTES {
        match next() % 20 {
            0 => text.push_str(&format!("{}.", next() % 3000)),
            1 => text.extend((0..3 + next() % 8).map(|_| char::from(b'a' + (next() % 26) as u8))),
            2 => text.push_str("However,"),
            _ => text.push_str(common[(next() % common.len()).min(next() % common.len())]),
        }
        text.push(if next() % 80 == 0 { '\n' } else { ' ' });
    }
    text
}
