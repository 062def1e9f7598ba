//! Keys and values that several sequences use.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{AdapterId, Engine, Event, Limits, Progress, Request, RequestId, Usage};
use proptest::prelude::*;

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt, sampled};

/// What each finished request took.
fn usages(events: &[Event]) -> HashMap<RequestId, Usage> {
    let finished = events.iter().filter_map(|event| match event {
        Event::Finished { request, usage, .. } => Some((*request, *usage)),
        _ => None,
    });
    finished.collect()
}

/// Tokens that the model has read since the last call.
fn tokens_read(model: &Fake) -> usize {
    model.steps.lock().unwrap().drain(..).flatten().sum()
}

/// Runs a request in the company of what runs already, and gives the tokens taken from the cache.
fn cached(engine: &mut Engine<Fake>, request: Request) -> usize {
    let id = engine.submit(request, Duration::ZERO).unwrap();
    usages(&drain(engine))[&id].cached_tokens
}

#[test]
fn a_prompt_that_was_read_is_not_read_again() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let mut engine = engine(&model, limits(300, 4, 512));
    let ask = |length| greedy(prompt(length, 1), 3);
    assert_eq!(cached(&mut engine, ask(200)), 0);
    assert_eq!(tokens_read(&model), 202);
    // All of it but the last token, whose logits are needed.
    assert_eq!(cached(&mut engine, ask(200)), 199);
    assert_eq!(tokens_read(&model), 3);
    // Ending on a block, shorter, longer, other after 70 tokens.
    assert_eq!(cached(&mut engine, ask(192)), 191);
    assert_eq!(cached(&mut engine, ask(10)), 9);
    assert_eq!(cached(&mut engine, ask(1)), 0);
    assert_eq!(cached(&mut engine, ask(300)), 200);
    let mut other = ask(200);
    other.prompt[70] += 1;
    other.prompt[70] %= 50;
    assert_eq!(cached(&mut engine, other), 70);
    assert_eq!(engine.free_blocks(), engine.total_blocks());
}

#[test]
fn an_answer_is_the_beginning_of_the_next_prompt() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let mut engine = engine(&model, limits(300, 4, 512));
    let id = engine.submit(greedy(prompt(50, 1), 100), Duration::ZERO).unwrap();
    let (answer, _) = outcomes(&drain(&mut engine)).remove(&id).unwrap();
    let next = [prompt(50, 1), answer, prompt(20, 2)].concat();
    // The last token of the answer was chosen, but never read.
    assert_eq!(cached(&mut engine, greedy(next, 1)), 149);
}

#[test]
fn nothing_is_shared_with_another_adapter_salt_or_regime() {
    let model = Arc::new(Fake::new(150, 4096));
    let mut engine = engine(&model, limits(300, 4, 512));
    let ask = |length| greedy(prompt(length, 1), 1);
    let adapted = |adapter| Request { adapter: Some(AdapterId(adapter)), ..ask(100) };
    let salted = |salt| Request { prefix_salt: Some([salt; 32]), ..ask(100) };
    let all = || [ask(100), adapted(0), adapted(1), salted(0), salted(1), ask(151)];
    for (request, again) in all().into_iter().zip(all()) {
        let length = request.prompt.len();
        assert_eq!(cached(&mut engine, request), 0);
        assert_eq!(cached(&mut engine, again), length - 1);
    }
}

#[test]
fn choices_of_one_prompt_read_it_once() {
    let model = Arc::new(Fake::new(10_000, 4096));
    for length in [100, 1000] {
        let mut engine = engine(&model, limits(300, 8, 512));
        for seed in 0..8 {
            engine.submit(sampled(prompt(length, 1), 5, Some(seed)), Duration::ZERO).unwrap();
        }
        let mut events = Vec::new();
        let mut used = 0;
        while engine.step(Duration::ZERO, &mut events) != Progress::Idle {
            used = used.max(engine.total_blocks() - engine.free_blocks());
        }
        // Each reads the prompt's last token and four of its own.
        assert_eq!(tokens_read(&model), length + 7 + 8 * 4);
        // One block of its own for each, the rest is shared.
        assert_eq!(used, length / 32 + 8);
        let mut cached: Vec<usize> =
            usages(&events).values().map(|usage| usage.cached_tokens).collect();
        cached.sort_unstable();
        assert_eq!(cached, [vec![0], vec![length - 1; 7]].concat());
    }
}

