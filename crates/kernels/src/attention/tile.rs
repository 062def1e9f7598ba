//! The queries of one key/value head on their way through the positions.

use super::byte::Int8Cache;
use super::float::FloatCache;
use super::nibble::Int4Cache;
use super::{
    AttentionSpan, BLOCK, CHUNK_BLOCKS, Element, Geometry, HEAD_DIM_MAX, PANEL, QUERIES_MAX, rotate,
};
use crate::disjoint::DisjointRows;
use crate::lanes::{F16Form, F32Form, Kernel, Lanes};

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
    );

    /// Multiplies the sums with `corrections` and adds the block's first `valid` values, weighted.
    fn values<L: Lanes>(
        lanes: L,
        values: &[u8],
        valid: usize,
        corrections: &[f32],
        state: &mut State,
    );
}

/// Running softmax of the queries of a tile.
#[derive(Clone)]
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

/// One chunk of a tile; its state goes to rows `row..` of `partials`.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    tile: Tile<'a>,
    chunk: usize,
    row: usize,
    partials: DisjointRows<'a>,
}

/// All chunks of a tile, from what their parts left.
pub(super) struct Merge<'a> {
    pub tile: Tile<'a>,
    /// `[query][chunk][partial_len]`
    pub partials: &'a [f32],
    pub chunks: usize,
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match self.geometry.element {
            Element::F32 => self.whole::<L, FloatCache<F32Form>>(lanes),
            Element::F16 => self.whole::<L, FloatCache<F16Form>>(lanes),
            Element::Int8 => self.whole::<L, Int8Cache>(lanes),
            Element::Int4 => self.whole::<L, Int4Cache>(lanes),
        }
    }
}

impl Kernel for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let state = match self.tile.geometry.element {
            Element::F32 => self.tile.one::<L, FloatCache<F32Form>>(lanes, self.chunk),
            Element::F16 => self.tile.one::<L, FloatCache<F16Form>>(lanes, self.chunk),
            Element::Int8 => self.tile.one::<L, Int8Cache>(lanes, self.chunk),
            Element::Int4 => self.tile.one::<L, Int4Cache>(lanes, self.chunk),
        };
        let Some(state) = state else { return };
        let dim = state.dim;
        let column = self.chunk * Tile::partial_len(dim);
        for query in 0..state.count {
            let row = self.row + query;
            self.partials.store(row, column, &state.sums[query * dim..][..dim]);
            let ends = [state.largest[query], state.total[query]];
            self.partials.store(row, column + dim, &ends);
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

    pub(super) fn part(self, chunk: usize, row: usize, partials: DisjointRows<'a>) -> Part<'a> {
        Part { tile: self, chunk, row, partials }
    }

    /// The last position of its last row.
    fn last(&self) -> usize {
        self.span.start + self.first + self.rows - 1
    }

    fn chunks(&self) -> usize {
        self.last() / (BLOCK * CHUNK_BLOCKS) + 1
    }

    #[inline(always)]
    fn whole<L: Lanes, C: CacheForm>(self, lanes: L) {
        let (count, dim) = (self.rows * self.heads, self.geometry.head_dim);
        let queries = self.prepare::<L, C>(lanes);
        let mut whole = State::new(count, dim);
        let mut state = State::new(count, dim);
        for chunk in 0..self.chunks() {
            state.reset();
            self.chunk::<L, C>(lanes, chunk, &queries, &mut state);
            for query in 0..count {
                let sums = &state.sums[query * dim..][..dim];
                merge(lanes, query, (sums, state.largest[query], state.total[query]), &mut whole);
            }
        }
        self.finish(&mut whole);
    }

    /// The state after one chunk alone; `None` behind the tile's last.
    #[inline(always)]
    fn one<L: Lanes, C: CacheForm>(self, lanes: L, chunk: usize) -> Option<State> {
        if chunk >= self.chunks() {
            return None;
        }
        let queries = self.prepare::<L, C>(lanes);
        let mut state = State::new(self.rows * self.heads, self.geometry.head_dim);
        self.chunk::<L, C>(lanes, chunk, &queries, &mut state);
        Some(state)
    }

    #[inline(always)]
    fn prepare<L: Lanes, C: CacheForm>(&self, lanes: L) -> C::Queries {
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
    fn chunk<L: Lanes, C: CacheForm>(
        &self,
        lanes: L,
        chunk: usize,
        queries: &C::Queries,
        state: &mut State,
    ) {
        let last = self.last();
        let key_bytes = self.geometry.element.block_bytes(state.dim).0;
        let end = (last / BLOCK + 1).min((chunk + 1) * CHUNK_BLOCKS);
        for index in chunk * CHUNK_BLOCKS..end {
            let valid = (last + 1 - index * BLOCK).min(BLOCK);
            let (keys, values) = self.block(index).split_at(key_bytes);
            // The next block lies elsewhere, where the processor's own prefetch does not look.
            let next = (index + 1 < end).then(|| self.block(index + 1).split_at(key_bytes));
            if let Some((keys, _)) = next {
                prefetch(lanes, keys);
            }
            C::scores(lanes, queries, keys, valid, state);
            if let Some((_, values)) = next {
                prefetch(lanes, values);
            }
            let mut corrections = [1.0_f32; QUERIES_MAX];
            for (query, correction) in corrections.iter_mut().enumerate().take(state.count) {
                let position = self.span.start + self.first + query / self.heads;
                let visible = (position + 1).saturating_sub(index * BLOCK).min(BLOCK);
                *correction = softmax_block(lanes, query, visible, state);
            }
            C::values(lanes, values, valid, &corrections[..state.count], state);
        }
    }

    /// Divides by the totals and writes the rows.
    #[inline(always)]
    fn finish(&self, whole: &mut State) {
        let dim = whole.dim;
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

#[inline(always)]
fn prefetch<L: Lanes>(lanes: L, bytes: &[u8]) {
    for line in (0..bytes.len()).step_by(64) {
        lanes.prefetch(bytes, line);
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
