//! Blocks of the pool on their way to a store and back.

use std::collections::HashMap;

use phial_model::{BlockId, KvPool, TokenId};

use crate::sequence::Sequence;
use crate::store::{Before, BlockName, PrefixStore};

/// Bytes that are loaded before one step: the others wait for them.
const STEP_LOAD_BYTES: usize = 32 << 20;

/// A store, and the names of the blocks in the pool that it may have.
pub(crate) struct Durable {
    store: Box<dyn PrefixStore>,
    names: HashMap<BlockId, Named>,
    /// Bytes that may still be loaded before the next step.
    bytes_left: usize,
    bytes: Vec<u8>,
}

struct Named {
    name: BlockName,
    saved: bool,
}

/// What came of looking for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its bytes are in the block now.
    Loaded,
    /// It is there, but enough was loaded before this step.
    Later,
    No,
}

impl Durable {
    pub fn new(store: Box<dyn PrefixStore>) -> Self {
        Self { store, names: HashMap::new(), bytes_left: 0, bytes: Vec::new() }
    }

    /// A step is planned.
    pub fn begin_step(&mut self) {
        self.bytes_left = STEP_LOAD_BYTES;
    }

    /// The name of the first block of a sequence that is not shared yet. `None` if it is not one
    /// to keep.
    pub fn name(&self, sequence: &Sequence, tokens: &[TokenId]) -> Option<BlockName> {
        if sequence.adapter.is_some() {
            return None;
        }
        let before = match sequence.cache.entries.len().checked_sub(1) {
            None => Before::Nothing {
                regime: sequence.cache.regime,
                salt: sequence.prefix_salt.as_ref(),
            },
            Some(last) => Before::Block(self.names.get(&sequence.cache.blocks[last])?.name),
        };
        Some(self.store.name(before, tokens))
    }

    /// Whether the store seems to have the block.
    pub fn contains(&self, name: &BlockName) -> bool {
        self.store.contains(name)
    }

    /// Fills `block` from the store.
    pub fn load(
        &mut self,
        name: BlockName,
        tokens: &[TokenId],
        block: BlockId,
        kv: &mut KvPool,
    ) -> Found {
        let bytes = kv.layout().block_bytes();
        if self.bytes_left == 0 {
            return Found::Later;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.bytes.clear();
        if !self.store.load(&name, tokens, &mut self.bytes) || self.bytes.len() != bytes {
            return Found::No;
        }
        kv.write_block(block, &self.bytes);
        self.names.insert(block, Named { name, saved: true });
        Found::Loaded
    }

    /// Takes note of what a block holds.
    pub fn set_name(&mut self, block: BlockId, name: BlockName) {
        let saved = self.store.contains(&name);
        self.names.insert(block, Named { name, saved });
    }

    /// Sees to it that the store has a block.
    pub fn save(&mut self, block: BlockId, tokens: &[TokenId], kv: &KvPool) {
        let Some(named) = self.names.get_mut(&block).filter(|named| !named.saved) else { return };
        named.saved = self.store.contains(&named.name) || {
            let mut bytes = Vec::with_capacity(kv.layout().block_bytes());
            kv.read_block(block, &mut bytes);
            self.store.save(&named.name, tokens, bytes)
        };
    }

    /// A sequence that used the block lets go of it.
    pub fn touch(&mut self, block: BlockId) {
        if let Some(named) = self.names.get(&block).filter(|named| named.saved) {
            self.store.touch(&named.name);
        }
    }

    /// The block holds something else from now on.
    pub fn forget(&mut self, block: BlockId) {
        self.names.remove(&block);
    }
}