#[test]
fn many_prompts_with_one_beginning_need_little_room() {
    let model = Arc::new(Fake::new(10_000, 1024));
    // Room for one of them and a little.
    let mut engine = engine(&model, limits(32 + 16, 8, 64));
    let beginning = prompt(960, 1);
    let mut expected = HashMap::new();
    for salt in 0..16 {
        let whole = [beginning.clone(), prompt(20, salt)].concat();
        let id = engine.submit(greedy(whole.clone(), 10), Duration::ZERO).unwrap();
        expected.insert(id, model.greedy(&whole, 10, None));
    }
    let mut events = Vec::new();
    let mut together = 0;
    while engine.step(Duration::ZERO, &mut events) != Progress::Idle {
        together = together.max(engine.running());
    }
    assert_eq!(together, 8);
    assert!(tokens_read(&model) < 960 + 16 * 30 + 64);
    for (id, (tokens, _)) in outcomes(&events) {
        assert_eq!(tokens, expected[&id]);
    }
}

#[test]
fn the_prefix_used_last_survives() {
    let model = Arc::new(Fake::new(10_000, 320));
    // Three prompts of three blocks and their answers.
    let mut engine = engine(&model, limits(10, 1, 512));
    let ask = |salt| greedy(prompt(96, salt), 1);
    for salt in [1, 2, 3] {
        assert_eq!(cached(&mut engine, ask(salt)), 0);
    }
    assert_eq!(cached(&mut engine, ask(1)), 95);
    // The fourth takes the place of the second.
    assert_eq!(cached(&mut engine, ask(4)), 0);
    for salt in [3, 1, 4] {
        assert_eq!(cached(&mut engine, ask(salt)), 95, "{salt}");
    }
    assert!(cached(&mut engine, ask(2)) < 95);
}

#[test]
fn sharing_can_be_switched_off() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let off = Limits { share_prefixes: false, ..limits(300, 4, 512) };
    let mut engine = engine(&model, off);
    for _ in 0..2 {
        for _ in 0..3 {
            engine.submit(greedy(prompt(200, 1), 1), Duration::ZERO).unwrap();
        }
        let usages = usages(&drain(&mut engine));
        assert!(usages.values().all(|usage| usage.cached_tokens == 0));
        assert_eq!(tokens_read(&model), 600);
    }
}

/// A prompt of a few possible beginnings, middles and ends.
fn related() -> impl Strategy<Value = Vec<u32>> {
    (0usize..2, 1usize..100, 0usize..3, 0usize..60).prop_map(|(salt, length, other, rest)| {
        [prompt(length, salt), prompt(rest, other + 5)].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is shared, evicted, preempted, copied: the text is that of a fresh prompt.
    #[test]
    fn sharing_changes_no_token(
        asks in prop::collection::vec(
            (related(), 1usize..60, 0usize..4, any::<bool>()), 1..14,
        ),
        original in 40usize..200,
        blocks in 8usize..30,
        running_max in 1usize..6,
        chunk in 1usize..80,
    ) {
        let model = Arc::new(Fake::new(original, 224));
        let mut engine = engine(&model, limits(blocks, running_max, running_max + chunk));
        let mut expected = HashMap::new();
        let mut events = Vec::new();
        for (prompt, count, steps, adapted) in asks {
            let adapter = adapted.then_some(AdapterId(1));
            let request = Request { adapter, ..greedy(prompt.clone(), count) };
            let id = engine.submit(request, Duration::ZERO).unwrap();
            expected.insert(id, model.greedy(&prompt, count, adapter));
            for _ in 0..steps {
                engine.step(Duration::ZERO, &mut events);
            }
        }
        events.extend(drain(&mut engine));
        for (id, (tokens, _)) in outcomes(&events) {
            prop_assert_eq!(&tokens, &expected[&id]);
        }
        for usage in usages(&events).values() {
            prop_assert!(usage.cached_tokens < usage.prompt_tokens);
        }
        prop_assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}
