//! Paged storage of keys and values.

use phial_kernels::attention::{BLOCK, Geometry};

pub use phial_kernels::attention::Element as KvElement;

/// The longest context, in tokens, whose keys and values are kept in f16 by default. Beyond it a
/// step of Phi-4-mini in `q4_k_m` would read more than a fifth of what it reads of the weights.
pub const F16_CONTEXT_MAX: usize = 4096;

/// The type of keys and values that a context of so many tokens is kept in by default.
pub fn default_kv_element(head_dim: usize, context_tokens: usize) -> KvElement {
    if context_tokens > F16_CONTEXT_MAX && head_dim.is_multiple_of(32) {
        KvElement::Int8
    } else {
        KvElement::F16
    }
}

/// Index of a block of [`KvPool::BLOCK_TOKENS`] positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId(pub u32);

/// What a pool stores per position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Decoder layers.
    pub layers: usize,
    /// Key/value heads per layer.
    pub kv_heads: usize,
    /// Elements per head.
    pub head_dim: usize,
    /// Element type: f32 is exact, for goldens and debugging.
    pub element: KvElement,
}

impl KvLayout {
    /// Bytes of one block, keys and values of all layers.
    pub const fn block_bytes(&self) -> usize {
        self.layers * self.layer_block_bytes()
    }

    /// Bytes of one block in one layer.
    const fn layer_block_bytes(&self) -> usize {
        self.kv_heads * self.element.head_block_bytes(self.head_dim)
    }
}

/// Keys and values of all sequences, in blocks that the caller hands out.
pub struct KvPool {
    layout: KvLayout,
    blocks: usize,
    /// Per layer: all its blocks.
    layers: Vec<Vec<u8>>,
}

impl KvPool {
    /// Positions per block.
    pub const BLOCK_TOKENS: usize = BLOCK;

    /// A pool of `blocks` blocks. Memory is committed by the system as blocks are first written.
    pub fn new(layout: KvLayout, blocks: usize) -> Self {
        let layers =
            (0..layout.layers).map(|_| vec![0; blocks * layout.layer_block_bytes()]).collect();
        Self { layout, blocks, layers }
    }

    /// How many blocks there are; ids run from 0.
    pub fn block_count(&self) -> usize {
        self.blocks
    }

    /// What it stores.
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// The bytes of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &[u8] {
        &self.layers[layer]
    }

    /// Writes one position of one layer: `key` and `value` are `[kv_heads * head_dim]`.
    pub(crate) fn store(
        &mut self,
        (layer, geometry): (usize, &Geometry),
        blocks: &[u32],
        position: usize,
        (key, value): (&[f32], &[f32]),
    ) {
        let block = blocks[position / BLOCK] as usize;
        let bytes = self.layout.layer_block_bytes();
        let block = &mut self.layers[layer][block * bytes..][..bytes];
        phial_kernels::attention::store_position(geometry, block, position % BLOCK, key, value);
    }
}
