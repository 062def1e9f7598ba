//! Writing text under a constraint without a model: tokens are drawn from what is allowed.

// Each test uses a part of it.
#![allow(dead_code)]

use std::sync::{Arc, OnceLock};

use phial_grammar::{Allowed, Grammar, GrammarCompiler, Mask, Matcher};
use phial_text::{SpecialTokens, TokenId, Tokenizer};

/// The tokenizer of Phi-4-mini and a compiler for it, made once.
pub fn compiler() -> &'static (Arc<Tokenizer>, GrammarCompiler) {
    static COMPILER: OnceLock<(Arc<Tokenizer>, GrammarCompiler)> = OnceLock::new();
    COMPILER.get_or_init(|| {
        let tokenizer = Arc::new(Tokenizer::phi4());
        let stop = tokenizer.end_of_turn_ids();
        let compiler = GrammarCompiler::new(Arc::clone(&tokenizer), &stop).expect("a compiler");
        (tokenizer, compiler)
    })
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % bound.max(1) as u64) as usize
    }
}

/// What is drawn before the text is brought to its end.
#[derive(Clone, Copy, Debug)]
pub enum Taste {
    /// Anything.
    Any,
    /// The first of these that is allowed, or anything.
    First(&'static [&'static str]),
}

/// How a text went.
pub struct Written {
    pub text: String,
    /// It ended because it may, not because time ran out.
    pub ended: bool,
}

/// Texts that bring most JSON to an end, the most urgent first.
const CLOSING: &[&str] = &[
    "\"", "}", "]", "\"}", "\"]", ":", ": ", ",", ", ", "0", "1", "a", "null", ".", "@", "b", "c",
];

/// What patterns of strings may want before their end; one is tried now and then.
const WANTED: &[&str] = &["abc", "b", "@", ".", "5"];

/// Draws `wild` tokens by taste, then up to `tame` that lead to an end. An error is a broken
/// promise of the matcher.
pub fn walk(
    grammar: &Grammar,
    taste: Taste,
    seed: u64,
    wild: usize,
    tame: usize,
) -> Result<Written, String> {
    let (tokenizer, _) = compiler();
    let mut random = Random(seed);
    let mut matcher = grammar.matcher();
    let mut tokens = Vec::new();
    let ended = loop {
        if matcher.is_complete() {
            break true;
        }
        if tokens.len() >= wild + tame {
            break false;
        }
        let so_far = || tokenizer.decode(&tokens, false);
        let forced = matcher.forced().map_err(|error| format!("{error} after {:?}", so_far()))?;
        let is_wild = tokens.len() < wild;
        let next = if let Some(&first) = forced.first() {
            match matcher.allowed() {
                Ok(Allowed::Only(mask)) if mask.allows(first) && mask.count() == 1 => {}
                other => return Err(format!("{first} is forced, and allowed are {other:?}")),
            }
            forced
        } else if matcher.may_stop() && (!is_wild || random.below(8) == 0) {
            break true;
        } else {
            let taste = match is_wild {
                true => taste,
                false if random.below(3) == 0 => {
                    Taste::First(&WANTED[random.below(WANTED.len())..])
                }
                false => Taste::First(CLOSING),
            };
            let token = choose(&mut matcher, taste, &mut random);
            vec![token.map_err(|error| format!("{error} after {:?}", so_far()))?]
        };
        for token in next {
            let taken = matcher.accept(token);
            taken
                .map_err(|error| format!("{error} after {:?}", tokenizer.decode(&tokens, false)))?;
            tokens.push(token);
        }
    };
    Ok(Written { text: tokenizer.decode(&tokens, false), ended })
}

fn choose(matcher: &mut Matcher, taste: Taste, random: &mut Random) -> Result<TokenId, String> {
    let (tokenizer, _) = compiler();
    let mut mask = match matcher.allowed() {
        Ok(Allowed::Only(mask)) => mask,
        Ok(Allowed::Any) => return Err("everything is allowed".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    for stop in tokenizer.end_of_turn_ids() {
        if mask.allows(stop) != matcher.may_stop() {
            return Err(format!("the stop token {stop} is allowed where no text may end"));
        }
        mask.forbid(stop);
    }
    if let Taste::First(texts) = taste {
        let single = |text: &&str| match tokenizer.encode(text, SpecialTokens::AsText)[..] {
            [token] if mask.allows(token) => Some(token),
            _ => None,
        };
        if let Some(token) = texts.iter().find_map(single) {
            return Ok(token);
        }
    }
    pick(&mask, random).ok_or_else(|| "nothing is allowed".to_owned())
}

fn pick(mask: &Mask, random: &mut Random) -> Option<TokenId> {
    mask.tokens().nth(random.below(mask.count()))
}
