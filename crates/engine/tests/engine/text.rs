//! Text of generated tokens: whole characters, stop strings, stop tokens.

use std::sync::Arc;
use std::time::Duration;

use phial_engine::{Engine, Event, FinishReason, Rejected, Request, TokenId};
use phial_text::{Tokenizer, Vocabulary};

use crate::fake::{Fake, drain, greedy, limits};

/// The tokens of these tests, by id: text in the byte-level alphabet, in which `Ã` and `©` are the
/// two bytes of `é`. 0 is a control token; ids from 9 on pad the model's vocabulary.
const TOKENS: [&str; 9] = ["<|end|>", "a", "b", "c", "Ã", "©", "EN", "D", "xENDy"];
const MODEL_VOCABULARY: usize = 12;

fn tokenizer() -> Arc<Tokenizer> {
    let vocabulary = Vocabulary {
        tokens: TOKENS.iter().map(|token| (*token).to_owned()).collect(),
        token_types: TOKENS.iter().map(|token| if *token == "<|end|>" { 3 } else { 1 }).collect(),
        pre: "gpt-4o".to_owned(),
        model: "gpt2".to_owned(),
        ..Vocabulary::default()
    };
    Arc::new(Tokenizer::from_vocabulary(vocabulary).unwrap())
}

fn engine_for(script: &[TokenId]) -> Engine<Fake> {
    let mut model = Fake::new(100, 100);
    model.script = script.to_vec();
    model.vocabulary = MODEL_VOCABULARY;
    Engine::new(Arc::new(model), Some(tokenizer()), limits(8, 2, 32), 0).unwrap()
}

/// Has the model say `script`; gives the text of each token, the tail and the reason.
fn say(
    script: &[TokenId],
    change: impl FnOnce(&mut Request),
) -> (Vec<String>, String, FinishReason) {
    let mut engine = engine_for(script);
    let mut request = greedy(vec![1], script.len());
    request.stop_tokens = vec![0];
    change(&mut request);
    engine.submit(request, Duration::ZERO).unwrap();
    let mut texts = Vec::new();
    for event in drain(&mut engine) {
        match event {
            Event::PromptLogprobs { .. } | Event::PromptHidden { .. } => panic!("not asked for"),
            Event::Token { text, token, .. } => {
                assert_eq!(token, script[texts.len()]);
                texts.push(text);
            }
            Event::Finished { reason, text, usage, .. } => {
                let stop_token = usize::from(reason == FinishReason::StopToken);
                assert_eq!(usage.generated_tokens, texts.len() + stop_token);
                return (texts, text, reason);
            }
        }
    }
    panic!("no end")
}

fn check(
    script: &[TokenId],
    change: impl FnOnce(&mut Request),
    texts: &[&str],
    tail: &str,
    reason: &FinishReason,
) {
    let expected: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(say(script, change), (expected, tail.to_owned(), reason.clone()), "{script:?}");
}

fn stop(stops: &[&str]) -> impl FnOnce(&mut Request) {
    let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
    |request| request.stop_strings = stops
}

#[test]
fn characters_come_whole() {
    let length = FinishReason::Length;
    check(&[1, 4, 5, 2], |_| {}, &["a", "", "é", "b"], "", &length);
    // Cut off in the middle of a character.
    check(&[1, 4], |_| {}, &["a", ""], "\u{fffd}", &length);
}

#[test]
fn stop_tokens_end_without_a_word() {
    check(&[1, 2, 0, 3], |_| {}, &["a", "b"], "", &FinishReason::StopToken);
    // Text held back for a stop string comes out after all.
    check(&[1, 6, 0], stop(&["END"]), &["a", ""], "EN", &FinishReason::StopToken);
    check(&[2, 0, 1], |request| request.stop_tokens.push(2), &[], "", &FinishReason::StopToken);
}

#[test]
fn ignored_stop_tokens_are_tokens_without_text() {
    let ignore = |request: &mut Request| {
        request.ignore_stop_tokens = true;
        request.stop_tokens = vec![0, 2];
    };
    check(&[1, 0, 2, 3], ignore, &["a", "", "", "c"], "", &FinishReason::Length);
}

#[test]
fn stop_strings_span_tokens() {
    let end = FinishReason::StopString("END".to_owned());
    check(&[1, 6, 7, 2], stop(&["END"]), &["a", "", ""], "", &end);
    check(&[1, 8, 2], stop(&["END"]), &["a", "x"], "", &end);
    check(&[6, 1, 6, 7], stop(&["END"]), &["", "ENa", "", ""], "", &end);
    check(&[1, 6], stop(&["END"]), &["a", ""], "EN", &FinishReason::Length);
    // The last token that was allowed completes it: the stop string is the reason.
    check(&[6, 7], stop(&["END"]), &["", ""], "", &end);
    // Complete first wins.
    let accent = FinishReason::StopString("é".to_owned());
    check(&[1, 4, 5, 6, 7], stop(&["END", "é"]), &["a", "", ""], "", &accent);
    // A character cut off at the end is text like any other.
    let replaced = FinishReason::StopString("\u{fffd}".to_owned());
    check(&[1, 4], stop(&["\u{fffd}"]), &["a", ""], "", &replaced);
}

#[test]
fn ids_without_text_are_never_generated() {
    // The model prefers 10 everywhere; of the others, all equal, the lowest is taken. Control
    // tokens are allowed.
    let mut engine = engine_for(&[10, 10, 10]);
    let mut request = greedy(vec![1], 3);
    request.logprobs = Some(1);
    engine.submit(request, Duration::ZERO).unwrap();
    let mut tokens = 0;
    for event in drain(&mut engine) {
        if let Event::Token { token, logprobs: Some(logprobs), .. } = event {
            assert_eq!(token, 0);
            // What the model itself thinks is reported as it is.
            assert_eq!(logprobs.top[0].token, 10);
            tokens += 1;
        }
    }
    assert_eq!(tokens, 3);
}

#[test]
fn stop_strings_are_limited() {
    let mut engine = engine_for(&[1]);
    let mut submit = |stops: Vec<String>| {
        let request = Request { stop_strings: stops, ..greedy(vec![1], 1) };
        engine.submit(request, Duration::ZERO)
    };
    assert!(submit(vec!["x".repeat(256); 16]).is_ok());
    let rejected = Rejected::StopStrings { count: 17, limit: 16 };
    assert_eq!(submit(vec!["x".to_owned(); 17]), Err(rejected));
    for bytes in [0, 257] {
        let rejected = Rejected::StopStringLength { bytes, limit: 256 };
        assert_eq!(submit(vec!["x".repeat(bytes)]), Err(rejected));
    }
}
