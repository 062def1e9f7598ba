//! Who runs in the next step, with how many tokens, in which blocks.
//!
//! A sequence waits or runs. Every running sequence that only needs to read its newest token does
//! so in each step; the rest of the step's tokens goes to prompts, oldest first, then to waiting
//! sequences, first come, first served. When blocks run out the youngest running sequence gives up
//! its own and waits again, in front; its tokens are kept and read again later, so its outcome is
//! the same. The oldest therefore always advances.

use std::collections::VecDeque;
use std::time::Duration;

use phial_model::Regime;

use crate::blocks::{BlockAllocator, blocks_for};
use crate::request::RequestId;
use crate::sequence::Sequence;

/// Rows of logits that prompts may ask for in one step, all together. A row is as long as the
/// vocabulary: these take 50 MB with 200,000 tokens.
const PROMPT_ROWS_MAX: usize = 64;

/// What a step has left for prompts.
struct Budget {
    tokens: usize,
    rows: usize,
}

impl Budget {
    /// How much `sequence` may read of what it has yet to read.
    fn chunk(&self, sequence: &Sequence) -> usize {
        let chunk = sequence.unread().min(self.tokens);
        if sequence.wants_logits() { chunk.min(self.rows) } else { chunk }
    }

    fn spend(&mut self, sequence: &Sequence, chunk: usize) {
        self.tokens -= chunk;
        if sequence.wants_logits() {
            self.rows -= chunk;
        }
    }
}

/// All sequences and all blocks.
#[derive(Debug)]
pub(crate) struct Scheduler {
    allocator: BlockAllocator,
    /// In order of submission.
    running: Vec<Running>,
    /// In order of submission; all were submitted after those that run.
    waiting: VecDeque<Sequence>,
    running_max: usize,
    step_tokens_max: usize,
}

/// A running sequence and its part in the step being planned.
#[derive(Debug)]
pub(crate) struct Running {
    pub sequence: Sequence,
    /// Unread tokens that the next step reads; 0: not part of it.
    pub planned: usize,
}

impl Running {
    /// Whether the step reads all that the sequence has, so that a token can be chosen.
    pub fn completes(&self) -> bool {
        self.planned == self.sequence.unread()
    }
}

impl Scheduler {
    pub fn new(blocks: usize, running_max: usize, step_tokens_max: usize) -> Self {
        Self {
            allocator: BlockAllocator::new(blocks),
            running: Vec::new(),
            waiting: VecDeque::new(),
            running_max,
            step_tokens_max,
        }
    }

    pub fn allocator(&self) -> &BlockAllocator {
        &self.allocator
    }

    pub fn running(&self) -> &[Running] {
        &self.running
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn running_mut(&mut self) -> &mut [Running] {
        &mut self.running
    }

    /// Puts a new sequence at the end of the queue.
    pub fn push(&mut self, sequence: Sequence) {
        self.waiting.push_back(sequence);
    }

    /// Takes a sequence out, wherever it is, and its blocks back.
    pub fn remove(&mut self, id: RequestId) -> Option<Sequence> {
        if let Some(index) = self.running.iter().position(|one| one.sequence.id == id) {
            let mut sequence = self.running.remove(index).sequence;
            sequence.cache.release(&mut self.allocator);
            return Some(sequence);
        }
        let index = self.waiting.iter().position(|sequence| sequence.id == id)?;
        self.waiting.remove(index)
    }

    /// Decides the next step: sets [`Running::planned`], pins regimes and provides blocks.
    /// `regime_of` is the model's rule for a number of tokens.
    pub fn plan(&mut self, now: Duration, regime_of: impl Fn(usize) -> Regime) {
        for one in &mut self.running {
            one.planned = 0;
            // The regime follows from all tokens present, before any of them is read with it.
            one.sequence.cache.pin(regime_of(one.sequence.tokens.len()));
        }
        let before = self.running.len();
        self.plan_decoding();
        let decoding: usize = self.running.iter().map(|one| one.planned).sum();
        let tokens = self.step_tokens_max - decoding;
        let mut budget = Budget { tokens, rows: PROMPT_ROWS_MAX };
        self.plan_prompts(&mut budget);
        // Someone had to make room: no one new comes in during the same step.
        if self.running.len() == before {
            self.admit(&mut budget, now, regime_of);
        }
    }

    /// Each sequence with one unread token reads it.
    fn plan_decoding(&mut self) {
        let mut index = 0;
        while index < self.running.len() {
            if self.running[index].sequence.unread() == 1 && self.make_room(index, 1) {
                self.running[index].planned = 1;
            }
            index += 1;
        }
    }

    /// Running sequences with more unread tokens share the budget, oldest first.
    fn plan_prompts(&mut self, budget: &mut Budget) {
        let mut index = 0;
        while index < self.running.len() && budget.tokens > 0 {
            let sequence = &self.running[index].sequence;
            let chunk = budget.chunk(sequence);
            if sequence.unread() > 1 && chunk > 0 && self.make_room(index, chunk) {
                self.running[index].planned = chunk;
                budget.spend(&self.running[index].sequence, chunk);
            }
            index += 1;
        }
    }

    /// Waiting sequences come in while tokens, places and blocks last; strictly in order, so that
    /// a large one is not overtaken for ever.
    fn admit(&mut self, budget: &mut Budget, now: Duration, regime_of: impl Fn(usize) -> Regime) {
        while budget.tokens > 0 && self.running.len() < self.running_max {
            let Some(next) = self.waiting.front() else { return };
            if !self.fits(next.tokens.len()) || budget.chunk(next) == 0 {
                return;
            }
            let Some(mut sequence) = self.waiting.pop_front() else { return };
            sequence.cache.pin(regime_of(sequence.tokens.len()));
            sequence.started.get_or_insert(now);
            let planned = budget.chunk(&sequence);
            self.running.push(Running { sequence, planned: 0 });
            let index = self.running.len() - 1;
            if self.make_room(index, planned) {
                self.running[index].planned = planned;
                budget.spend(&self.running[index].sequence, planned);
            }
        }
    }

    /// Whether a sequence of `tokens` may come in: beside what those running have yet to take for
    /// the tokens they have, and a block for each to grow into, so that it is not sent back
    /// at once.
    fn fits(&self, tokens: usize) -> bool {
        let promised: usize = self
            .running
            .iter()
            .map(|one| one.sequence.cache.table.missing(one.sequence.tokens.len()) + 1)
            .sum();
        promised + blocks_for(tokens) <= self.allocator.free()
    }

    /// Provides blocks for `count` more tokens of a running sequence; the youngest give theirs up
    /// if need be. False if the sequence is itself the youngest and was sent back to wait.
    fn make_room(&mut self, index: usize, count: usize) -> bool {
        loop {
            let cache = &mut self.running[index].sequence.cache;
            if cache.table.grow(cache.tokens + count, &mut self.allocator) {
                return true;
            }
            let Some(mut youngest) = self.running.pop() else { return false };
            youngest.sequence.cache.release(&mut self.allocator);
            self.waiting.push_front(youngest.sequence);
            if index == self.running.len() {
                return false;
            }
        }
    }
}
