//! The engine on the real decoder: what is shared must be equal bit for bit, not close.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{Engine, Event, Limits, Request, RequestId, TokenLogprobs};
use phial_model::{Forward, KvElement, LoadOptions, Model, Precision};

use crate::fake::drain;

/// Tokens and their log-probabilities: they betray any other bit in a row of logits.
type Answer = Vec<(u32, TokenLogprobs)>;

fn model(element: KvElement) -> Arc<Model> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens/text-q");
    let options = LoadOptions::new(Precision::Auto, Some(2)).expect("a tier");
    let mut model = Model::load(&folder, &options).unwrap_or_else(|error| panic!("{error}"));
    model.choose_kv(Some(element), 1024).unwrap_or_else(|error| panic!("{error}"));
    Arc::new(model)
}

fn engine(model: &Arc<Model>, share_prefixes: bool, chunk: usize) -> Engine<Model> {
    let limits = Limits {
        share_prefixes,
        step_tokens_max: chunk,
        running_max: 6,
        context_tokens_max: 1024,
        ..Limits::default()
    };
    Engine::new(Arc::clone(model), None, limits, 5).expect("limits that work")
}

fn ask(prompt: &[u32]) -> Request {
    Request { tokens_max: Some(12), logprobs: Some(5), ..Request::new(prompt.to_vec()) }
}

fn answers(events: Vec<Event>) -> HashMap<RequestId, Answer> {
    let mut answers: HashMap<RequestId, Answer> = HashMap::new();
    for event in events {
        if let Event::Token { request, token, logprobs, .. } = event {
            answers.entry(request).or_default().push((token, logprobs.expect("asked for")));
        }
    }
    answers
}

/// Prompts that share beginnings of many lengths, in and between blocks, on both sides of the
/// original context of 256 tokens.
fn prompts(vocabulary: usize) -> Vec<Vec<u32>> {
    let ids: Vec<u32> = (0..700u64).map(|at| (at * at * 7919 % vocabulary as u64) as u32).collect();
    let mut prompts = Vec::new();
    for length in [5, 31, 32, 33, 64, 100, 200, 250, 257, 300, 640] {
        prompts.push(ids[..length].to_vec());
        prompts.push([&ids[..length], &[3, 1, 4]].concat());
    }
    prompts
}

#[test]
fn shared_prefixes_and_guesses_give_the_same_bits() {
    for element in KvElement::ALL {
        let model = model(element);
        let prompts = prompts(model.vocabulary());
        let mut expected: Vec<Answer> = Vec::new();
        for prompt in &prompts {
            let mut alone = engine(&model, false, 1000);
            let id = alone.submit(ask(prompt), Duration::ZERO).expect("room");
            expected.extend(answers(drain(&mut alone)).remove(&id));
        }
        for chunk in [7, 50, 512] {
            let mut shared = engine(&model, true, chunk);
            let mut guessed = 0;
            // All at once, then again from what is kept, in the other order.
            for round in 0..2 {
                let mut order: Vec<usize> = (0..prompts.len()).collect();
                if round == 1 {
                    order.reverse();
                }
                let mut indices = HashMap::new();
                for index in order {
                    // Right but for one token, so that guesses are kept and thrown away.
                    let mut prediction: Vec<u32> =
                        expected[index].iter().map(|&(token, _)| token).collect();
                    prediction[index % 12] = 0;
                    let request = Request { prediction, ..ask(&prompts[index]) };
                    let id = shared.submit(request, Duration::ZERO).expect("room");
                    indices.insert(id, index);
                }
                let events = drain(&mut shared);
                for event in &events {
                    if let Event::Finished { usage, .. } = event {
                        guessed += usage.accepted_prediction_tokens;
                    }
                }
                for (id, answer) in answers(events) {
                    let index = indices[&id];
                    let name = format!("{element:?}, chunks of {chunk}, prompt {index}");
                    assert!(answer == expected[index], "{name}, round {round}");
                }
            }
            assert!(guessed > 0, "no guess was kept");
        }
    }
}
