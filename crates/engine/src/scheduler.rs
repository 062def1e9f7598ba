//! Who runs in the next step, with how many tokens, in which blocks.
//!
//! A sequence waits or runs. Every running sequence that only needs to read its newest token does
//! so in each step. Of the rest of the step's tokens half goes to the oldest prompt, so that every
//! prompt is read in the end, and what is left to those with the fewest unread tokens, so that a
//! short prompt never waits for a long one. Waiting sequences come in first come, first served. A
//! prompt that begins like one that is just being read waits for it and shares its blocks.
//!
//! When blocks run out the youngest running sequence gives up its own and waits again, in front;
//! its tokens are kept and read again later, so its outcome is the same. The oldest therefore
//! always advances.

use std::collections::VecDeque;
use std::time::Duration;

use phial_model::{KvPool, Regime, TokenId};

use crate::blocks::blocks_for;
use crate::drafter::Source;
use crate::event::Progress;
use crate::limits::Limits;
use crate::paged_cache::PagedCache;
use crate::prefix::common;
use crate::request::RequestId;
use crate::sequence::Sequence;
use crate::step_cost::StepCost;
use crate::store::PrefixStore;

/// Tokens that waiting for another prompt must save at least.
const WORTH_WAITING_TOKENS: usize = KvPool::BLOCK_TOKENS;

/// Rows of logits that prompts may ask for in one step, all together. A row is as long as the
/// vocabulary: these take 50 MB with 200,000 tokens.
const PROMPT_ROWS_MAX: usize = 64;

/// What a step has left for prompts.
struct Budget {
    tokens: usize,
    rows: usize,
}

