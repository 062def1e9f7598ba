//! An engine on the real decoder, and another one after it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{Engine, Event, Limits, Progress, Request, TokenLogprobs};
use phial_model::{Forward, KvElement, LoadOptions, Model, Precision};
use phial_prefixes::DiskPrefixes;

fn engine(model: &Arc<Model>, folder: Option<&Path>) -> Engine<Model> {
    let limits = Limits { context_tokens_max: 1024, step_tokens_max: 64, ..Limits::default() };
    let engine = Engine::new(Arc::clone(model), None, limits, 5).expect("limits that work");
    match folder {
        Some(folder) => {
            let disk = DiskPrefixes::open(folder, [1; 32], 1 << 30).expect("a folder");
            engine.with_prefix_store(Box::new(disk))
        }
        None => engine,
    }
}

/// Tokens with log-probabilities, which betray any other bit, and the tokens found in the cache.
fn ask(engine: &mut Engine<Model>, prompt: &[u32]) -> (Vec<(u32, Option<TokenLogprobs>)>, usize) {
    let request =
        Request { tokens_max: Some(20), logprobs: Some(5), ..Request::new(prompt.to_vec()) };
    engine.submit(request, Duration::ZERO).expect("room");
    let (mut events, mut answer, mut cached) = (Vec::new(), Vec::new(), None);
    while engine.step(Duration::ZERO, &mut events) != Progress::Idle {}
    for event in events {
        match event {
            Event::Token { token, logprobs, .. } => answer.push((token, logprobs)),
            Event::Finished { usage, .. } => cached = Some(usage.cached_tokens),
            _ => {}
        }
    }
    (answer, cached.expect("an end"))
}

#[test]
fn a_restart_changes_no_bit_and_reads_little() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/text-q");
    let options = LoadOptions::new(Precision::Auto, Some(2)).expect("a tier");
    for element in [KvElement::F16, KvElement::Int8, KvElement::Int4] {
        let mut model = Model::load(&model, &options).expect("a model");
        model.choose_kv(Some(element), 1024).expect("a type");
        let model = Arc::new(model);
        // On both sides of the original context of 256 tokens.
        for length in [250u64, 600] {
            let vocabulary = model.vocabulary() as u64;
            let prompt: Vec<u32> =
                (0..length).map(|at| (at * at * 7919 % vocabulary) as u32).collect();
            let folder = tempfile::tempdir().expect("a folder");
            let expected = ask(&mut engine(&model, None), &prompt);
            assert_eq!(expected.1, 0);
            assert_eq!(ask(&mut engine(&model, Some(folder.path())), &prompt), expected);
            let (answer, cached) = ask(&mut engine(&model, Some(folder.path())), &prompt);
            assert!(answer == expected.0, "{element:?}, {length} tokens");
            assert_eq!(cached, (length as usize - 1) / 32 * 32);
        }
    }
}
