//! Which blocks of the cache belong to whom.

use phial_model::{BlockId, KvPool};

/// The free blocks of a pool: the only place that hands blocks out and takes them back.
#[derive(Debug)]
pub(crate) struct BlockAllocator {
    /// A stack: the block used last is handed out first, so that a lightly used pool touches
    /// little memory.
    free: Vec<BlockId>,
    total: usize,
}

impl BlockAllocator {
    /// All of `total` blocks free. `total` fits a block id ([`crate::Limits`] sees to it).
    pub fn new(total: usize) -> Self {
        let last = u32::try_from(total).unwrap_or(u32::MAX);
        Self { free: (0..last).rev().map(BlockId).collect(), total: last as usize }
    }

    pub fn free(&self) -> usize {
        self.free.len()
    }

    pub fn total(&self) -> usize {
        self.total
    }
}

/// The blocks of one sequence in order of position. Must be released into the allocator that
/// filled it.
#[derive(Debug, Default)]
pub(crate) struct BlockTable {
    blocks: Vec<BlockId>,
}

impl BlockTable {
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// Blocks still missing for `tokens` positions.
    pub fn missing(&self, tokens: usize) -> usize {
        blocks_for(tokens).saturating_sub(self.blocks.len())
    }

    /// Takes the blocks missing for `tokens` positions; all or, if there are too few, none.
    #[must_use]
    pub fn grow(&mut self, tokens: usize, allocator: &mut BlockAllocator) -> bool {
        let missing = self.missing(tokens);
        if missing > allocator.free.len() {
            return false;
        }
        let kept = allocator.free.len() - missing;
        self.blocks.extend(allocator.free.drain(kept..).rev());
        true
    }

    /// Gives all blocks back.
    pub fn release(&mut self, allocator: &mut BlockAllocator) {
        allocator.free.extend(self.blocks.drain(..).rev());
    }
}

/// Blocks that `tokens` positions take.
pub(crate) fn blocks_for(tokens: usize) -> usize {
    tokens.div_ceil(KvPool::BLOCK_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_what_is_missing_or_nothing() {
        let mut allocator = BlockAllocator::new(3);
        let mut table = BlockTable::default();
        assert!(table.grow(33, &mut allocator));
        assert_eq!(table.blocks(), [BlockId(0), BlockId(1)]);
        assert!(table.grow(64, &mut allocator));
        assert_eq!((table.missing(64), table.missing(65), allocator.free()), (0, 1, 1));

        let mut other = BlockTable::default();
        assert!(!other.grow(33, &mut allocator));
        assert_eq!((other.blocks().len(), allocator.free()), (0, 1));

        table.release(&mut allocator);
        assert_eq!((table.blocks().len(), allocator.free()), (0, allocator.total()));
        assert!(other.grow(1, &mut allocator));
        assert_eq!(other.blocks(), [BlockId(0)]);
    }
}
