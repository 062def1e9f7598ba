//! Requests under a constraint.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use phial_engine::{
    Engine, Event, FinishReason, Rejected, Request, RequestId, Sampling, SamplingOptions, TokenId,
};
use phial_grammar::{Allowed, Grammar, GrammarCompiler};
use phial_text::Tokenizer;
use serde_json::{Value, json};

use crate::fake::{Fake, drain, limits, outcomes, prompt};

struct Setup {
    tokenizer: Arc<Tokenizer>,
    compiler: GrammarCompiler,
    stop_tokens: Vec<TokenId>,
}

fn setup() -> &'static Setup {
    static SETUP: OnceLock<Setup> = OnceLock::new();
    SETUP.get_or_init(|| {
        let tokenizer = Arc::new(Tokenizer::phi4());
        let stop_tokens = tokenizer.end_of_turn_ids();
        let compiler = GrammarCompiler::new(Arc::clone(&tokenizer), &stop_tokens).unwrap();
        Setup { tokenizer, compiler, stop_tokens }
    })
}

fn fake() -> Arc<Fake> {
    Arc::new(Fake { vocabulary: setup().tokenizer.vocabulary_size(), ..Fake::new(40, 400) })
}

fn engine(model: &Arc<Fake>) -> Engine<Fake> {
    let tokenizer = Some(Arc::clone(&setup().tokenizer));
    Engine::new(Arc::clone(model), tokenizer, limits(64, 4, 16), 5).unwrap()
}

fn person() -> Grammar {
    let schema = json!({
        "type": "object",
        "properties": {
            "first_name": {"type": "string", "maxLength": 8},
            "favourite_number": {"type": "integer", "minimum": 0, "maximum": 99},
            "is_member": {"type": "boolean"},
        },
        "required": ["first_name", "favourite_number", "is_member"],
        "additionalProperties": false,
    });
    setup().compiler.json_schema(&schema).unwrap()
}

fn ask(salt: usize, constraint: Option<Grammar>) -> Request {
    let stop_tokens = setup().stop_tokens.clone();
    let tokens_max = Some(60);
    Request { tokens_max, stop_tokens, constraint, ..Request::new(prompt(7, salt)) }
}

/// What greedy decoding under the constraint must give: the best of what is allowed after a fresh
/// prefill, token by token.
fn expected(model: &Fake, prompt: &[TokenId], grammar: &Grammar) -> Vec<TokenId> {
    let mut tokens = prompt.to_vec();
    let mut matcher = grammar.matcher();
    while !matcher.is_complete() {
        let Allowed::Only(mask) = matcher.allowed().unwrap() else { panic!() };
        let row = model.fresh(&tokens, None);
        let better = |one: &TokenId, two: &TokenId| {
            row[*one as usize].total_cmp(&row[*two as usize]).then(two.cmp(one))
        };
        let best = mask.tokens().max_by(better).unwrap();
        matcher.accept(best).unwrap();
        tokens.push(best);
    }
    tokens.split_off(prompt.len())
}

fn text_of(events: &[Event], id: RequestId) -> String {
    let own = events.iter().filter(|event| event.request() == id);
    own.map(|event| match event {
        Event::Token { text, .. } | Event::Finished { text, .. } => text.as_str(),
        Event::PromptLogprobs { .. } | Event::PromptHidden { .. } => panic!("not asked for"),
    })
    .collect()
}

#[test]
fn only_allowed_tokens_come_and_forced_ones_without_a_step() {
    let model = fake();
    let mut engine = engine(&model);
    let grammar = person();
    let id = engine.submit(ask(1, Some(grammar.clone())), Duration::ZERO).unwrap();
    let events = drain(&mut engine);

    let (tokens, reason) = &outcomes(&events)[&id];
    // Also proves that forced tokens are read into the cache: the model looks at all of it.
    assert_eq!(*tokens, expected(&model, &prompt(7, 1), &grammar));
    assert_eq!(*reason, Some(FinishReason::StopToken));
    let value: Value = serde_json::from_str(&text_of(&events, id)).unwrap();
    assert!(value["first_name"].is_string() && value["favourite_number"].is_u64());
    let steps = model.steps.lock().unwrap().len();
    assert!(steps + 8 < tokens.len(), "{steps} steps for {} tokens", tokens.len());
    assert_eq!((engine.running(), engine.free_blocks()), (0, engine.total_blocks()));
}

#[test]
fn neighbours_change_nothing() {
    let model = fake();
    let alone: Vec<Vec<TokenId>> = (0..3)
        .map(|salt| {
            let mut engine = engine(&model);
            let grammar = (salt < 2).then(person);
            let id = engine.submit(ask(salt, grammar), Duration::ZERO).unwrap();
            outcomes(&drain(&mut engine))[&id].0.clone()
        })
        .collect();
    let mut engine = engine(&model);
    let grammar = person();
    let ids: Vec<RequestId> = (0..3)
        .map(|salt| {
            let grammar = (salt < 2).then(|| grammar.clone());
            engine.submit(ask(salt, grammar), Duration::ZERO).unwrap()
        })
        .collect();
    let together = outcomes(&drain(&mut engine));
    for (id, alone) in ids.iter().zip(&alone) {
        assert_eq!(together[id].0, *alone);
    }
}

#[test]
fn sampling_stays_within_the_choices() {
    let choices = ["red".to_owned(), "dark red".to_owned(), "bleu".to_owned()];
    let grammar = setup().compiler.choice(&choices).unwrap();
    let model = fake();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let mut engine = engine(&model);
        let options = SamplingOptions { seed: Some(seed), temperature: 2.0, ..Default::default() };
        let sampling = Sampling::new(options).unwrap();
        let request = Request { sampling, ..ask(2, Some(grammar.clone())) };
        let id = engine.submit(request, Duration::ZERO).unwrap();
        let text = text_of(&drain(&mut engine), id);
        assert!(choices.contains(&text), "{text:?}");
        seen.insert(text);
    }
    assert!(seen.len() > 1);
}

#[test]
fn log_probabilities_are_of_what_was_allowed() {
    let model = fake();
    let mut engine = engine(&model);
    let request = Request { logprobs: Some(3), ..ask(3, Some(person())) };
    engine.submit(request, Duration::ZERO).unwrap();
    let mut certain = 0;
    for event in drain(&mut engine) {
        let Event::Token { token, logprobs: Some(logprobs), .. } = event else { continue };
        assert_eq!(logprobs.chosen.token, token);
        assert_eq!(logprobs.top[0].token, token, "greedy");
        certain += usize::from(logprobs.chosen.logprob == 0.0);
    }
    assert!(certain > 8);
}

#[test]
fn length_and_stop_strings_end_in_the_middle() {
    let model = fake();
    for (request, reason) in [
        (Request { tokens_max: Some(3), ..ask(4, Some(person())) }, FinishReason::Length),
        (
            Request { stop_strings: vec!["name".to_owned()], ..ask(4, Some(person())) },
            FinishReason::StopString("name".to_owned()),
        ),
    ] {
        let mut engine = engine(&model);
        let id = engine.submit(request, Duration::ZERO).unwrap();
        assert_eq!(outcomes(&drain(&mut engine))[&id].1, Some(reason));
    }
}

#[test]
fn a_constraint_of_a_larger_vocabulary_is_rejected() {
    let model = Arc::new(Fake::new(40, 400));
    let mut engine = Engine::new(model, None, limits(64, 4, 16), 5).unwrap();
    let rejected = engine.submit(ask(1, Some(person())), Duration::ZERO);
    assert!(matches!(rejected, Err(Rejected::TokenOutOfRange { .. })));
}
