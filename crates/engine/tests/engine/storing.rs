//! Prefixes that outlive the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use phial_engine::{AdapterId, Before, BlockName, Engine, Event, PrefixStore, Request, TokenId};

use crate::fake::{Fake, drain, engine, greedy, limits, outcomes, prompt};

/// Blocks in memory, by a name that is all that it stands for.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    blocks: HashMap<BlockName, (Vec<TokenId>, Vec<u8>)>,
    loads: usize,
    touched: Vec<BlockName>,
}

impl PrefixStore for Shelf {
    fn name(&self, before: Before<'_>, tokens: &[TokenId]) -> BlockName {
        let mut name = match before {
            Before::Nothing { regime, salt } => {
                let mut name = *salt.unwrap_or(&[255; 32]);
                name[0] ^= regime as u8;
                name
            }
            Before::Block(name) => name,
        };
        for (at, byte) in tokens.iter().flat_map(|token| token.to_le_bytes()).enumerate() {
            name[at % 32] = name[at % 32].wrapping_mul(31).wrapping_add(byte ^ at as u8);
        }
        name
    }

    fn contains(&self, name: &BlockName) -> bool {
        self.0.lock().unwrap().blocks.contains_key(name)
    }

    fn load(&mut self, name: &BlockName, tokens: &[TokenId], bytes: &mut Vec<u8>) -> bool {
        let mut kept = self.0.lock().unwrap();
        let Some((known, block)) = kept.blocks.get(name) else { return false };
        assert_eq!(known, tokens);
        bytes.extend_from_slice(block);
        kept.loads += 1;
        true
    }

    fn save(&mut self, name: &BlockName, tokens: &[TokenId], bytes: Vec<u8>) -> bool {
        let before = self.0.lock().unwrap().blocks.insert(*name, (tokens.to_vec(), bytes));
        assert!(before.is_none(), "saved again");
        true
    }

    fn touch(&mut self, name: &BlockName) {
        self.0.lock().unwrap().touched.push(*name);
    }
}

fn with_shelf(model: &Arc<Fake>, shelf: &Shelf) -> Engine<Fake> {
    engine(model, limits(300, 4, 64)).with_prefix_store(Box::new(shelf.clone()))
}

/// The answer to a request and the tokens of its prompt that were found.
fn ask(engine: &mut Engine<Fake>, request: Request) -> (Vec<u32>, usize) {
    let id = engine.submit(request, Duration::ZERO).unwrap();
    let events = drain(engine);
    let cached = events.iter().find_map(|event| match event {
        Event::Finished { usage, .. } => Some(usage.cached_tokens),
        _ => None,
    });
    (outcomes(&events).remove(&id).unwrap().0, cached.unwrap())
}

#[test]
fn another_engine_finds_what_one_has_read() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let shelf = Shelf::default();
    let request = || greedy(prompt(200, 1), 100);
    let expected = model.greedy(&prompt(200, 1), 100, None);
    assert_eq!(ask(&mut with_shelf(&model, &shelf), request()), (expected.clone(), 0));
    // Full blocks of the prompt, not of the answer.
    assert_eq!(shelf.0.lock().unwrap().blocks.len(), 6);
    let mut second = with_shelf(&model, &shelf);
    assert_eq!(ask(&mut second, request()), (expected.clone(), 192));
    assert_eq!(shelf.0.lock().unwrap().loads, 6);
    // Now from the pool.
    assert_eq!(ask(&mut second, request()), (expected, 199));
    assert_eq!(shelf.0.lock().unwrap().loads, 6);
    // The last block of a chain is told first.
    let touched = shelf.0.lock().unwrap().touched.clone();
    assert_eq!(touched.len(), 18);
    assert_eq!(touched[..6], touched[6..12]);
}

#[test]
fn an_answer_is_kept_once_it_is_part_of_a_prompt() {
    let model = Arc::new(Fake::new(10_000, 4096));
    let shelf = Shelf::default();
    let mut first = with_shelf(&model, &shelf);
    let (answer, _) = ask(&mut first, greedy(prompt(20, 1), 100));
    assert_eq!(shelf.0.lock().unwrap().blocks.len(), 0);
    let next = [prompt(20, 1), answer, prompt(5, 2)].concat();
    ask(&mut first, greedy(next.clone(), 1));
    assert_eq!(shelf.0.lock().unwrap().blocks.len(), 3);
    assert_eq!(ask(&mut with_shelf(&model, &shelf), greedy(next, 1)).1, 96);
}

#[test]
fn nothing_wrong_is_taken_from_the_store() {
    let model = Arc::new(Fake::new(150, 4096));
    let shelf = Shelf::default();
    let salted = || Request { prefix_salt: Some([7; 32]), ..greedy(prompt(100, 1), 5) };
    let adapted = || Request { adapter: Some(AdapterId(1)), ..greedy(prompt(100, 1), 5) };
    for request in [greedy(prompt(100, 1), 5), salted(), adapted(), greedy(prompt(160, 1), 5)] {
        let expected = model.greedy(&request.prompt, 5, request.adapter);
        assert_eq!(ask(&mut with_shelf(&model, &shelf), request), (expected, 0));
    }
    assert_eq!(ask(&mut with_shelf(&model, &shelf), salted()).1, 96);
    assert_eq!(ask(&mut with_shelf(&model, &shelf), adapted()).1, 0);
    // A block that is damaged ends the chain; the rest is read.
    let mut kept = shelf.0.lock().unwrap();
    for (_, bytes) in kept.blocks.values_mut() {
        bytes.pop();
    }
    drop(kept);
    let expected = model.greedy(&prompt(100, 1), 5, None);
    let store = Box::new(Emptying(shelf.clone()));
    let mut engine = engine(&model, limits(300, 4, 64)).with_prefix_store(store);
    assert_eq!(ask(&mut engine, greedy(prompt(100, 1), 5)), (expected, 0));
    assert_eq!(engine.free_blocks(), engine.total_blocks());
}

/// A store that forgets what it has given.
struct Emptying(Shelf);

impl PrefixStore for Emptying {
    fn name(&self, before: Before<'_>, tokens: &[TokenId]) -> BlockName {
        self.0.name(before, tokens)
    }

    fn contains(&self, name: &BlockName) -> bool {
        self.0.contains(name)
    }

    fn load(&mut self, name: &BlockName, tokens: &[TokenId], bytes: &mut Vec<u8>) -> bool {
        let loaded = self.0.load(name, tokens, bytes);
        self.0.0.lock().unwrap().blocks.remove(name);
        loaded
    }

    fn save(&mut self, _: &BlockName, _: &[TokenId], _: Vec<u8>) -> bool {
        false
    }

    fn touch(&mut self, _: &BlockName) {}
}
