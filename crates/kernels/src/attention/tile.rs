//! The queries of one key/value head on their way through the positions.

use std::marker::PhantomData;
use std::ops::Range;

use super::{
    AttentionSpan, BLOCK, CHUNK_BLOCKS, Geometry, HEAD_DIM_MAX, PANEL, QUERIES_MAX, rotate,
};
use crate::disjoint::DisjointRows;
use crate::lanes::{Kernel, Lanes};

/// Lines of the next block to ask for beside the softmax of a query.
const SOFTMAX_LINES: usize = 8;

/// How a cache is read, at compile time.
pub(super) trait CacheForm {
    /// What is made of the scaled queries before the first block.
    type Queries;

    /// Prepares `count` queries of `dim` elements.
    fn queries<L: Lanes>(lanes: L, values: &[f32], dim: usize) -> Self::Queries;

    /// Scores of all queries with the block's first `valid` keys (and some behind them).
    fn scores<L: Lanes>(
        lanes: L,
        queries: &Self::Queries,
        keys: &[u8],
        valid: usize,
        state: &mut State,
        ahead: &mut Ahead<'_>,
    );

    /// Multiplies the sums with `corrections` and adds the block's first `valid` values, weighted.
    fn values<L: Lanes>(
        lanes: L,
        values: &[u8],
        valid: usize,
        corrections: &[f32],
        state: &mut State,
        ahead: &mut Ahead<'_>,
    );
}

/// A block on its way into the caches. It lies elsewhere than the one before it, where the
/// processor's own prefetch does not look; fetched all at once it would make the loads of that one
/// wait.
pub(super) struct Ahead<'a> {
    /// What is not fetched yet.
    rest: &'a [u8],
    /// The block after it, whose lines the second-level cache is asked for.
    after: &'a [u8],
}

impl Ahead<'_> {
    /// Asks for the next `lines` lines of 64 bytes.
    #[inline(always)]
    pub fn fetch<L: Lanes>(&mut self, lanes: L, lines: usize) {
        let (bytes, rest) = self.rest.split_at((64 * lines).min(self.rest.len()));
        for line in (0..bytes.len()).step_by(64) {
            lanes.prefetch(bytes, line);
        }
        self.rest = rest;
        let (bytes, after) = self.after.split_at((64 * lines).min(self.after.len()));
        for line in (0..bytes.len()).step_by(64) {
            lanes.prefetch_far(bytes, line);
        }
        self.after = after;
    }
}

/// Running softmax of the queries of a tile.
pub(super) struct State {
    pub count: usize,
    pub dim: usize,
    /// Weighted sums of values, `[query][head_dim]`.
    pub sums: [f32; QUERIES_MAX * HEAD_DIM_MAX],
    /// Scores of a block, then their exponentials.
    pub scores: [[f32; BLOCK]; QUERIES_MAX],
    largest: [f32; QUERIES_MAX],
    total: [f32; QUERIES_MAX],
}

impl State {
    #[inline(always)]
    fn new(count: usize, dim: usize) -> Self {
        Self {
            count,
            dim,
            sums: [0.0; QUERIES_MAX * HEAD_DIM_MAX],
            scores: [[0.0; BLOCK]; QUERIES_MAX],
            largest: [f32::NEG_INFINITY; QUERIES_MAX],
            total: [0.0; QUERIES_MAX],
        }
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.sums[..self.count * self.dim].fill(0.0);
        self.largest = [f32::NEG_INFINITY; QUERIES_MAX];
        self.total = [0.0; QUERIES_MAX];
    }

    /// Sums, the largest score and the sum of exponentials of a query.
    #[inline(always)]
    fn of(&self, query: usize) -> (&[f32], f32, f32) {
        (&self.sums[query * self.dim..][..self.dim], self.largest[query], self.total[query])
    }
}

/// Up to [`QUERIES_MAX`] queries that share a key/value head.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub geometry: &'a Geometry,
    pub span: &'a AttentionSpan<'a>,
    /// Rows `first..first + rows` of the span.
    pub first: usize,
    pub rows: usize,
    pub kv_head: usize,
    /// Heads `head..head + heads`.
    pub head: usize,
    pub heads: usize,
    pub queries: &'a [f32],
    pub query_stride: usize,
    pub cache: &'a [u8],
    pub out: DisjointRows<'a>,
}