impl Budget {
    /// How much `sequence` may read of `most` tokens.
    fn chunk(&self, sequence: &Sequence, most: usize) -> usize {
        let chunk = most.min(self.tokens);
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
pub(crate) struct Scheduler {
    cache: PagedCache,
    /// In order of submission.
    running: Vec<Running>,
    /// In order of submission; all were submitted after those that run.
    waiting: VecDeque<Sequence>,
    running_max: usize,
    step_tokens_max: usize,
    draft_tokens_max: usize,
    cost: StepCost,
}

/// A running sequence and its part in the step being planned.
#[derive(Debug)]
pub(crate) struct Running {
    pub sequence: Sequence,
    /// Unread tokens that the next step reads; 0: not part of it.
    pub planned: usize,
    /// Guesses that the next step checks.
    pub guessing: Option<Guessing>,
}

/// Guesses of what follows the newest token.
#[derive(Debug)]
pub(crate) struct Guessing {
    /// The newest token, then the guesses.
    pub tokens: Vec<TokenId>,
    pub source: Source,
}

impl Running {
    /// Whether the step reads all that the sequence has, so that a token can be chosen.
    pub fn completes(&self) -> bool {
        self.planned == self.sequence.unread()
    }

    /// Rows of logits that the step makes for it.
    pub fn rows(&self) -> usize {
        match &self.guessing {
            Some(guessing) => guessing.tokens.len(),
            None => usize::from(self.completes()),
        }
    }

    /// Whether the step takes it on by a token from its cache.
    fn decodes(&self) -> bool {
        self.planned == 1 && self.completes() && self.sequence.generated() > 0
    }
}

impl Scheduler {
    pub fn new(cache: PagedCache, limits: &Limits) -> Self {
        Self {
            cache,
            running: Vec::new(),
            waiting: VecDeque::new(),
            running_max: limits.running_max,
            step_tokens_max: limits.step_tokens_max,
            draft_tokens_max: limits.draft_tokens_max,
            cost: StepCost::default(),
        }
    }

    pub fn set_store(&mut self, store: Box<dyn PrefixStore>) {
        self.cache.set_store(store);
    }

    pub fn cache(&self) -> &PagedCache {
        &self.cache
    }

    pub fn running(&self) -> &[Running] {
        &self.running
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no step has worked on a sequence yet.
    pub fn is_waiting(&self, id: RequestId) -> bool {
        self.find(id).is_some_and(|sequence| sequence.started.is_none())
    }

    /// The sequence of a request that is not done.
    pub fn find(&self, id: RequestId) -> Option<&Sequence> {
        let running = self.running.iter().map(|one| &one.sequence);
        running.chain(&self.waiting).find(|sequence| sequence.id == id)
    }

    pub fn running_mut(&mut self) -> &mut [Running] {
        &mut self.running
    }

    /// What a step runs on: the sequences and the bytes of their blocks.
    pub fn step_parts(&mut self) -> (&[Running], &mut KvPool) {
        (&self.running, self.cache.kv_mut())
    }

    /// Puts a new sequence at the end of the queue.
    pub fn push(&mut self, sequence: Sequence) {
        self.waiting.push_back(sequence);
    }

    /// Takes a sequence out, wherever it is, and its blocks back.
    pub fn remove(&mut self, id: RequestId) -> Option<Sequence> {
        if let Some(index) = self.running.iter().position(|one| one.sequence.id == id) {
            let mut sequence = self.running.remove(index).sequence;
            self.cache.release(&mut sequence);
            return Some(sequence);
        }
        let index = self.waiting.iter().position(|sequence| sequence.id == id)?;
        self.waiting.remove(index)
    }

    /// Lets others share the blocks that the step has filled.
    pub fn publish(&mut self) {
        for one in &mut self.running {
            self.cache.publish(&mut one.sequence);
        }
    }

    /// Decides the next step: sets [`Running::planned`], pins regimes and provides blocks.
    /// `regime_of` is the model's rule for a number of tokens.
    pub fn plan(&mut self, now: Duration, regime_of: impl Fn(usize) -> Regime) {
        self.cost.start(now);
        self.cache.begin_step();
        for one in &mut self.running {
            one.planned = 0;
            one.guessing = None;
            // The regime follows from all tokens present, before any of them is read with it.
            let regime = regime_of(one.sequence.tokens.len());
            self.cache.pin(&mut one.sequence, regime);
        }
        let before = self.running.len();
        self.plan_decoding();
        // Someone had to make room: no one new comes in during the same step.
        if self.running.len() == before {
            self.admit(&regime_of);
        }
        let decoding: usize = self.running.iter().map(|one| one.planned).sum();
        let tokens = self.step_tokens_max - decoding;
        let mut budget = Budget { tokens, rows: PROMPT_ROWS_MAX };
        self.plan_prompts(&mut budget);
        self.plan_guesses(budget.tokens, regime_of);
        self.note_cost();
        for one in self.running.iter_mut().filter(|one| one.planned > 0) {
            one.sequence.started.get_or_insert(now);
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

    /// Sequences that have more to read share the budget.
    fn plan_prompts(&mut self, budget: &mut Budget) {
        let mut prompts: Vec<usize> =
            (0..self.running.len()).filter(|&index| self.running[index].planned == 0).collect();
        for &index in &prompts {
            self.adopt(index);
        }
        let Some(&oldest) = prompts.first() else { return };
        self.plan_prompt(oldest, budget.tokens.div_ceil(2), budget);
        prompts.sort_by_key(|&index| self.running.get(index).map(|one| one.sequence.unread()));
        for index in prompts {
            self.plan_prompt(index, budget.tokens, budget);
        }
    }

    /// Lets a sequence read up to `most` more tokens.
    fn plan_prompt(&mut self, index: usize, most: usize, budget: &mut Budget) {
        // Whoever made room is not there any more.
        if index >= self.running.len() || most == 0 {
            return;
        }
        let awaits_store = self.running[index].sequence.awaits_store;
        if self.running[index].planned == 0 && (awaits_store || self.should_wait(index)) {
            return;
        }
        let one = &self.running[index];
        let (planned, unread) = (one.planned, one.sequence.unread());
        let chunk = budget.chunk(&one.sequence, most.min(unread - planned));
        if chunk > 0 && self.make_room(index, planned + chunk) {
            self.running[index].planned += chunk;
            budget.spend(&self.running[index].sequence, chunk);
        }
    }

    /// Gives a running sequence what the cache has of it, unless it has to read it all the same.
    fn adopt(&mut self, index: usize) {
        let (before, rest) = self.running.split_at_mut(index);
        let Some((one, after)) = rest.split_first_mut() else { return };
        if one.sequence.reads_prompt() {
            return;
        }
        let others = before.iter().chain(&*after).map(|other| &other.sequence);
        self.cache.adopt(&mut one.sequence, others);
    }

    /// Whether a sequence that is read in this step makes blocks that this one needs as well.
    fn should_wait(&self, index: usize) -> bool {
        if !self.cache.shares_prefixes() {
            return false;
        }
        let sequence = &self.running[index].sequence;
        if sequence.reads_prompt() {
            return false;
        }
        let shared = sequence.cache.shared();
        let parent = Some(sequence.parent());
        let rest = &sequence.tokens[shared..sequence.tokens.len() - 1];
        self.running.iter().any(|other| {
            let end = other.sequence.cache.tokens + other.planned;
            other.planned > 0
                && end > sequence.cache.tokens
                && other.sequence.parent_of(shared / KvPool::BLOCK_TOKENS) == parent
                && shared + common(&other.sequence.tokens[shared..], rest)
                    >= sequence.cache.tokens + WORTH_WAITING_TOKENS
        })
    }

    /// Sequences that go on by a token check guesses of those behind it where that is worth its
    /// cost, within the budget and without taking a block from anybody.
    fn plan_guesses(&mut self, mut budget: usize, regime_of: impl Fn(usize) -> Regime) {
        let mut rows = self.running.iter().filter(|one| one.decodes()).count();
        for one in self.running.iter_mut().filter(|one| one.decodes()) {
            let sequence = &mut one.sequence;
            let Some(drafter) = &mut sequence.drafter else { continue };
            let Some((source, right, guess)) = drafter.guess(&sequence.tokens) else { continue };
            let length = sequence.tokens.len();
            let room = sequence.tokens_max.saturating_sub(length + 1);
            let most = guess.len().min(self.draft_tokens_max).min(room).min(budget);
            // The row behind a guess belongs to a longer sequence, which may be of another regime.
            let regime = sequence.cache.regime;
            let count = (0..=self.cost.worthwhile(rows, right, most))
                .rfind(|&count| regime_of(length + count) == regime)
                .unwrap_or(0);
            let tokens = [&sequence.tokens[length - 1..], &guess[..count]].concat();
            if count > 0 && self.cache.grow(sequence, length + count) {
                rows += count;
                budget -= count;
                one.guessing = Some(Guessing { tokens, source });
            }
        }
    }

    /// Lets the cost of the step be learnt if all it does is to generate.
    fn note_cost(&mut self) {
        let mut planned = self.running.iter().filter(|one| one.planned > 0).peekable();
        if planned.peek().is_none() {
            self.cost.idle();
        } else if planned.clone().all(Running::decodes) {
            let rows = planned.map(Running::rows).sum();
            self.cost.generates(rows);
        }
    }

    /// What the planned step does.
    pub fn progress(&self) -> Progress {
        let planned = || self.running.iter().filter(|one| one.planned > 0);
        let loading = self.running.iter().any(|one| one.sequence.awaits_store);
        if planned().next().is_none() && !loading {
            return Progress::Idle;
        }
        Progress::Worked {
            prefill_tokens: planned().filter(|one| !one.decodes()).map(|one| one.planned).sum(),
            decode_tokens: planned().filter(|one| one.decodes()).count(),
            guessed_tokens: planned()
                .filter_map(|one| Some(one.guessing.as_ref()?.tokens.len() - 1))
                .sum(),
        }
    }

    /// Waiting sequences come in while places and blocks last; strictly in order, so that a large
    /// one is not overtaken for ever.
    fn admit(&mut self, regime_of: impl Fn(usize) -> Regime) {
        while self.running.len() < self.running_max {
            let Some(next) = self.waiting.front_mut() else { return };
            let regime = regime_of(next.tokens.len());
            self.cache.pin(next, regime);
            if !self.fits() {
                return;
            }
            let Some(sequence) = self.waiting.pop_front() else { return };
            self.running.push(Running { sequence, planned: 0, guessing: None });
        }
    }

    /// Whether the next waiting sequence may come in: beside what those running have yet to take
    /// for the tokens they have, and a block for each to grow into, so that it is not sent back
    /// at once.
    fn fits(&self) -> bool {
        let Some(next) = self.waiting.front() else { return false };
        let promised: usize = self
            .running
            .iter()
            .map(|one| one.sequence.cache.missing(one.sequence.tokens.len()) + 1)
            .sum();
        let needed = blocks_for(next.tokens.len()) - self.cache.in_use(next);
        promised + needed <= self.cache.free()
    }

    /// Provides blocks for `count` more tokens of a running sequence; the youngest give theirs up
    /// if need be. False if the sequence is itself the youngest and was sent back to wait.
    fn make_room(&mut self, index: usize, count: usize) -> bool {
        loop {
            let sequence = &mut self.running[index].sequence;
            if self.cache.grow(sequence, sequence.cache.tokens + count) {
                return true;
            }
            let Some(mut youngest) = self.running.pop() else { return false };
            self.cache.release(&mut youngest.sequence);
            self.waiting.push_front(youngest.sequence);
            if index == self.running.len() {
                return false;
            }
        }
    }
}
