//! Arrivals and cancellations at any moment, and what is left behind.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{Event, RequestId, Usage};

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt, sampled};

/// A small generator, so that a failing seed can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

#[test]
fn random_arrivals_and_cancellations_leave_nothing_behind() {
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let model = Arc::new(Fake::new(60, 200));
        let running_max = 1 + dice.below(6);
        let step_tokens_max = running_max + 1 + dice.below(40);
        let mut engine = engine(&model, limits(7 + dice.below(12), running_max, step_tokens_max));
        let mut live: HashSet<RequestId> = HashSet::new();
        let mut events = Vec::new();
        for _ in 0..1000 {
            if dice.below(4) == 0 {
                let salt = dice.below(1000);
                let request = sampled(prompt(1 + dice.below(150), salt), 1 + dice.below(90), None);
                live.extend(engine.submit(request, Duration::ZERO));
            }
            if dice.below(6) == 0 {
                let cancelled = RequestId(dice.below(300) as u64);
                let usage = engine.cancel(cancelled);
                assert_eq!(usage.is_some(), live.remove(&cancelled));
            }
            events.clear();
            engine.step(Duration::ZERO, &mut events);
            for event in &events {
                assert!(live.contains(&event.request()), "an event of a dead request");
                if matches!(event, Event::Finished { .. }) {
                    live.remove(&event.request());
                }
            }
            assert_eq!(engine.running() + engine.waiting(), live.len());
            assert!(engine.running() <= running_max);
        }
        for id in live {
            assert!(engine.cancel(id).is_some());
        }
        assert_eq!((engine.running(), engine.waiting()), (0, 0));
        assert_eq!(engine.free_blocks(), engine.total_blocks());
        assert!(drain(&mut engine).is_empty());
    }
}

#[test]
fn usage_counts_what_was_done_and_waited_for() {
    let model = Arc::new(Fake::new(60, 200));
    let mut engine = engine(&model, limits(8, 1, 32));
    let first = engine.submit(greedy(prompt(5, 0), 3), Duration::from_secs(1)).unwrap();
    let second = engine.submit(greedy(prompt(6, 0), 3), Duration::from_secs(2)).unwrap();
    let third = engine.submit(greedy(prompt(7, 0), 3), Duration::from_secs(2)).unwrap();
    let mut events = Vec::new();
    for second in 10..15 {
        engine.step(Duration::from_secs(second), &mut events);
    }
    let Some(Event::Finished { request, usage, .. }) =
        events.iter().find(|event| matches!(event, Event::Finished { .. }))
    else {
        panic!("the first request is done");
    };
    assert_eq!(*request, first);
    let queued = Duration::from_secs(9);
    let expected = Usage { prompt_tokens: 5, generated_tokens: 3, queued, ..Usage::default() };
    assert_eq!(*usage, expected);

    // It begins as the first one did.
    let queued = Duration::from_secs(11);
    let expected = Usage { prompt_tokens: 6, cached_tokens: 5, generated_tokens: 2, queued };
    assert_eq!(engine.cancel(second), Some(expected));
    assert_eq!(engine.cancel(second), None);
    let expected = Usage { prompt_tokens: 7, ..Usage::default() };
    assert_eq!(engine.cancel(third), Some(expected));
}

#[test]
fn a_request_can_be_run_to_its_end_or_left() {
    let model = Arc::new(Fake::new(60, 200));
    let mut engine = engine(&model, limits(8, 2, 32));
    let mut events = Vec::new();
    let all = |event: Event| {
        events.push(event);
        ControlFlow::Continue(())
    };
    engine.run_to_end(greedy(prompt(5, 0), 7), all).unwrap();
    let (tokens, reason) = outcomes(&events).into_values().next().unwrap();
    assert_eq!(tokens, model.greedy(&prompt(5, 0), 7, None));
    assert!(reason.is_some());

    let mut count = 0;
    let few = |_: Event| {
        count += 1;
        if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    engine.run_to_end(greedy(prompt(5, 0), 7), few).unwrap();
    assert_eq!(count, 3);
    assert_eq!(engine.free_blocks(), engine.total_blocks());
}

#[test]
fn logprobs_are_those_of_the_raw_logits() {
    let model = Arc::new(Fake::new(60, 200));
    let mut engine = engine(&model, limits(8, 2, 32));
    let mut request = sampled(prompt(5, 0), 20, Some(1));
    request.logprobs = Some(4);
    engine.submit(request, Duration::ZERO).unwrap();
    let mut tokens = prompt(5, 0);
    for event in drain(&mut engine) {
        let Event::Token { token, logprobs: Some(logprobs), .. } = event else { continue };
        let row = model.fresh(&tokens, None);
        let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        let expected = |token: u32| f64::from(row[token as usize]) - total.ln();
        assert_eq!((logprobs.chosen.token, logprobs.top.len()), (token, 4));
        for one in logprobs.top.iter().chain([&logprobs.chosen]) {
            assert!((f64::from(one.logprob) - expected(one.token)).abs() < 1e-5);
        }
        assert!(logprobs.top.windows(2).all(|pair| pair[0].logprob >= pair[1].logprob));
        tokens.push(token);
    }
    assert_eq!(tokens.len(), 25);
}
