//! Sequences that outgrow the original context: LongRoPE's two sets of factors.

use std::sync::Arc;
use std::time::Duration;

use phial_engine::{AdapterId, Event, Progress, Request};
use proptest::prelude::*;

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn decoding_equals_a_fresh_prefill_at_every_length(
        original in 1usize..150,
        lengths in prop::collection::vec((1usize..200, 1usize..80), 1..6),
        blocks in 9usize..40,
        running_max in 1usize..6,
        chunk in 1usize..70,
    ) {
        let model = Arc::new(Fake::new(original, 288));
        let mut engine = engine(&model, limits(blocks, running_max, running_max + chunk));
        let mut expected = Vec::new();
        for (index, &(length, count)) in lengths.iter().enumerate() {
            let adapter = (index % 3 > 0).then(|| AdapterId(index % 3 - 1));
            let request = Request { adapter, ..greedy(prompt(length, index), count) };
            let id = engine.submit(request, Duration::ZERO).unwrap();
            expected.push((id, model.greedy(&prompt(length, index), count, adapter)));
        }
        let outcomes = outcomes(&drain(&mut engine));
        for (id, tokens) in expected {
            prop_assert_eq!(&outcomes[&id].0, &tokens);
        }
        prop_assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}

#[test]
fn the_step_that_reads_token_4097_reads_all_of_them_again() {
    let model = Arc::new(Fake::new(4096, 131_072));
    let mut engine = engine(&model, limits(300, 2, 514));
    engine.submit(greedy(prompt(4094, 1), 6), Duration::ZERO).unwrap();
    let outcomes = outcomes(&drain(&mut engine));
    let (tokens, _) = outcomes.values().next().unwrap();
    assert_eq!(*tokens, model.greedy(&prompt(4094, 1), 6, None));

    // 4094 tokens give the first of six; two more are read one by one (lengths 4095, 4096), then
    // 4097 all over again, then 4098 and 4099.
    let steps: Vec<usize> = model.steps.lock().unwrap().iter().flatten().copied().collect();
    let prefill: Vec<usize> = [vec![514; 7], vec![4094 - 7 * 514]].concat();
    let again: Vec<usize> = [vec![514; 7], vec![4097 - 7 * 514]].concat();
    assert_eq!(steps, [prefill, vec![1, 1], again, vec![1, 1]].concat());
}

#[test]
fn neighbours_go_on_while_one_crosses() {
    let model = Arc::new(Fake::new(100, 512));
    let mut engine = engine(&model, limits(64, 2, 12));
    let neighbour = engine.submit(greedy(prompt(3, 2), 90), Duration::ZERO).unwrap();
    engine.submit(greedy(prompt(98, 1), 10), Duration::ZERO).unwrap();
    let mut events = Vec::new();
    loop {
        events.clear();
        match engine.step(Duration::ZERO, &mut events) {
            Progress::Idle => break,
            Progress::Worked { .. } if engine.running() == 2 => {
                let is_token = |event: &&Event| matches!(event, Event::Token { .. });
                let tokens = events.iter().filter(is_token);
                assert_eq!(tokens.filter(|event| event.request() == neighbour).count(), 1);
            }
            Progress::Worked { .. } => {}
        }
    }
}
