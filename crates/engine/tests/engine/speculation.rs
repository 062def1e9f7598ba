//! Guesses: they change how fast an answer comes, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{AdapterId, Engine, Event, Limits, Progress, Request, Usage};
use proptest::prelude::*;

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt, sampled};

fn guessing(blocks: usize, running_max: usize, step_tokens_max: usize) -> Limits {
    Limits { draft_tokens_max: 8, ..limits(blocks, running_max, step_tokens_max) }
}

/// Runs one request to its end: tokens, usage, steps.
fn run(engine: &mut Engine<Fake>, request: Request) -> (Vec<u32>, Usage, usize) {
    let id = engine.submit(request, Duration::ZERO).unwrap();
    let (mut events, mut steps) = (Vec::new(), 0);
    while engine.step(Duration::ZERO, &mut events) != Progress::Idle {
        steps += 1;
    }
    let usage = events.iter().find_map(|event| match event {
        Event::Finished { usage, .. } => Some(*usage),
        _ => None,
    });
    (outcomes(&events).remove(&id).unwrap().0, usage.unwrap(), steps)
}

#[test]
fn a_prediction_that_comes_true_saves_steps() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let expected = model.greedy(&prompt(20, 1), 100, None);
    let mut engine = engine(&model, guessing(64, 2, 64));
    let request = Request { prediction: expected.clone(), ..greedy(prompt(20, 1), 100) };
    let (tokens, usage, steps) = run(&mut engine, request);
    assert_eq!(tokens, expected);
    assert!(steps < 40, "{steps} steps");
    // The first token comes with the prompt and the one after a full draft is free.
    assert!(usage.accepted_prediction_tokens >= 60, "{usage:?}");
    assert_eq!(usage.rejected_prediction_tokens, 0);
}

#[test]
fn a_prediction_with_an_edit_is_found_again() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let expected = model.greedy(&prompt(20, 1), 100, None);
    let mut prediction = expected.clone();
    prediction.splice(40..50, [1, 2]);
    let mut engine = engine(&model, guessing(64, 2, 64));
    let request = Request { prediction, ..greedy(prompt(20, 1), 100) };
    let (tokens, usage, steps) = run(&mut engine, request);
    assert_eq!(tokens, expected);
    assert!(steps < 60, "{steps} steps");
    assert!(usage.rejected_prediction_tokens > 0);
}

#[test]
fn a_prediction_that_is_wrong_costs_little() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let expected = model.greedy(&prompt(20, 1), 200, None);
    let wrong: Vec<u32> = expected.iter().map(|token| (token + 1) % 50).collect();
    let mut engine = engine(&model, guessing(64, 2, 64));
    let request = Request { prediction: wrong, ..greedy(prompt(20, 1), 200) };
    let (tokens, usage, _) = run(&mut engine, request);
    assert_eq!(tokens, expected);
    assert!(usage.rejected_prediction_tokens < 60, "{usage:?}");
}

#[test]
fn guesses_stop_where_steps_show_that_they_gain_nothing() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let expected = model.greedy(&prompt(20, 1), 400, None);
    // A machine on which every row costs the same.
    let mut engine = engine(&model, guessing(64, 2, 64));
    let request = Request { prediction: expected.clone(), ..greedy(prompt(20, 1), 400) };
    engine.submit(request, Duration::ZERO).unwrap();
    let (mut now, mut events, mut late) = (Duration::ZERO, Vec::new(), 0);
    loop {
        let rows = match engine.step(now, &mut events) {
            Progress::Idle => break,
            Progress::Worked { prefill_tokens, decode_tokens, guessed_tokens } => {
                late += if events.len() > 200 { guessed_tokens } else { 0 };
                prefill_tokens + decode_tokens + guessed_tokens
            }
        };
        now += Duration::from_millis(100 * rows as u64);
    }
    let (tokens, _) = outcomes(&events).into_values().next().unwrap();
    assert_eq!(tokens, expected);
    assert!(late < 20, "{late} guesses");
}

#[test]
fn what_repeats_is_guessed() {
    let model = Arc::new(Fake { script: [7, 3, 9, 4, 1, 2].repeat(60), ..Fake::new(10_000, 4096) });
    let mut engine = engine(&model, guessing(64, 2, 64));
    let (tokens, usage, steps) = run(&mut engine, greedy(vec![0], 300));
    assert_eq!(tokens, model.script[..300]);
    assert!(steps < 120, "{steps} steps");
    // Nobody predicted anything.
    assert_eq!((usage.accepted_prediction_tokens, usage.rejected_prediction_tokens), (0, 0));
}

#[test]
fn a_stop_within_the_guesses_ends_the_request() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let expected = model.greedy(&prompt(20, 1), 100, None);
    let stop = *expected[30..].iter().find(|token| !expected[..30].contains(token)).unwrap();
    let end = expected.iter().position(|&token| token == stop).unwrap();
    let mut engine = engine(&model, guessing(64, 2, 64));
    let request = Request {
        prediction: expected.clone(),
        stop_tokens: vec![stop],
        ..greedy(prompt(20, 1), 100)
    };
    let (tokens, usage, _) = run(&mut engine, request);
    assert_eq!(tokens, expected[..end]);
    assert_eq!(usage.generated_tokens, end + 1);
    assert_eq!(engine.free_blocks(), engine.total_blocks());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Greedy and sampled, across regimes, under preemption, with shared prefixes.
    #[test]
    fn guesses_change_no_token(
        asks in prop::collection::vec(
            (0usize..3, 1usize..90, 1usize..90, prop::option::of(0u64..9), 0usize..40), 1..8,
        ),
        original in 40usize..200,
        blocks in 8usize..24,
        running_max in 1usize..5,
        chunk in 1usize..60,
        draft_tokens_max in 1usize..9,
    ) {
        let model = Arc::new(Fake::new(original, 224));
        let ask = |salt, length, count, seed: Option<u64>| match seed {
            Some(seed) => sampled(prompt(length, salt), count, Some(seed)),
            None => greedy(prompt(length, salt), count),
        };
        let roomy = limits(1000, 1, 1000);
        let limits = limits(blocks, running_max, running_max + chunk);
        let mut engine = engine(&model, Limits { draft_tokens_max, ..limits });
        let mut expected = HashMap::new();
        for (salt, length, count, seed, edit) in asks {
            let request = Request { adapter: Some(AdapterId(salt % 2)), ..ask(salt, length, count, seed) };
            let off = Limits { share_prefixes: false, ..roomy.clone() };
            let mut alone = Engine::new(Arc::clone(&model), None, off, 5).unwrap();
            let (tokens, ..) = run(&mut alone, request.clone());
            // Right but for one place.
            let mut prediction = tokens.clone();
            if let Some(token) = prediction.get_mut(edit) {
                *token = (*token + 1) % 50;
            }
            let id = engine.submit(Request { prediction, ..request }, Duration::ZERO).unwrap();
            expected.insert(id, tokens);
        }
        for (id, (tokens, _)) in outcomes(&drain(&mut engine)) {
            prop_assert_eq!(&tokens, &expected[&id]);
        }
        prop_assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}