/// All chunks of a tile.
pub(super) struct Whole<'a, C> {
    pub tile: Tile<'a>,
    pub form: PhantomData<fn() -> C>,
}

/// Some chunks of a tile; the state after each goes to rows `row..` of `partials`.
pub(super) struct Part<'a, C> {
    pub tile: Tile<'a>,
    pub chunks: Range<usize>,
    pub row: usize,
    pub partials: DisjointRows<'a>,
    pub form: PhantomData<fn() -> C>,
}

/// All chunks of a tile, from what their parts left.
pub(super) struct Merge<'a> {
    pub tile: Tile<'a>,
    /// `[query][chunk][partial_len]`
    pub partials: &'a [f32],
    pub chunks: usize,
}

impl<C: CacheForm> Kernel for Whole<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let tile = self.tile;
        let (count, dim) = (tile.rows * tile.heads, tile.geometry.head_dim);
        let queries = tile.prepare::<L, C>(lanes, 0);
        let mut whole = State::new(count, dim);
        let mut state = State::new(count, dim);
        for chunk in 0..tile.chunks() {
            tile.walk::<L, C>(lanes, chunk, &queries, &mut state);
            for query in 0..count {
                merge(lanes, query, state.of(query), &mut whole);
            }
        }
        tile.finish(&mut whole);
    }
}

impl<C: CacheForm> Kernel for Part<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { tile, chunks, row, partials, form: _ } = self;
        let end = chunks.end.min(tile.chunks());
        if chunks.start >= end {
            return;
        }
        let dim = tile.geometry.head_dim;
        let queries = tile.prepare::<L, C>(lanes, chunks.start);
        let mut state = State::new(tile.rows * tile.heads, dim);
        for chunk in chunks.start..end {
            tile.walk::<L, C>(lanes, chunk, &queries, &mut state);
            let column = chunk * Tile::partial_len(dim);
            for query in 0..state.count {
                let (sums, largest, total) = state.of(query);
                partials.store(row + query, column, sums);
                partials.store(row + query, column + dim, &[largest, total]);
            }
        }
    }
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let dim = self.tile.geometry.head_dim;
        let width = Tile::partial_len(dim);
        let mut whole = State::new(self.tile.rows * self.tile.heads, dim);
        for query in 0..whole.count {
            for chunk in 0..self.tile.chunks() {
                let part = &self.partials[(query * self.chunks + chunk) * width..][..width];
                merge(lanes, query, (&part[..dim], part[dim], part[dim + 1]), &mut whole);
            }
        }
        self.tile.finish(&mut whole);
    }
}

impl<'a> Tile<'a> {
    /// Numbers of a query that a part leaves: sums, the largest score, the sum of exponentials.
    pub(super) const fn partial_len(dim: usize) -> usize {
        dim + 2
    }

    /// The last position of its last row.
    fn last(&self) -> usize {
        self.span.start + self.first + self.rows - 1
    }

    fn chunks(&self) -> usize {
        self.last() / (BLOCK * CHUNK_BLOCKS) + 1
    }

    /// Its queries, for a walk from chunk `chunk` on, whose first block is on its way meanwhile.
    #[inline(always)]
    fn prepare<L: Lanes, C: CacheForm>(&self, lanes: L, chunk: usize) -> C::Queries {
        let mut ahead = Ahead { rest: self.block(chunk * CHUNK_BLOCKS), after: &[] };
        ahead.fetch(lanes, usize::MAX / 64);
        let dim = self.geometry.head_dim;
        let count = self.rows * self.heads;
        let mut scaled = [0.0; QUERIES_MAX * HEAD_DIM_MAX];
        for query in 0..count {
            let row = self.span.row + self.first + query / self.heads;
            let start = row * self.query_stride + (self.head + query % self.heads) * dim;
            let source = &self.queries[start..][..dim];
            for (out, value) in scaled[query * dim..][..dim].iter_mut().zip(source) {
                *out = value * self.geometry.scale;
            }
        }
        C::queries(lanes, &scaled[..count * dim], dim)
    }

