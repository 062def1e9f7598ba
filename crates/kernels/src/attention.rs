//! Causal attention over paged keys and values, with a streaming softmax.
//!
//! Layout of one key/value head of one block of [`BLOCK`] positions: keys in panels of 16
//! positions, `[panel][dimension][16]`, so that a lane is a position and queries are broadcast;
//! then values, `[position][dimension]`, so that a lane is a dimension. All query heads that
//! share a key/value head, of several rows, are one tile: each key and value is read once for all
//! of them. A row walks its blocks from the first on, so its result does not depend on the rows
//! beside it.

use crate::cpu::Tier;
use crate::disjoint::DisjointRows;
use crate::lanes::{ElementForm, F16Form, F32Form, Kernel, Lanes};
use crate::pool::Pool;

/// Positions per block.
pub const BLOCK: usize = 32;

/// Positions per key panel.
const PANEL: usize = 16;

/// Query vectors (heads times rows) of a tile.
const QUERIES_MAX: usize = 12;

/// The largest head.
pub const HEAD_DIM_MAX: usize = 256;

/// Element type of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    F16,
}

impl Element {
    /// Bytes per element.
    pub const fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 => 2,
        }
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
        2 * BLOCK * self.head_dim * self.element.bytes()
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

/// Writes the keys and values of one position: `key` and `value` are `[kv_heads * head_dim]`,
/// `block` the block's bytes, `offset` the position within it.
pub fn store_position(
    geometry: &Geometry,
    block: &mut [u8],
    offset: usize,
    key: &[f32],
    value: &[f32],
) {
    let dim = geometry.head_dim;
    let size = geometry.element.bytes();
    let heads = key.chunks_exact(dim).zip(value.chunks_exact(dim));
    for (bytes, (key, value)) in block.chunks_exact_mut(geometry.head_block_bytes()).zip(heads) {
        let (keys, values) = bytes.split_at_mut(BLOCK * dim * size);
        let panel = &mut keys[offset / PANEL * PANEL * dim * size..][..PANEL * dim * size];
        let lane = offset % PANEL;
        let row = &mut values[offset * dim * size..][..dim * size];
        match geometry.element {
            Element::F32 => {
                for (d, (k, v)) in key.iter().zip(value).enumerate() {
                    panel[(d * PANEL + lane) * 4..][..4].copy_from_slice(&k.to_le_bytes());
                    row[d * 4..][..4].copy_from_slice(&v.to_le_bytes());
                }
            }
            Element::F16 => {
                for (d, (k, v)) in key.iter().zip(value).enumerate() {
                    let (k, v) = (half::f16::from_f32(*k), half::f16::from_f32(*v));
                    panel[(d * PANEL + lane) * 2..][..2].copy_from_slice(&k.to_le_bytes());
                    row[d * 2..][..2].copy_from_slice(&v.to_le_bytes());
                }
            }
        }
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
    assert!(geometry.head_dim.is_multiple_of(16) && geometry.head_dim <= HEAD_DIM_MAX);
    let group = geometry.heads / geometry.kv_heads;
    let heads_step = group.min(QUERIES_MAX);
    let rows_step = (QUERIES_MAX / heads_step).max(1);
    let mut tiles = Vec::new();
    for span in spans {
        for first in (0..span.rows).step_by(rows_step) {
            for kv_head in 0..geometry.kv_heads {
                for head in (0..group).step_by(heads_step) {
                    tiles.push(Tile {
                        geometry,
                        span,
                        first,
                        rows: rows_step.min(span.rows - first),
                        kv_head,
                        head: kv_head * group + head,
                        heads: heads_step.min(group - head),
                        queries,
                        query_stride,
                        cache,
                        out,
                    });
                }
            }
        }
    }
    // The longest rows first: what is left at the end is short.
    pool.run(tiles.len(), |index| tier.run(tiles[tiles.len() - 1 - index]));
}

#[derive(Clone, Copy)]
struct Tile<'a> {
    geometry: &'a Geometry,
    span: &'a AttentionSpan<'a>,
    first: usize,
    rows: usize,
    kv_head: usize,
    head: usize,
    heads: usize,
    queries: &'a [f32],
    query_stride: usize,
    cache: &'a [u8],
    out: DisjointRows<'a>,
}

