//! Fairness, preemption, limits, independence of neighbours.

use std::sync::Arc;
use std::time::Duration;

use phial_engine::{
    AdapterId, Engine, Event, FinishReason, InvalidLimits, Limits, Progress, Rejected, Request,
    RequestId, Sampling, SamplingOptions,
};
use phial_model::Forward;
use proptest::prelude::*;

use crate::fake::{Fake, VOCABULARY, drain, engine, greedy, limits, outcomes, prompt, sampled};

#[test]
fn a_long_prompt_does_not_stall_those_who_decode() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let mut engine = engine(&model, limits(256, 4, 36));
    for salt in 0..3 {
        engine.submit(greedy(prompt(2, salt), 200), Duration::ZERO).unwrap();
    }
    let mut events = Vec::new();
    let worked = engine.step(Duration::ZERO, &mut events);
    let read = |prefill_tokens, decode_tokens| Progress::Worked {
        prefill_tokens,
        decode_tokens,
        guessed_tokens: 0,
    };
    assert_eq!(worked, read(6, 0));
    let long = engine.submit(greedy(prompt(3000, 9), 1), Duration::ZERO).unwrap();
    loop {
        events.clear();
        let worked = engine.step(Duration::ZERO, &mut events);
        assert!(matches!(worked, Progress::Worked { decode_tokens: 3, .. }), "{worked:?}");
        let mut decoders: Vec<u64> = events
            .iter()
            .filter(|event| matches!(event, Event::Token { .. }) && event.request() != long)
            .map(|event| event.request().0)
            .collect();
        decoders.sort_unstable();
        assert_eq!(decoders, [0, 1, 2]);
        if events.iter().any(|event| event.request() == long) {
            break;
        }
        assert_eq!(worked, read(33, 3));
    }
    // 1 step for the short prompts, ceil(3000 / 33) for the long one.
    assert_eq!(model.steps.lock().unwrap().len(), 1 + 91);
}

