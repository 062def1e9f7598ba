//! Which blocks of the pool are empty, in use, or kept for whoever needs the same prefix again.

use std::collections::BTreeMap;

use phial_model::{BlockId, KvPool};

/// All blocks of a pool with the number of sequences that use each: the only place that hands
/// blocks out and takes them back.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Blocks that hold nothing. A stack: the block used last is handed out first, so that a
    /// lightly used pool touches little memory.
    empty: Vec<BlockId>,
    /// Kept blocks that nobody uses, by the time at which the last user let go.
    idle: BTreeMap<u64, BlockId>,
    /// By id.
    states: Vec<State>,
    /// Counts releases: the time of `idle`.
    releases: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Sequences whose tables it is in.
    users: u32,
    /// Its contents are worth keeping: the prefix index knows them.
    kept: bool,
    /// Its place in `idle`, if it is there.
    idle_since: u64,
}

/// A block for new contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub block: BlockId,
    /// It was kept until now: what it held is lost.
    pub evicted: bool,
}

impl Blocks {
    /// `total` empty blocks. `total` fits a block id ([`crate::Limits`] sees to it).
    pub fn new(total: usize) -> Self {
        let last = u32::try_from(total).unwrap_or(u32::MAX);
        Self {
            empty: (0..last).rev().map(BlockId).collect(),
            idle: BTreeMap::new(),
            states: vec![State::default(); last as usize],
            releases: 0,
        }
    }

    /// Blocks that nobody uses, those kept included.
    pub fn free(&self) -> usize {
        self.empty.len() + self.idle.len()
    }

    pub fn total(&self) -> usize {
        self.states.len()
    }

    /// Whether a sequence uses the block.
    pub fn is_used(&self, block: BlockId) -> bool {
        self.states[block.0 as usize].users > 0
    }

    /// Hands out an empty block or, if there is none, the kept one that was let go first.
    pub fn take(&mut self) -> Option<Taken> {
        let taken = match self.empty.pop() {
            Some(block) => Taken { block, evicted: false },
            None => Taken { block: self.idle.pop_first()?.1, evicted: true },
        };
        let state = &mut self.states[taken.block.0 as usize];
        *state = State { users: 1, ..State::default() };
        Some(taken)
    }

    /// One more sequence uses a kept block.
    pub fn share(&mut self, block: BlockId) {
        let state = &mut self.states[block.0 as usize];
        if state.users == 0 {
            self.idle.remove(&state.idle_since);
        }
        state.users += 1;
    }

    /// Keeps the contents of a block when its last user lets go.
    pub fn keep(&mut self, block: BlockId) {
        self.states[block.0 as usize].kept = true;
    }

    /// A sequence does not use the block any more. Of a chain of kept blocks the last must be let
    /// go first: then it is also the first to be lost, and no block outlives those before it.
    pub fn release(&mut self, block: BlockId) {
        let state = &mut self.states[block.0 as usize];
        state.users -= 1;
        if state.users > 0 {
            return;
        }
        if state.kept {
            self.releases += 1;
            state.idle_since = self.releases;
            self.idle.insert(self.releases, block);
        } else {
            self.empty.push(block);
        }
    }
}

/// Blocks that `tokens` positions take.
pub(crate) fn blocks_for(tokens: usize) -> usize {
    tokens.div_ceil(KvPool::BLOCK_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(blocks: &mut Blocks) -> (u32, bool) {
        let taken = blocks.take().unwrap();
        (taken.block.0, taken.evicted)
    }

    #[test]
    fn the_block_used_last_is_handed_out_first() {
        let mut blocks = Blocks::new(3);
        assert_eq!((take(&mut blocks), take(&mut blocks)), ((0, false), (1, false)));
        blocks.release(BlockId(0));
        assert_eq!(take(&mut blocks), (0, false));
        assert_eq!(take(&mut blocks), (2, false));
        assert_eq!((blocks.take(), blocks.free(), blocks.total()), (None, 0, 3));
    }

    #[test]
    fn kept_blocks_are_lost_in_the_order_of_release_once_no_other_is_left() {
        let mut blocks = Blocks::new(4);
        for _ in 0..3 {
            let taken = blocks.take().unwrap();
            blocks.keep(taken.block);
        }
        blocks.share(BlockId(1));
        for block in [2, 1, 0] {
            blocks.release(BlockId(block));
        }
        assert_eq!((blocks.free(), blocks.is_used(BlockId(1))), (3, true));
        // Used again in between: it counts from its next release on.
        blocks.share(BlockId(2));
        blocks.release(BlockId(2));
        assert_eq!(take(&mut blocks), (3, false));
        assert_eq!(take(&mut blocks), (0, true));
        assert_eq!(take(&mut blocks), (2, true));
        assert_eq!(blocks.take(), None);
        blocks.release(BlockId(1));
        assert_eq!(take(&mut blocks), (1, true));
        // What it held is gone, so it is empty now.
        blocks.release(BlockId(1));
        assert_eq!(take(&mut blocks), (1, false));
    }
}