/// Running softmax of one tile.
struct State {
    /// Scaled queries, `[query][head_dim]`.
    queries: [f32; QUERIES_MAX * HEAD_DIM_MAX],
    /// Weighted sums of values, `[query][head_dim]`.
    sums: [f32; QUERIES_MAX * HEAD_DIM_MAX],
    /// Scores of a block, then their exponentials.
    scores: [[f32; BLOCK]; QUERIES_MAX],
    largest: [f32; QUERIES_MAX],
    total: [f32; QUERIES_MAX],
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let dim = self.geometry.head_dim;
        let count = self.rows * self.heads;
        let mut state = State {
            queries: [0.0; QUERIES_MAX * HEAD_DIM_MAX],
            sums: [0.0; QUERIES_MAX * HEAD_DIM_MAX],
            scores: [[0.0; BLOCK]; QUERIES_MAX],
            largest: [f32::NEG_INFINITY; QUERIES_MAX],
            total: [0.0; QUERIES_MAX],
        };
        for query in 0..count {
            let source = self.query_start(query);
            let source = &self.queries[source..][..dim];
            for (out, value) in state.queries[query * dim..][..dim].iter_mut().zip(source) {
                *out = value * self.geometry.scale;
            }
        }
        let last = self.span.start + self.first + self.rows - 1;
        for index in 0..=last / BLOCK {
            let valid = (last + 1 - index * BLOCK).min(BLOCK);
            self.block(lanes, index, valid, count, &mut state);
        }
        for query in 0..count {
            let row = self.span.row + self.first + query / self.heads;
            let column = (self.head + query % self.heads) * dim;
            let sums = &mut state.sums[query * dim..][..dim];
            let total = state.total[query];
            sums.iter_mut().for_each(|value| *value /= total);
            self.out.store(row, column, sums);
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn query_start(&self, query: usize) -> usize {
        let row = self.span.row + self.first + query / self.heads;
        row * self.query_stride + (self.head + query % self.heads) * self.geometry.head_dim
    }

    #[inline(always)]
    fn block<L: Lanes>(
        &self,
        lanes: L,
        index: usize,
        valid: usize,
        count: usize,
        state: &mut State,
    ) {
        let head_bytes = self.geometry.head_block_bytes();
        let start = self.span.blocks[index] as usize * self.geometry.block_bytes();
        let bytes = &self.cache[start + self.kv_head * head_bytes..][..head_bytes];
        let (keys, values) = bytes.split_at(head_bytes / 2);
        let mut corrections = [1.0_f32; QUERIES_MAX];
        match self.geometry.element {
            Element::F32 => self.scores::<L, F32Form>(lanes, keys, valid, count, state),
            Element::F16 => self.scores::<L, F16Form>(lanes, keys, valid, count, state),
        }
        for (query, correction) in corrections.iter_mut().enumerate().take(count) {
            let position = self.span.start + self.first + query / self.heads;
            let visible = (position + 1).saturating_sub(index * BLOCK).min(BLOCK);
            *correction = softmax_block(lanes, query, visible, state);
        }
        let corrections = &corrections[..count];
        match self.geometry.element {
            Element::F32 => self.values::<L, F32Form>(lanes, values, valid, corrections, state),
            Element::F16 => self.values::<L, F16Form>(lanes, values, valid, corrections, state),
        }
    }

    /// Scores of all queries with the block's keys, a few queries at a time.
    #[inline(always)]
    fn scores<L: Lanes, E: ElementForm>(
        &self,
        lanes: L,
        keys: &[u8],
        valid: usize,
        count: usize,
        state: &mut State,
    ) {
        let dim = self.geometry.head_dim;
        for lane in (0..valid.next_multiple_of(PANEL)).step_by(L::COUNT) {
            let keys = &keys[lane / PANEL * PANEL * dim * E::SIZE..][..PANEL * dim * E::SIZE];
            let keys = (keys, lane % PANEL);
            let mut query = 0;
            while query < count {
                query += match count - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        scores_of::<L, E, 12>(lanes, keys, lane, query, dim, state)
                    }
                    left if left >= 6 => scores_of::<L, E, 6>(lanes, keys, lane, query, dim, state),
                    left if left >= 3 => scores_of::<L, E, 3>(lanes, keys, lane, query, dim, state),
                    _ => scores_of::<L, E, 1>(lanes, keys, lane, query, dim, state),
                };
            }
        }
    }

    /// Adds the block's values, weighted.
    #[inline(always)]
    fn values<L: Lanes, E: ElementForm>(
        &self,
        lanes: L,
        values: &[u8],
        valid: usize,
        corrections: &[f32],
        state: &mut State,
    ) {
        let dim = self.geometry.head_dim;
        let values = &values[..valid * dim * E::SIZE];
        for column in (0..dim).step_by(L::COUNT) {
            let mut query = 0;
            while query < corrections.len() {
                let part = (values, column, query);
                query += match corrections.len() - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        values_of::<L, E, 12>(lanes, part, dim, corrections, state)
                    }
                    left if left >= 6 => values_of::<L, E, 6>(lanes, part, dim, corrections, state),
                    left if left >= 3 => values_of::<L, E, 3>(lanes, part, dim, corrections, state),
                    _ => values_of::<L, E, 1>(lanes, part, dim, corrections, state),
                };
            }
        }
    }
}

