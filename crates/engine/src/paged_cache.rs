//! The pool of keys and values as sequences see it: tables that grow, prefixes that are shared.
//!
//! A block that is full is never written again. Its sequence *publishes* it: the index learns what
//! it holds, and every other sequence that begins the same way *adopts* it instead of reading the
//! tokens. A block that is partly the same is copied, and the copy goes on. What nobody uses stays
//! until its room is needed.

use phial_model::{BlockId, KvLayout, KvPool, Regime, TokenId};

use crate::blocks::Blocks;
use crate::prefix::{Parent, PrefixIndex, common};
use crate::sequence::Sequence;

const BLOCK: usize = KvPool::BLOCK_TOKENS;

/// All blocks, what they hold, and their bytes.
pub(crate) struct PagedCache {
    kv: KvPool,
    blocks: Blocks,
    index: PrefixIndex,
    share_prefixes: bool,
}

impl PagedCache {
    /// Empty, with `blocks` blocks. Without `share_prefixes` no sequence sees another's.
    pub fn new(layout: KvLayout, blocks: usize, share_prefixes: bool) -> Self {
        Self {
            kv: KvPool::new(layout, blocks),
            blocks: Blocks::new(blocks),
            index: PrefixIndex::default(),
            share_prefixes,
        }
    }

    /// The bytes.
    pub fn kv_mut(&mut self) -> &mut KvPool {
        &mut self.kv
    }

    /// Whether sequences see each other's blocks.
    pub fn shares_prefixes(&self) -> bool {
        self.share_prefixes
    }

    /// Blocks that no sequence uses.
    pub fn free(&self) -> usize {
        self.blocks.free()
    }

    pub fn total(&self) -> usize {
        self.blocks.total()
    }

    /// Pins the regime for the tokens read next. Keys made under another are void for this
    /// sequence, which lets go of them.
    pub fn pin(&mut self, sequence: &mut Sequence, regime: Regime) {
        if regime != sequence.cache.regime {
            self.release(sequence);
            sequence.cache.regime = regime;
        }
    }

    /// Takes the blocks missing for `tokens` positions; all or, if there are too few, none.
    #[must_use]
    pub fn grow(&mut self, sequence: &mut Sequence, tokens: usize) -> bool {
        let missing = sequence.cache.missing(tokens);
        if missing > self.blocks.free() {
            return false;
        }
        sequence.cache.blocks.extend((0..missing).map_while(|_| self.take()));
        true
    }

    /// Lets go of all that the pool holds of a sequence. Others may find it again.
    pub fn release(&mut self, sequence: &mut Sequence) {
        self.publish(sequence);
        self.publish_tail(sequence);
        sequence.cache.tokens = 0;
        sequence.cache.entries.clear();
        for block in sequence.cache.blocks.drain(..).rev() {
            self.blocks.release(block);
        }
    }

    /// Makes the blocks of a sequence that have become full known. Where another has published the
    /// same meanwhile, that block takes the place of its own.
    pub fn publish(&mut self, sequence: &mut Sequence) {
        if !self.share_prefixes {
            return;
        }
        while sequence.cache.shared() + BLOCK <= sequence.cache.tokens {
            let start = sequence.cache.shared();
            let tokens = &sequence.tokens[start..start + BLOCK];
            let parent = sequence.parent();
            let own = &mut sequence.cache.blocks[start / BLOCK];
            let id = match self.index.find(parent, tokens) {
                Some(entry) => {
                    self.blocks.share(entry.block);
                    self.blocks.release(std::mem::replace(own, entry.block));
                    entry.id
                }
                None => {
                    self.blocks.keep(*own);
                    self.index.insert(parent, tokens, *own)
                }
            };
            sequence.cache.entries.push(id);
        }
    }

    /// Makes the last block known, which is not full, of a sequence that will not write it again.
    fn publish_tail(&mut self, sequence: &Sequence) {
        let start = sequence.cache.shared();
        let tail = &sequence.tokens[start..sequence.cache.tokens.max(start)];
        if !self.share_prefixes || tail.is_empty() {
            return;
        }
        let parent = sequence.parent();
        if self.index.closest(parent, tail).is_none_or(|(_, count)| count < tail.len()) {
            let block = sequence.cache.blocks[start / BLOCK];
            self.blocks.keep(block);
            self.index.insert(parent, tail, block);
        }
    }

