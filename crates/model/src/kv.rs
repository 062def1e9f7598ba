//! Paged storage of keys and values.

use phial_kernels::Buffer;
use phial_kernels::attention::{BLOCK, Geometry, store_position};

use crate::linear::Compute;

pub use phial_kernels::attention::Element as KvElement;

/// The largest cache, in bytes, that is kept in f16 by default: that of 4,096 tokens of Phi-4-mini.
/// Beyond it a step would read more than a fifth of what it reads of that model's `q4_k_m` weights.
pub const F16_CACHE_BYTES_MAX: usize = 512 << 20;

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
    layers: Vec<Buffer>,
}

impl KvPool {
    /// Positions per block.
    pub const BLOCK_TOKENS: usize = BLOCK;

    /// A pool of `blocks` blocks. Memory is committed by the system as blocks are first written.
    pub fn new(layout: KvLayout, blocks: usize) -> Self {
        let layers = (0..layout.layers)
            .map(|_| Buffer::zeroed(blocks * layout.layer_block_bytes()))
            .collect();
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

    /// Bytes of one block in one layer, laid out as the model that wrote them likes.
    ///
    /// # Panics
    /// If there is no such layer or block; so do the other methods that take them.
    pub fn block(&self, layer: usize, block: BlockId) -> &[u8] {
        let bytes = self.layout.layer_block_bytes();
        &self.layers[layer][block.0 as usize * bytes..][..bytes]
    }

    /// Bytes of one block in one layer, for implementors of [`Forward`](crate::Forward).
    pub fn block_mut(&mut self, layer: usize, block: BlockId) -> &mut [u8] {
        let bytes = self.layout.layer_block_bytes();
        &mut self.layers[layer][block.0 as usize * bytes..][..bytes]
    }

    /// Copies what a block holds, in all layers.
    pub fn copy_block(&mut self, from: BlockId, to: BlockId) {
        let bytes = self.layout.layer_block_bytes();
        let from = from.0 as usize * bytes;
        for layer in &mut self.layers {
            layer.copy_within(from..from + bytes, to.0 as usize * bytes);
        }
    }

    /// The bytes of a layer.
    pub(crate) fn layer(&self, layer: usize) -> &[u8] {
        &self.layers[layer]
    }

    /// Writes positions of one layer; no two are the same.
    pub(crate) fn store(
        &mut self,
        compute: &Compute,
        (layer, geometry): (usize, &Geometry),
        mut positions: Vec<NewPosition<'_>>,
    ) {
        positions.sort_unstable_by_key(|position| position.block);
        let bytes = self.layout.layer_block_bytes();
        let mut rest = &mut *self.layers[layer];
        let mut passed = 0;
        let mut tasks = Vec::new();
        for positions in positions.chunk_by(|a, b| a.block == b.block) {
            let block = positions[0].block as usize;
            let (_, from) = rest.split_at_mut((block - passed) * bytes);
            let (block_bytes, after) = from.split_at_mut(bytes);
            tasks.push((block_bytes, positions));
            (rest, passed) = (after, block + 1);
        }
        let write = |(block, positions): (&mut [u8], &[NewPosition<'_>])| {
            for position in positions {
                let row = (position.key, position.value);
                store_position(compute.tier, geometry, block, position.offset, row);
            }
        };
        if tasks.len() == 1 {
            tasks.into_iter().for_each(write);
        } else {
            compute.pool.for_each(tasks, write);
        }
    }
}

/// Keys and values of one new position, each `[kv_heads * head_dim]`.
pub(crate) struct NewPosition<'a> {
    /// Its block, and its place within.
    pub block: u32,
    pub offset: usize,
    pub key: &'a [f32],
    pub value: &'a [f32],
}