/// Scores of `N` queries with `COUNT` positions from `lane` on; returns `N`.
#[inline(always)]
fn scores_of<L: Lanes, E: ElementForm, const N: usize>(
    lanes: L,
    (keys, lane_in_panel): (&[u8], usize),
    lane: usize,
    query: usize,
    dim: usize,
    state: &mut State,
) -> usize {
    let queries: [&[f32]; N] = std::array::from_fn(|n| &state.queries[(query + n) * dim..][..dim]);
    let mut sums = [lanes.splat(0.0); N];
    for (d, key) in keys.chunks_exact(PANEL * E::SIZE).enumerate() {
        let key = E::load(lanes, &key[lane_in_panel * E::SIZE..]);
        for n in 0..N {
            sums[n] = lanes.fma(key, lanes.splat(queries[n][d]), sums[n]);
        }
    }
    for (sum, scores) in sums.into_iter().zip(&mut state.scores[query..]) {
        lanes.store(sum, &mut scores[lane..]);
    }
    N
}

/// Weighted values of `N` queries in `COUNT` columns; returns `N`.
#[inline(always)]
fn values_of<L: Lanes, E: ElementForm, const N: usize>(
    lanes: L,
    (values, column, query): (&[u8], usize, usize),
    dim: usize,
    corrections: &[f32],
    state: &mut State,
) -> usize {
    let mut sums = [lanes.splat(0.0); N];
    for (n, sum) in sums.iter_mut().enumerate() {
        let old = lanes.load(&state.sums[(query + n) * dim + column..]);
        *sum = lanes.mul(old, lanes.splat(corrections[query + n]));
    }
    for (position, row) in values.chunks_exact(dim * E::SIZE).enumerate() {
        let value = E::load(lanes, &row[column * E::SIZE..]);
        for (sum, scores) in sums.iter_mut().zip(&state.scores[query..]) {
            *sum = lanes.fma(value, lanes.splat(scores[position]), *sum);
        }
    }
    for (n, sum) in sums.into_iter().enumerate() {
        lanes.store(sum, &mut state.sums[(query + n) * dim + column..]);
    }
    N
}

/// Turns the scores of the first `visible` positions into exponentials and the rest into zeros;
/// returns the factor by which earlier sums shrink.
#[inline(always)]
fn softmax_block<L: Lanes>(lanes: L, query: usize, visible: usize, state: &mut State) -> f32 {
    let scores = &mut state.scores[query];
    scores[visible..].fill(f32::NEG_INFINITY);
    let mut largest = lanes.splat(state.largest[query]);
    for part in scores.chunks_exact(L::COUNT) {
        largest = lanes.max(lanes.load(part), largest);
    }
    let largest = lanes.largest(largest);
    let shift = lanes.splat(largest);
    let mut total = lanes.splat(0.0);
    for part in scores.chunks_exact_mut(L::COUNT) {
        let weight = lanes.exp(lanes.sub(lanes.load(part), shift));
        total = lanes.add(total, weight);
        lanes.store(weight, part);
    }
    let before = lanes.splat(state.largest[query] - largest);
    let mut factor = [0.0; PANEL];
    lanes.store(lanes.exp(before), &mut factor);
    state.total[query] = state.total[query] * factor[0] + lanes.sum(total);
    state.largest[query] = largest;
    factor[0]
}
