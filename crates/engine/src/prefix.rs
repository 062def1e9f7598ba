//! Which block holds which prefix.
//!
//! A tree: an entry is the tokens of one block after those of its parent. Entries are found by the
//! tokens themselves, in order, so a prefix is never taken for another one, and the entry that
//! shares most with a sequence stands beside it.

use std::collections::{BTreeMap, HashMap};

use phial_model::{AdapterId, BlockId, KvPool, Regime, TokenId};

/// Stands for the missing tokens of a block that is not full; no vocabulary has it.
const MISSING: TokenId = TokenId::MAX;

/// What keys and values depend on beside the tokens. Sequences of different origins share nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub regime: Regime,
    pub adapter: Option<AdapterId>,
    /// [`Request::prefix_salt`](crate::Request::prefix_salt).
    pub salt: Option<[u8; 32]>,
}

/// Names an entry; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId(u64);

/// What comes before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Parent {
    /// Nothing: it is a sequence's first.
    Origin(Origin),
    /// The block of this entry, which is full.
    Entry(EntryId),
}

/// A block whose contents are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: EntryId,
    pub block: BlockId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    parent: Parent,
    /// [`MISSING`] at the end of a block that is not full.
    tokens: [TokenId; KvPool::BLOCK_TOKENS],
}

impl Key {
    fn new(parent: Parent, tokens: &[TokenId]) -> Self {
        let mut key = Self { parent, tokens: [MISSING; KvPool::BLOCK_TOKENS] };
        let count = tokens.len().min(KvPool::BLOCK_TOKENS);
        key.tokens[..count].copy_from_slice(&tokens[..count]);
        key
    }
}

/// All blocks whose contents are known.
#[derive(Debug, Default)]
pub(crate) struct PrefixIndex {
    entries: BTreeMap<Key, Entry>,
    keys: HashMap<BlockId, Key>,
    next_id: u64,
}

impl PrefixIndex {
    /// The block of exactly these tokens after `parent`.
    pub fn find(&self, parent: Parent, tokens: &[TokenId]) -> Option<Entry> {
        self.entries.get(&Key::new(parent, tokens)).copied()
    }

    /// The block after `parent` that begins with the most of `tokens`, at least one, and how many
    /// that are.
    pub fn closest(&self, parent: Parent, tokens: &[TokenId]) -> Option<(BlockId, usize)> {
        let wanted = Key::new(parent, tokens);
        // In the order of tokens those that share most are neighbours.
        let before = self.entries.range(..wanted).next_back();
        let after = self.entries.range(wanted..).next();
        let common = |(key, entry): (&Key, &Entry)| {
            let common = if key.parent == parent { common(&key.tokens, tokens) } else { 0 };
            (entry.block, common)
        };
        let best = before.into_iter().chain(after).map(common).max_by_key(|&(_, count)| count);
        best.filter(|&(_, count)| count > 0)
    }

    /// Takes note of what a block holds, which nothing else holds already.
    pub fn insert(&mut self, parent: Parent, tokens: &[TokenId], block: BlockId) -> EntryId {
        let key = Key::new(parent, tokens);
        let id = EntryId(self.next_id);
        self.next_id += 1;
        self.entries.insert(key, Entry { id, block });
        self.keys.insert(block, key);
        id
    }

    /// Forgets what a block holds.
    pub fn remove(&mut self, block: BlockId) {
        if let Some(key) = self.keys.remove(&block) {
            self.entries.remove(&key);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.keys.len());
        self.entries.len()
    }
}

/// Tokens that both begin with.
pub(crate) fn common(one: &[TokenId], other: &[TokenId]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin { regime: Regime::Short, adapter: None, salt: None };
    const ROOT: Parent = Parent::Origin(ORIGIN);

    /// A full block that differs from others of other `salt` at `at`.
    fn block(salt: TokenId, at: usize) -> Vec<TokenId> {
        let mut tokens: Vec<TokenId> = (0..KvPool::BLOCK_TOKENS as TokenId).collect();
        tokens[at] += 100 * salt;
        tokens
    }

    #[test]
    fn a_prefix_is_found_by_its_tokens_its_parent_and_its_origin() {
        let mut index = PrefixIndex::default();
        let first = index.insert(ROOT, &block(0, 0), BlockId(7));
        let second = index.insert(Parent::Entry(first), &block(0, 0), BlockId(3));
        assert_eq!(index.find(ROOT, &block(0, 0)), Some(Entry { id: first, block: BlockId(7) }));
        let found = index.find(Parent::Entry(first), &block(0, 0));
        assert_eq!(found, Some(Entry { id: second, block: BlockId(3) }));
        for origin in [
            Origin { regime: Regime::Long, ..ORIGIN },
            Origin { adapter: Some(AdapterId(0)), ..ORIGIN },
            Origin { salt: Some([0; 32]), ..ORIGIN },
        ] {
            assert_eq!(index.find(Parent::Origin(origin), &block(0, 0)), None);
            assert_eq!(index.closest(Parent::Origin(origin), &block(0, 0)), None);
        }
        assert_eq!(index.find(ROOT, &block(1, 31)), None);

        index.remove(BlockId(7));
        assert_eq!(index.find(ROOT, &block(0, 0)), None);
        // The new entry is another one: nothing of the old is found after it.
        let again = index.insert(ROOT, &block(0, 0), BlockId(7));
        assert_eq!(index.find(Parent::Entry(again), &block(0, 0)), None);
        index.remove(BlockId(3));
        index.remove(BlockId(3));
        assert_eq!(index.len(), 1);
    }

    #[test]
    fn the_closest_block_shares_most_tokens() {
        let mut index = PrefixIndex::default();
        for (id, at) in [4, 9, 20, 31].into_iter().enumerate() {
            index.insert(ROOT, &block(1, at), BlockId(id as u32));
        }
        let partial = index.insert(ROOT, &block(0, 0)[..25], BlockId(8));
        index.insert(Parent::Entry(partial), &block(5, 0), BlockId(9));
        for (tokens, expected) in [
            (&block(0, 0)[..], Some((BlockId(3), 31))),
            (&block(0, 0)[..12], Some((BlockId(2), 12))),
            (&block(1, 9), Some((BlockId(1), 32))),
            (&block(2, 9), Some((BlockId(1), 9))),
            (&block(2, 26), Some((BlockId(3), 26))),
            (&block(2, 0), None),
            (&[], None),
        ] {
            let found = index.closest(ROOT, tokens);
            assert_eq!(found.map(|found| found.1), expected.map(|expected| expected.1));
        }
        // Those that share as much are as good.
        assert_eq!(index.closest(ROOT, &block(1, 9)), Some((BlockId(1), 32)));
    }
}
