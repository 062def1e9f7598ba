//! Paged storage of keys and values.

/// Index of a block of [`KvPool::BLOCK_TOKENS`] positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// Element type of cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvElement {
    /// Exact; for goldens and debugging.
    F32,
    /// Half the memory; the default.
    F16,
}

/// What a pool stores per position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Decoder layers.
    pub layers: usize,
    /// Key/value heads per layer.
    pub kv_heads: usize,
    /// Elements per head.
    pub head_dim: usize,
    /// Element type.
    pub element: KvElement,
}

impl KvLayout {
    /// Bytes of one block, keys and values of all layers.
    pub const fn block_bytes(&self) -> usize {
        let element = match self.element {
            KvElement::F32 => 4,
            KvElement::F16 => 2,
        };
        2 * self.layers * self.kv_heads * self.head_dim * element * KvPool::BLOCK_TOKENS
    }
}

/// Keys and values of all sequences, in blocks that the caller hands out.
pub struct KvPool {
    layout: KvLayout,
    blocks: usize,
}

impl KvPool {
    /// Positions per block.
    pub const BLOCK_TOKENS: usize = 32;

    /// A pool of `blocks` blocks. Memory is committed by the system as blocks are first written.
    pub fn new(layout: KvLayout, blocks: usize) -> Self {
        Self { layout, blocks }
    }

    /// How many blocks there are; ids run from 0.
    pub fn block_count(&self) -> usize {
        self.blocks
    }

    /// What it stores.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }
}
