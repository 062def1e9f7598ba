//! Causal attention over paged keys and values, with a streaming softmax.
//!
//! All query heads that share a key/value head, of several rows, are one tile: each key and value
//! is read once for all of them. A row walks its positions in chunks of `CHUNK_BLOCKS` blocks,
//! each with a softmax of its own, which are then merged in order. A step with few rows gives each
//! chunk to another thread; the additions are the same either way, and do not depend on the rows
//! beside a row.
//!
//! [`store_position`] draws the layout of a block; `float`, `byte` and `nibble` read it.

mod byte;
mod float;
mod hadamard;
mod nibble;
mod store;
mod tile;

use std::marker::PhantomData;

use crate::cpu::Tier;
use crate::disjoint::DisjointRows;
use crate::lanes::{F16Form, F32Form};
use crate::pool::Pool;

use byte::Int8Cache;
use float::FloatCache;
pub(crate) use hadamard::rotate;
use nibble::Int4Cache;
pub(crate) use store::cached_element;
pub use store::store_position;
use tile::{CacheForm, Merge, Part, Tile, Whole};

/// Positions per block.
pub const BLOCK: usize = 32;

/// Positions per key panel.
const PANEL: usize = 16;

/// Blocks of a chunk: the unit in which a long row is shared by threads.
const CHUNK_BLOCKS: usize = 16;

/// Query vectors (heads times rows) of a tile.
const QUERIES_MAX: usize = 12;

/// The largest head.
pub const HEAD_DIM_MAX: usize = 256;

/// Parts per thread that work is cut into where there is enough: one that loses its core then keeps
/// the others waiting for one part.
const PARTS_PER_THREAD: usize = 8;

/// Element type of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    F16,
    /// 1 byte, with an f16 scale per key and per value; keys are rotated (see `hadamard`), and
    /// queries and softmax weights take 8 bits too. Heads are a multiple of 32.
    Int8,
    /// Half a byte, with an f16 scale for every 32 elements of a key or value; otherwise as
    /// [`Element::Int8`], but values are rotated too.
    Int4,
}

impl Element {
    /// All types, the most exact first.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Int8, Self::Int4];

    /// As users write it: `f32`, `f16`, `int8`, `int4`.
    pub const fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::Int8 => "int8",
            Element::Int4 => "int4",
        }
    }

    /// Whether heads of so many elements can be stored.
    pub const fn fits(self, head_dim: usize) -> bool {
        match self {
            Element::F32 | Element::F16 => head_dim.is_multiple_of(16),
            Element::Int8 | Element::Int4 => head_dim.is_multiple_of(32),
        }
    }

    /// Whether keys, and whether values, are stored rotated.
    pub(crate) const fn rotates(self) -> (bool, bool) {
        (matches!(self, Element::Int8 | Element::Int4), matches!(self, Element::Int4))
    }

    /// Bytes of the keys and of the values of a block of one head.
    const fn block_bytes(self, head_dim: usize) -> (usize, usize) {
        match self {
            Element::F32 => (BLOCK * head_dim * 4, BLOCK * head_dim * 4),
            Element::F16 => (BLOCK * head_dim * 2, BLOCK * head_dim * 2),
            Element::Int8 => (BLOCK * (head_dim + 2), BLOCK * (head_dim + 2)),
            Element::Int4 => (BLOCK * (head_dim / 32) * 18, BLOCK * (head_dim / 32) * 18),
        }
    }

    /// Bytes of one block of one head: keys, then values.
    pub const fn head_block_bytes(self, head_dim: usize) -> usize {
        let (keys, values) = self.block_bytes(head_dim);
        keys + values
    }
}

/// Sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Elements per head; a multiple of 16, at most [`HEAD_DIM_MAX`].
    pub head_dim: usize,
    /// Element type of the cache.
    pub element: Element,
    /// What scores are multiplied with, usually `head_dim^-0.5`.
    pub scale: f32,
}

impl Geometry {
    /// Bytes of one head of one block: keys, then values.
    pub const fn head_block_bytes(&self) -> usize {
        self.element.head_block_bytes(self.head_dim)
    }

    /// Bytes of one block, all heads.
    pub const fn block_bytes(&self) -> usize {
        self.kv_heads * self.head_block_bytes()
    }
}

/// Consecutive new rows of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSpan<'a> {
    /// Its first row in the query and output matrices.
    pub row: usize,
    /// How many rows.
    pub rows: usize,
    /// Position of the first.
    pub start: usize,
    /// Indices of the sequence's blocks in the cache.
    pub blocks: &'a [u32],
}