    /// Keys and values of the tile's head in block `index` of the sequence.
    #[inline(always)]
    fn block(&self, index: usize) -> &'a [u8] {
        let head_bytes = self.geometry.head_block_bytes();
        let start = self.span.blocks[index] as usize * self.geometry.block_bytes();
        &self.cache[start + self.kv_head * head_bytes..][..head_bytes]
    }

    /// Every block of a chunk.
    #[inline(always)]
    fn walk<L: Lanes, C: CacheForm>(
        &self,
        lanes: L,
        chunk: usize,
        queries: &C::Queries,
        state: &mut State,
    ) {
        state.reset();
        let last = self.last();
        let blocks = last / BLOCK + 1;
        let key_bytes = self.geometry.element.block_bytes(state.dim).0;
        for index in chunk * CHUNK_BLOCKS..blocks.min((chunk + 1) * CHUNK_BLOCKS) {
            let valid = (last + 1 - index * BLOCK).min(BLOCK);
            let (keys, values) = self.block(index).split_at(key_bytes);
            let block = |index| if index < blocks { self.block(index) } else { &[] };
            let mut ahead = Ahead { rest: block(index + 1), after: block(index + 2) };
            C::scores(lanes, queries, keys, valid, state, &mut ahead);
            let mut corrections = [1.0_f32; QUERIES_MAX];
            for (query, correction) in corrections.iter_mut().enumerate().take(state.count) {
                ahead.fetch(lanes, SOFTMAX_LINES);
                let position = self.span.start + self.first + query / self.heads;
                let visible = (position + 1).saturating_sub(index * BLOCK).min(BLOCK);
                *correction = softmax_block(lanes, query, visible, state);
            }
            C::values(lanes, values, valid, &corrections[..state.count], state, &mut ahead);
        }
    }

    /// Divides by the totals and writes the rows.
    #[inline(always)]
    fn finish(&self, whole: &mut State) {
        let dim = self.geometry.head_dim;
        for query in 0..whole.count {
            let row = self.span.row + self.first + query / self.heads;
            let column = (self.head + query % self.heads) * dim;
            let sums = &mut whole.sums[query * dim..][..dim];
            let total = whole.total[query];
            sums.iter_mut().for_each(|value| *value /= total);
            if self.geometry.element.rotates().1 {
                rotate(sums);
            }
            self.out.store(row, column, sums);
        }
    }
}

/// Adds the softmax of a later chunk to that of the earlier ones.
#[inline(always)]
fn merge<L: Lanes>(
    lanes: L,
    query: usize,
    (sums, largest, total): (&[f32], f32, f32),
    whole: &mut State,
) {
    // A row that ends before this chunk has seen nothing in it.
    if largest == f32::NEG_INFINITY {
        return;
    }
    let top = whole.largest[query].max(largest);
    let before = exp(lanes, whole.largest[query] - top);
    let now = exp(lanes, largest - top);
    let (before_lanes, now_lanes) = (lanes.splat(before), lanes.splat(now));
    let whole_sums = &mut whole.sums[query * whole.dim..][..whole.dim];
    for (out, sums) in whole_sums.chunks_exact_mut(L::COUNT).zip(sums.chunks_exact(L::COUNT)) {
        let earlier = lanes.mul(lanes.load(out), before_lanes);
        lanes.store(lanes.fma(lanes.load(sums), now_lanes, earlier), out);
    }
    whole.total[query] = whole.total[query] * before + total * now;
    whole.largest[query] = top;
}

#[inline(always)]
fn exp<L: Lanes>(lanes: L, value: f32) -> f32 {
    let mut out = [0.0; PANEL];
    lanes.store(lanes.exp(lanes.splat(value)), &mut out);
    out[0]
}

/// Turns the scores of the first `visible` positions into exponentials and the rest into zeros;
/// returns the factor by which earlier sums shrink.
#[inline(always)]
fn softmax_block<L: Lanes>(lanes: L, query: usize, visible: usize, state: &mut State) -> f32 {
    let scores = &mut state.scores[query];
    if visible == 0 {
        scores.fill(0.0);
        return 1.0;
    }
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
    let factor = exp(lanes, state.largest[query] - largest);
    state.total[query] = state.total[query] * factor + lanes.sum(total);
    state.largest[query] = largest;
    factor
}
