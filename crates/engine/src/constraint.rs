//! Constraints of sequences: what may come next is found out while the model runs.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

use phial_grammar::{Allowed, Grammar, Mask, Matcher, MatcherError};
use phial_model::{AllowedTokens, TokenId};

/// A sequence's constraint, where its text stands.
#[derive(Debug)]
pub(crate) struct Constraint {
    matcher: Matcher,
}

/// What taking a token led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Followed {
    /// These tokens come next, without an alternative; they are taken already.
    Forced(Vec<TokenId>),
    /// Nothing can follow these tokens, which are taken already.
    Complete(Vec<TokenId>),
}

impl Constraint {
    pub fn new(grammar: &Grammar) -> Self {
        Self { matcher: grammar.matcher() }
    }

    /// Takes a token that was chosen, and those that must follow it.
    pub fn follow(&mut self, token: TokenId) -> Result<Followed, MatcherError> {
        self.matcher.accept(token)?;
        let mut forced = Vec::new();
        // What is forced may come in parts.
        loop {
            if self.matcher.is_complete() {
                return Ok(Followed::Complete(forced));
            }
            let next = self.matcher.forced()?;
            if next.is_empty() {
                return Ok(Followed::Forced(forced));
            }
            for token in next {
                self.matcher.accept(token)?;
                forced.push(token);
            }
        }
    }

    /// The tokens that may come next; `None`: all. `stop_tokens` are the request's own.
    fn allowed(&mut self, stop_tokens: &[TokenId]) -> Result<Option<Mask>, MatcherError> {
        let Allowed::Only(mut mask) = self.matcher.allowed()? else { return Ok(None) };
        let may_stop = self.matcher.may_stop();
        for &token in stop_tokens {
            if may_stop {
                mask.allow(token);
            } else {
                mask.forbid(token);
            }
        }
        Ok(Some(mask))
    }
}

/// What may come next after each row of logits of a step, in their order.
pub(crate) struct Choice {
    /// `None`: the sequence has no constraint, or chooses no token from this row.
    pub constraint: Option<Constraint>,
    /// `Ok(None)`: everything.
    pub mask: Result<Option<Mask>, MatcherError>,
}

impl Choice {
    fn free() -> Self {
        Self { constraint: None, mask: Ok(None) }
    }

    fn words(&self) -> Option<&[u32]> {
        match &self.mask {
            Ok(mask) => mask.as_ref().map(Mask::words),
            // Nothing of this row will be looked at: the other rows decide.
            Err(_) => Some(&[]),
        }
    }
}

/// The constraint of a sequence and the request's stop tokens.
pub(crate) type Open = Option<(Constraint, Vec<TokenId>)>;

/// Runs `forward` and finds out meanwhile what is allowed. The model asks when it comes to the
/// logits, and waits if need be.
///
/// On a thread of its own, which lives no longer than the step: masks are of no use to the layers
/// before the logits, and must not make the model's own threads wait.
pub(crate) fn beside<R>(
    open: Vec<Open>,
    forward: impl FnOnce(Option<&dyn AllowedTokens>) -> R,
) -> (R, Vec<Choice>) {
    if open.iter().all(Option::is_none) {
        let choices = open.iter().map(|_| Choice::free()).collect();
        return (forward(None), choices);
    }
    let count = open.len();
    let (sender, receiver) = channel();
    let pending = Pending { receiver: Mutex::new(receiver), choices: OnceLock::new(), count };
    let output = thread::scope(|scope| {
        let find = move || {
            // Nobody waits any more only if the model panicked.
            let _ = sender.send(open.into_iter().map(choose).collect());
        };
        // If no thread starts, `find` and its sender are gone, and no text goes on unconstrained.
        let _ = thread::Builder::new().spawn_scoped(scope, find);
        forward(Some(&pending))
    });
    pending.get();
    let choices = pending.choices.into_inner().unwrap_or_default();
    (output, choices)
}

fn choose(open: Open) -> Choice {
    let Some((mut constraint, stop_tokens)) = open else { return Choice::free() };
    let mask = constraint.allowed(&stop_tokens);
    Choice { constraint: Some(constraint), mask }
}

/// Choices that are being found out.
struct Pending {
    receiver: Mutex<Receiver<Vec<Choice>>>,
    choices: OnceLock<Vec<Choice>>,
    count: usize,
}

impl Pending {
    fn get(&self) -> &[Choice] {
        self.choices.get_or_init(|| {
            let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = || Choice { constraint: None, mask: Err(MatcherError::lost()) };
            receiver.recv().unwrap_or_else(|_| (0..self.count).map(|_| lost()).collect())
        })
    }
}

impl AllowedTokens for Pending {
    fn of_rows(&self) -> Vec<Option<&[u32]>> {
        self.get().iter().map(Choice::words).collect()
    }
}