#[test]
fn first_come_first_served() {
    let model = Arc::new(Fake::new(10_000, 512));
    let mut engine = engine(&model, limits(64, 2, 20));
    for salt in 0..6 {
        engine.submit(greedy(prompt(30, salt), 3), Duration::ZERO).unwrap();
    }
    let events = drain(&mut engine);
    let first_tokens: Vec<u64> = events
        .iter()
        .filter(|event| matches!(event, Event::Finished { .. }))
        .map(|event| event.request().0)
        .collect();
    assert_eq!(first_tokens, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_step_never_exceeds_its_tokens() {
    let model = Arc::new(Fake::new(40, 512));
    let mut engine = engine(&model, limits(20, 5, 23));
    for salt in 0..20 {
        engine.submit(sampled(prompt(1 + salt * 13, salt), 40, None), Duration::ZERO).unwrap();
    }
    drain(&mut engine);
    for step in model.steps.lock().unwrap().iter() {
        assert!(step.iter().sum::<usize>() <= 23 && step.len() <= 5, "{step:?}");
    }
}

/// Runs each request alone in a roomy engine.
fn alone(model: &Arc<Fake>, requests: &[Request]) -> Vec<Vec<u32>> {
    let run = |request: &Request| {
        let mut engine = engine(model, limits(1000, 1, 1000));
        let id = engine.submit(request.clone(), Duration::ZERO).unwrap();
        outcomes(&drain(&mut engine)).remove(&id).unwrap().0
    };
    requests.iter().map(run).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Also under preemption: few blocks for many sequences that all grow.
    #[test]
    fn the_same_seed_gives_the_same_tokens_whatever_runs_beside(
        lengths in prop::collection::vec((1usize..90, 1usize..150), 2..8),
        blocks in 8usize..14,
        running_max in 2usize..8,
        chunk in 1usize..64,
    ) {
        let model = Arc::new(Fake::new(120, 256));
        let requests: Vec<Request> = lengths
            .iter()
            .enumerate()
            .map(|(salt, &(length, count))| sampled(prompt(length, salt), count, Some(salt as u64)))
            .collect();
        let expected = alone(&model, &requests);
        let mut engine = engine(&model, limits(blocks, running_max, running_max + chunk));
        for request in requests {
            engine.submit(request, Duration::ZERO).unwrap();
        }
        let outcomes = outcomes(&drain(&mut engine));
        for (id, (tokens, _)) in outcomes {
            prop_assert_eq!(&tokens, &expected[id.0 as usize]);
        }
        prop_assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}

#[test]
fn preemption_takes_the_youngest_and_changes_no_token() {
    let model = Arc::new(Fake::new(10_000, 128));
    // Four blocks for sequences that each grow into three.
    let mut engine = engine(&model, limits(4, 2, 64));
    for salt in 0..3 {
        engine.submit(greedy(prompt(20, salt), 70), Duration::ZERO).unwrap();
    }
    let mut events = Vec::new();
    let mut preempted = false;
    while engine.step(Duration::ZERO, &mut events) != Progress::Idle {
        preempted |= engine.waiting() == 2;
    }
    assert!(preempted);
    let first_end = events.iter().position(|event| matches!(event, Event::Finished { .. }));
    let (before, after) = events.split_at(first_end.unwrap() + 1);
    assert_eq!(before.last().unwrap().request().0, 0);
    // The preempted one goes on before the one that never ran.
    assert!(before.iter().any(|event| event.request().0 == 1));
    assert!(before.iter().all(|event| event.request().0 != 2));
    assert_eq!(after[0].request().0, 1);
    for (id, (tokens, reason)) in outcomes(&events) {
        assert_eq!(tokens, model.greedy(&prompt(20, id.0 as usize), 70, None));
        assert_eq!(reason, Some(FinishReason::Length));
    }
}

#[test]
fn a_neighbour_of_5000_tokens_changes_nothing() {
    let model = Arc::new(Fake::new(4096, 131_072));
    let requests: Vec<Request> = (0..6)
        .map(|salt| match salt % 2 {
            0 => greedy(prompt(10 + salt, salt), 60),
            _ => sampled(prompt(10 + salt, salt), 60, Some(salt as u64)),
        })
        .collect();
    let expected = alone(&model, &requests);
    let mut engine = engine(&model, limits(1000, 8, 64));
    let mut events = Vec::new();
    for request in requests {
        engine.submit(request, Duration::ZERO).unwrap();
        engine.step(Duration::ZERO, &mut events);
    }
    // One that begins beyond the original context, and one that crosses it on its way.
    let long = engine.submit(greedy(prompt(5000, 9), 30), Duration::ZERO).unwrap();
    let crossing = engine.submit(greedy(prompt(4090, 8), 30), Duration::ZERO).unwrap();
    events.extend(drain(&mut engine));
    let outcomes = outcomes(&events);
    for (id, expected) in expected.iter().enumerate() {
        assert_eq!(&outcomes[&RequestId(id as u64)].0, expected);
    }
    assert_eq!(outcomes[&long].0, model.greedy(&prompt(5000, 9), 30, None));
    assert_eq!(outcomes[&crossing].0, model.greedy(&prompt(4090, 8), 30, None));
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let mut engine = engine(&model, limits(256, 4, 100));
    let long = engine.submit(greedy(prompt(3000, 9), 1), Duration::ZERO).unwrap();
    let mut events = Vec::new();
    engine.step(Duration::ZERO, &mut events);
    let short = engine.submit(greedy(prompt(50, 1), 1), Duration::ZERO).unwrap();
    let worked = engine.step(Duration::ZERO, &mut events);
    assert!(matches!(worked, Progress::Worked { prefill_tokens: 100, .. }));
    assert_eq!(outcomes(&events)[&short].0.len(), 1);
    // Nor does the long one wait for ever for short ones.
    for salt in 0..60 {
        engine.submit(greedy(prompt(70, salt), 1), Duration::ZERO).unwrap();
        engine.step(Duration::ZERO, &mut events);
    }
    assert_eq!(outcomes(&events)[&long].0.len(), 1);
}

#[test]
fn entropy_is_the_seed_of_those_who_bring_none() {
    let model = Arc::new(Fake::new(10_000, 128));
    let run = |entropy| {
        let mut engine = Engine::new(Arc::clone(&model), None, Limits::default(), entropy).unwrap();
        for _ in 0..2 {
            engine.submit(sampled(prompt(5, 0), 20, None), Duration::ZERO).unwrap();
        }
        let outcomes = outcomes(&drain(&mut engine));
        outcomes
            .into_iter()
            .map(|(id, one)| (id.0, one.0))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let (one, again, other) = (run(1), run(1), run(2));
    assert_eq!(one, again);
    assert_ne!(one, other);
    assert_ne!(one[&0], one[&1]);
}

#[test]
fn the_queue_is_bounded() {
    let model = Arc::new(Fake::new(10_000, 128));
    let limits = Limits { waiting_max: 3, ..limits(16, 2, 32) };
    let mut engine = engine(&model, limits);
    for salt in 0..5 {
        engine.submit(greedy(prompt(4, salt), 2), Duration::ZERO).unwrap();
    }
    let rejected = engine.submit(greedy(prompt(4, 9), 2), Duration::ZERO);
    assert_eq!(rejected, Err(Rejected::QueueFull { limit: 3 }));
    drain(&mut engine);
    assert!(engine.submit(greedy(prompt(4, 9), 2), Duration::ZERO).is_ok());
}

#[test]
fn requests_that_cannot_run_are_rejected() {
    let model = Arc::new(Fake::new(10_000, 4096));
    // The cache holds less than the model's context.
    let mut engine = engine(&model, limits(4, 2, 32));
    assert_eq!(engine.context_tokens(), 128);
    let ok = || greedy(prompt(5, 0), 5);
    let bias = |token| {
        let options = SamplingOptions { logit_bias: vec![(token, 1.0)], ..Default::default() };
        Request { sampling: Sampling::new(options).unwrap(), ..ok() }
    };
    let vocabulary = VOCABULARY;
    let cases = [
        (Request::new(vec![]), Rejected::EmptyPrompt),
        (greedy(prompt(128, 0), 1), Rejected::ContextLength { prompt: 128, context: 128 }),
        (greedy(vec![1, 50], 1), Rejected::TokenOutOfRange { token: 50, vocabulary }),
        (bias(50), Rejected::TokenOutOfRange { token: 50, vocabulary }),
        (greedy(prompt(5, 0), 0), Rejected::NoTokens),
        (
            Request { adapter: Some(AdapterId(2)), ..ok() },
            Rejected::UnknownAdapter { adapter: 2, adapters: 2 },
        ),
        (Request { logprobs: Some(21), ..ok() }, Rejected::Logprobs { asked: 21, limit: 20 }),
        (Request { stop_strings: vec!["x".to_owned()], ..ok() }, Rejected::NoTokenizer),
    ];
    for (request, expected) in cases {
        let rejected = engine.submit(request, Duration::ZERO).unwrap_err();
        assert_eq!(rejected, expected);
        assert_eq!(rejected.to_string().lines().count(), 1);
    }
    assert_eq!((engine.running(), engine.waiting()), (0, 0));
    assert!(engine.submit(ok(), Duration::ZERO).is_ok());
}

#[test]
fn a_sequence_ends_with_the_context() {
    let model = Arc::new(Fake::new(10, 40));
    for (length, tokens_max, generated) in
        [(39, None, 1), (30, None, 10), (30, Some(100), 10), (30, Some(10), 10), (30, Some(9), 9)]
    {
        let mut engine = engine(&model, limits(8, 2, 32));
        let request = Request { tokens_max, ..Request::new(prompt(length, 1)) };
        let id = engine.submit(request, Duration::ZERO).unwrap();
        let (tokens, reason) = outcomes(&drain(&mut engine)).remove(&id).unwrap();
        assert_eq!((tokens.len(), reason), (generated, Some(FinishReason::Length)));
    }
}

#[test]
fn limits_that_cannot_work_are_refused() {
    let refused = |limits: Limits, context| {
        Engine::new(Arc::new(Fake::new(10, context)), None, limits, 0).err()
    };
    assert_eq!(refused(limits(4, 0, 32), 64), Some(InvalidLimits::NoneRunning));
    assert!(matches!(refused(limits(4, 8, 8), 64), Some(InvalidLimits::StepTokens { .. })));
    assert!(matches!(refused(limits(0, 2, 8), 64), Some(InvalidLimits::Cache { .. })));
    assert!(matches!(refused(limits(4, 2, 8), 1), Some(InvalidLimits::Context { tokens: 1 })));
    assert_eq!(refused(limits(4, 2, 8), 64), None);
}

#[test]
fn any_kind_of_model_in_an_engine_that_can_move_to_a_thread() {
    let model: Arc<dyn Forward> = Arc::new(Fake::new(10, 40));
    let mut engine = Engine::new(model, None, limits(8, 2, 32), 0).unwrap();
    let events = std::thread::spawn(move || {
        engine.submit(greedy(prompt(4, 0), 2), Duration::ZERO).unwrap();
        drain(&mut engine)
    });
    assert_eq!(events.join().unwrap().len(), 3);
}
