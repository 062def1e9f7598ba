//! What is reported of prompts: the same whatever runs beside them and however they are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use phial_engine::{Event, PromptReport, Rejected, Request, RequestId, TokenId, TokenLogprobs};

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt, sampled};

fn scored(tokens: Vec<TokenId>, top: usize, tokens_max: usize) -> Request {
    Request { prompt_report: PromptReport::Logprobs(top), ..greedy(tokens, tokens_max) }
}

fn embedded(tokens: Vec<TokenId>) -> Request {
    Request { prompt_report: PromptReport::MeanHidden, ..greedy(tokens, 0) }
}

fn logprobs(events: &[Event]) -> HashMap<RequestId, Vec<TokenLogprobs>> {
    let mut all: HashMap<RequestId, Vec<TokenLogprobs>> = HashMap::new();
    for event in events {
        if let Event::PromptLogprobs { request, logprobs } = event {
            all.entry(*request).or_default().extend(logprobs.iter().cloned());
        }
    }
    all
}

/// Checks a report against a prefill of the prompt up to each token.
fn check(model: &Fake, tokens: &[TokenId], reported: &[TokenLogprobs], top: usize) {
    assert_eq!(reported.len(), tokens.len() - 1);
    for (index, entry) in reported.iter().enumerate() {
        // The regime is that of the whole prompt; these prompts stay within the first.
        let row = model.fresh(&tokens[..=index], None);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        let expected = f64::from(row[tokens[index + 1] as usize]) - sum.ln();
        assert_eq!(entry.chosen.token, tokens[index + 1]);
        assert!((f64::from(entry.chosen.logprob) - expected).abs() < 1e-5, "token {index}");
        assert_eq!(entry.top.len(), top);
        assert!(entry.top.windows(2).all(|pair| pair[0].logprob >= pair[1].logprob));
    }
}

#[test]
fn log_probabilities_of_prompts_are_those_of_the_model() {
    for (blocks, step_tokens_max) in [(40, 512), (40, 9), (9, 40)] {
        let model = Arc::new(Fake::new(400, 500));
        let mut engine = engine(&model, limits(blocks, 4, step_tokens_max));
        let mut expected = HashMap::new();
        for (salt, length, tokens_max) in [(1, 150, 0), (2, 1, 3), (3, 90, 1), (4, 2, 0)] {
            let tokens = prompt(length, salt);
            let request = scored(tokens.clone(), 2, tokens_max);
            expected.insert(engine.submit(request, Duration::ZERO).unwrap(), (tokens, tokens_max));
        }
        // Neighbours that generate meanwhile; they and the prompts fight for the blocks.
        for salt in 5..8 {
            engine.submit(sampled(prompt(30, salt), 60, Some(1)), Duration::ZERO).unwrap();
        }
        let events = drain(&mut engine);
        let reported = logprobs(&events);
        let outcomes = outcomes(&events);
        for (id, (tokens, tokens_max)) in expected {
            let entries = reported.get(&id).map(Vec::as_slice).unwrap_or_default();
            check(&model, &tokens, entries, 2);
            assert_eq!(outcomes[&id].0, model.greedy(&tokens, tokens_max, None));
        }
        assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}

#[test]
fn prompts_take_a_bounded_number_of_logits() {
    let model = Arc::new(Fake::new(900, 1000));
    let mut engine = engine(&model, limits(200, 4, 512));
    for salt in 0..4 {
        engine.submit(scored(prompt(300, salt), 0, 0), Duration::ZERO).unwrap();
    }
    let reported = logprobs(&drain(&mut engine));
    assert!(reported.values().all(|entries| entries.len() == 299));
    // 64 for the prompts, and one per sequence that reads its last token.
    let most = model.logits_rows.lock().unwrap().iter().max().copied();
    assert!(most.is_some_and(|rows| rows <= 64 + 4), "{most:?}");
}

#[test]
fn hidden_states_are_averaged_over_the_whole_prompt() {
    for (blocks, step_tokens_max) in [(40, 512), (40, 7), (9, 40)] {
        let model = Arc::new(Fake::new(100, 500));
        let mut engine = engine(&model, limits(blocks, 4, step_tokens_max));
        let mut expected = HashMap::new();
        // The second is beyond the original context.
        for (salt, length) in [(1, 80), (2, 130), (3, 1), (4, 33)] {
            let tokens = prompt(length, salt);
            let id = engine.submit(embedded(tokens.clone()), Duration::ZERO).unwrap();
            expected.insert(id, model.mean_hidden(&tokens));
            let neighbour = sampled(prompt(25, salt + 10), 40, Some(3));
            engine.submit(neighbour, Duration::ZERO).unwrap();
        }
        let events = drain(&mut engine);
        outcomes(&events);
        let means: HashMap<RequestId, Vec<f32>> = events
            .iter()
            .filter_map(|event| match event {
                Event::PromptHidden { request, mean } => Some((*request, mean.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(means, expected);
        assert_eq!(engine.free_blocks(), engine.total_blocks());
    }
}

#[test]
fn a_prompt_that_is_only_read_may_fill_the_context() {
    let model = Arc::new(Fake::new(100, 64));
    let mut engine = engine(&model, limits(20, 2, 16));
    for request in [scored(prompt(64, 1), 0, 0), embedded(prompt(64, 2))] {
        engine.submit(request, Duration::ZERO).unwrap();
    }
    let too_long = Rejected::ContextLength { prompt: 65, context: 64 };
    assert_eq!(engine.submit(embedded(prompt(65, 2)), Duration::ZERO), Err(too_long));
    let too_long = Rejected::ContextLength { prompt: 64, context: 64 };
    assert_eq!(engine.submit(scored(prompt(64, 2), 0, 1), Duration::ZERO), Err(too_long));
    assert_eq!(outcomes(&drain(&mut engine)).len(), 2);
}

#[test]
fn contradictions_are_rejected() {
    let model = Arc::new(Fake::new(100, 64));
    let engine = engine(&model, limits(20, 2, 16));
    let cases = [
        (greedy(vec![1], 0), Rejected::NoTokens),
        (scored(vec![1], 21, 1), Rejected::Logprobs { asked: 21, limit: 20 }),
        (Request { tokens_max: None, ..embedded(vec![1]) }, Rejected::TokensBesideHidden),
        (Request { tokens_max: Some(1), ..embedded(vec![1]) }, Rejected::TokensBesideHidden),
    ];
    for (request, reason) in cases {
        assert_eq!(engine.check(&request), Err(reason));
    }
}