    /// Gives a sequence what the pool holds of its tokens already, but for the last one: to choose
    /// the next its logits are needed. `others` are sequences with blocks that are not full yet.
    pub fn adopt<'s>(
        &mut self,
        sequence: &mut Sequence,
        others: impl Iterator<Item = &'s Sequence>,
    ) {
        if !self.share_prefixes {
            return;
        }
        let before = sequence.cache.tokens.max(sequence.reached);
        let limit = sequence.tokens.len() - 1;
        self.adopt_full(sequence, limit);
        self.adopt_part(sequence, limit, others);
        let prompt = |tokens: usize| tokens.min(sequence.prompt_tokens);
        let found = prompt(sequence.cache.tokens).saturating_sub(prompt(before));
        sequence.cached_tokens += found;
        sequence.reach(sequence.cache.tokens);
    }

    fn adopt_full(&mut self, sequence: &mut Sequence, limit: usize) {
        while sequence.cache.shared() + BLOCK <= limit {
            let start = sequence.cache.shared();
            let tokens = &sequence.tokens[start..start + BLOCK];
            let Some(entry) = self.index.find(sequence.parent(), tokens) else { return };
            self.blocks.share(entry.block);
            let cache = &mut sequence.cache;
            match cache.blocks.get_mut(start / BLOCK) {
                Some(own) => self.blocks.release(std::mem::replace(own, entry.block)),
                None => cache.blocks.push(entry.block),
            }
            cache.entries.push(entry.id);
            cache.tokens = cache.tokens.max(cache.shared());
        }
    }

    /// Copies the block that begins with the most of what comes next, if that is more than the
    /// sequence has.
    fn adopt_part<'s>(
        &mut self,
        sequence: &mut Sequence,
        limit: usize,
        others: impl Iterator<Item = &'s Sequence>,
    ) {
        let start = sequence.cache.shared();
        let rest = &sequence.tokens[start..limit.min(start + BLOCK).max(start)];
        let parent = sequence.parent();
        let theirs = others.filter_map(|other| unpublished(other, start, parent, rest));
        let published = self.index.closest(parent, rest);
        let Some((from, count)) = theirs.chain(published).max_by_key(|&(_, count)| count) else {
            return;
        };
        if start + count <= sequence.cache.tokens {
            return;
        }
        // Held meanwhile, so that it is not itself the block that is taken.
        self.blocks.share(from);
        let to = sequence.cache.blocks.get(start / BLOCK).copied().or_else(|| {
            let block = self.take()?;
            sequence.cache.blocks.push(block);
            Some(block)
        });
        if let Some(to) = to {
            self.kv.copy_block(from, to);
            sequence.cache.tokens = start + count;
        }
        self.blocks.release(from);
    }

    /// Blocks that a sequence which has none would adopt from sequences that use them.
    pub fn in_use(&self, sequence: &Sequence) -> usize {
        let mut parent = sequence.parent();
        let full = sequence.tokens[..sequence.tokens.len() - 1].chunks_exact(BLOCK);
        let used = full.map_while(|tokens| {
            let entry = self.index.find(parent, tokens)?;
            parent = Parent::Entry(entry.id);
            self.blocks.is_used(entry.block).then_some(())
        });
        if self.share_prefixes { used.count() } else { 0 }
    }

    fn take(&mut self) -> Option<BlockId> {
        let taken = self.blocks.take()?;
        if taken.evicted {
            self.index.remove(taken.block);
        }
        Some(taken.block)
    }
}

/// The block of `other` after `parent` at `start` that is not full yet, and how many of `rest` it
/// begins with.
fn unpublished(
    other: &Sequence,
    start: usize,
    parent: Parent,
    rest: &[TokenId],
) -> Option<(BlockId, usize)> {
    if other.cache.shared() != start || other.parent() != parent || other.cache.tokens <= start {
        return None;
    }
    let count = common(&other.tokens[start..other.cache.tokens], rest);
    (count > 0).then(|| (other.cache.blocks[start / BLOCK], count))
}