impl AttentionSpan<'_> {
    /// Chunks that its last row walks.
    fn chunks(&self) -> usize {
        (self.start + self.rows).div_ceil(BLOCK * CHUNK_BLOCKS)
    }
}

/// For every row of every span: `out[row] = softmax(scale * q k) v` over the positions up to its
/// own. `queries` and `out` have `heads * head_dim` columns from column 0 of rows of
/// `query_stride`; `cache` holds the layer's blocks.
pub fn attention(
    pool: &Pool,
    tier: Tier,
    geometry: &Geometry,
    spans: &[AttentionSpan<'_>],
    (queries, query_stride): (&[f32], usize),
    cache: &[u8],
    out: DisjointRows<'_>,
) {
    let dim = geometry.head_dim;
    assert!(geometry.element.fits(dim) && dim <= HEAD_DIM_MAX);
    let tile = |span, first, rows, kv_head, (head, heads)| Tile {
        geometry,
        span,
        first,
        rows,
        kv_head,
        head,
        heads,
        queries,
        query_stride,
        cache,
        out,
    };
    let tiles = cut(geometry, spans, tile);
    let chunks = spans.iter().map(AttentionSpan::chunks).max().unwrap_or(0);
    // One kernel for each form: with all in one the compiler gives up on short functions.
    match geometry.element {
        Element::F32 => walk::<FloatCache<F32Form>>(pool, tier, &tiles, chunks),
        Element::F16 => walk::<FloatCache<F16Form>>(pool, tier, &tiles, chunks),
        Element::Int8 => walk::<Int8Cache>(pool, tier, &tiles, chunks),
        Element::Int4 => walk::<Int4Cache>(pool, tier, &tiles, chunks),
    }
}

/// All tiles through at most `chunks` chunks.
fn walk<C: CacheForm>(pool: &Pool, tier: Tier, tiles: &[Tile<'_>], chunks: usize) {
    let form = PhantomData::<fn() -> C>;
    let wanted = pool.threads() * PARTS_PER_THREAD;
    if chunks <= 1 || tiles.len() >= wanted {
        // The longest rows first: what is left at the end is short.
        pool.run(tiles.len(), |index| {
            tier.run(Whole { tile: tiles[tiles.len() - 1 - index], form });
        });
        return;
    }
    let width = Tile::partial_len(tiles[0].geometry.head_dim);
    let tile_queries = tiles.iter().map(|tile| tile.rows * tile.heads).max().unwrap_or(0);
    let each = tile_queries * chunks * width;
    let mut partials = vec![0.0; tiles.len() * each];
    let rows = DisjointRows::new(&mut partials, chunks * width);
    // As few parts as keep all threads busy to the end: each prepares its queries anew.
    let part_chunks = (tiles.len() * chunks).div_ceil(wanted);
    let parts = chunks.div_ceil(part_chunks);
    pool.run(tiles.len() * parts, |index| {
        let (tile, part) = (index % tiles.len(), parts - 1 - index / tiles.len());
        let chunks = part * part_chunks..(part + 1) * part_chunks;
        let row = tile * tile_queries;
        tier.run(Part { tile: tiles[tile], chunks, row, partials: rows, form });
    });
    pool.run(tiles.len(), |index| {
        let partials = &partials[index * each..][..each];
        tier.run(Merge { tile: tiles[index], partials, chunks });
    });
}

/// Cuts the work into tiles of at most [`QUERIES_MAX`] queries. Those of a key/value head follow each
/// other, so that the second-level cache keeps what they share.
fn cut<'a>(
    geometry: &Geometry,
    spans: &'a [AttentionSpan<'a>],
    tile: impl Fn(&'a AttentionSpan<'a>, usize, usize, usize, (usize, usize)) -> Tile<'a>,
) -> Vec<Tile<'a>> {
    let group = geometry.heads / geometry.kv_heads;
    let heads_step = group.min(QUERIES_MAX);
    let rows_step = (QUERIES_MAX / heads_step).max(1);
    let mut tiles = Vec::new();
    for span in spans {
        for kv_head in 0..geometry.kv_heads {
            for first in (0..span.rows).step_by(rows_step) {
                let rows = rows_step.min(span.rows - first);
                for head in (0..group).step_by(heads_step) {
                    let heads = (kv_head * group + head, heads_step.min(group - head));
                    tiles.push(tile(span, first, rows, kv_head, heads));
                }
            }
        }
    }
    tiles
}
