//! Keys and values as 8-bit codes.
//!
//! Queries and softmax weights become 8-bit codes too, so that both products are those of
//! [`crate::dot`]: 32 dimensions of a key, or 32 positions of a value, are a group. Queries are
//! rotated as the keys were.

use super::tile::{Ahead, CacheForm, State};
use super::{BLOCK, HEAD_DIM_MAX, PANEL, QUERIES_MAX, rotate};
use crate::activations::GROUP;
use crate::dot::{code_vectors, dot_vectors, each_row};
use crate::lanes::Lanes;

/// Groups of the largest head.
const GROUPS_MAX: usize = HEAD_DIM_MAX / GROUP;

pub(super) struct Int8Cache;

/// The queries of a tile.
pub(super) type QueryCodes = [Coded<GROUPS_MAX>; QUERIES_MAX];

/// Numbers in 8 bits: `value ≈ scale * code`.
#[derive(Clone, Copy)]
pub(super) struct Coded<const GROUPS: usize> {
    pub codes: [[i8; GROUP]; GROUPS],
    /// Of the codes of each group.
    sums: [i32; GROUPS],
    /// Of all codes.
    sum: i32,
    pub scale: f32,
}

impl<const GROUPS: usize> Coded<GROUPS> {
    pub const ZERO: Self =
        Self { codes: [[0; GROUP]; GROUPS], sums: [0; GROUPS], sum: 0, scale: 0.0 };

    #[inline(always)]
    fn of<L: Lanes>(lanes: L, values: &[f32]) -> Self {
        let mut largest = lanes.splat(0.0);
        for lane in (0..values.len()).step_by(L::COUNT) {
            largest = lanes.max(lanes.abs(lanes.load(&values[lane..])), largest);
        }
        let mut coded = Self { scale: lanes.largest(largest) / 127.0, ..Self::ZERO };
        let inverse = 1.0 / coded.scale;
        let inverse = lanes.splat(if inverse.is_finite() { inverse } else { 0.0 });
        for group in 0..values.len() / GROUP {
            for lane in (0..GROUP).step_by(L::COUNT) {
                let value = lanes.mul(lanes.load(&values[group * GROUP + lane..]), inverse);
                coded.sums[group] += lanes.store_i8(value, &mut coded.codes[group][lane..]);
            }
            coded.sum += coded.sums[group];
        }
        coded
    }

    /// Takes off what bytes of 128 for zero add.
    #[inline(always)]
    fn start_wide<L: Lanes>(&self, lanes: L) -> L::I {
        lanes.splat_int(-L::WIDE_OFFSET * self.sum)
    }

    /// Takes off what codes of `zero` for zero add in a group.
    #[inline(always)]
    pub fn start<L: Lanes>(&self, lanes: L, group: usize, zero: i32) -> L::I {
        lanes.splat_int(-zero * self.sums[group])
    }
}

impl Coded<1> {
    /// The softmax weights of the first `valid` positions of a block, times the scales of their
    /// values.
    #[inline(always)]
    pub fn weights<L: Lanes>(lanes: L, weights: &[f32], scales: &[u8], valid: usize) -> Self {
        let mut scaled = [0.0; BLOCK];
        for lane in (0..valid.next_multiple_of(L::COUNT)).step_by(L::COUNT) {
            let scale = lanes.load_f16(&scales[2 * lane..]);
            lanes.store(lanes.mul(lanes.load(&weights[lane..]), scale), &mut scaled[lane..]);
        }
        Self::of(lanes, &scaled)
    }
}

impl CacheForm for Int8Cache {
    type Queries = QueryCodes;

    #[inline(always)]
    fn queries<L: Lanes>(lanes: L, values: &[f32], dim: usize) -> Self::Queries {
        let mut queries = [Coded::ZERO; QUERIES_MAX];
        for (values, query) in values.chunks_exact(dim).zip(&mut queries) {
            let mut rotated = [0.0; HEAD_DIM_MAX];
            rotated[..dim].copy_from_slice(values);
            rotate(&mut rotated[..dim]);
            *query = Coded::of(lanes, &rotated[..dim]);
        }
        queries
    }

    #[inline(always)]
    fn scores<L: Lanes>(
        lanes: L,
        queries: &Self::Queries,
        keys: &[u8],
        valid: usize,
        state: &mut State,
        ahead: &mut Ahead<'_>,
    ) {
        let panel_bytes = keys.len() / 2;
        for lane in (0..valid.next_multiple_of(PANEL)).step_by(L::COUNT) {
            let keys = (&keys[lane / PANEL * panel_bytes..][..panel_bytes], lane);
            let mut query = 0;
            while query < state.count {
                query += match state.count - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        scores_of::<L, 12>(lanes, keys, query, queries, state, ahead)
                    }
                    left if left >= 6 => {
                        scores_of::<L, 6>(lanes, keys, query, queries, state, ahead)
                    }
                    left if left >= 3 => {
                        scores_of::<L, 3>(lanes, keys, query, queries, state, ahead)
                    }
                    _ => scores_of::<L, 1>(lanes, keys, query, queries, state, ahead),
                };
            }
        }
    }

    #[inline(always)]
    fn values<L: Lanes>(
        lanes: L,
        values: &[u8],
        valid: usize,
        corrections: &[f32],
        state: &mut State,
        ahead: &mut Ahead<'_>,
    ) {
        let (codes, scales) = values.split_at(BLOCK * state.dim);
        let mut weights = [Coded::<1>::ZERO; QUERIES_MAX];
        for (query, weights) in weights.iter_mut().enumerate().take(state.count) {
            ahead.fetch(lanes, 8);
            *weights = Coded::weights(lanes, &state.scores[query], scales, valid);
        }
        for column in (0..state.dim).step_by(L::COUNT) {
            ahead.fetch(lanes, 6);
            let codes = code_vectors(lanes, codes, state.dim, column);
            for query in 0..state.count {
                let sum = &mut state.sums[query * state.dim + column..][..L::COUNT];
                let old = lanes.mul(lanes.load(sum), lanes.splat(corrections[query]));
                let weights = &weights[query];
                let start = weights.start_wide(lanes);
                let dot = dot_vectors::<L, true, 0, 8>(lanes, &codes, &weights.codes[0], start);
                let scale = lanes.splat(weights.scale);
                lanes.store(lanes.fma(lanes.to_float(dot), scale, old), sum);
            }
        }
    }
}

/// Scores of `N` queries with `COUNT` positions from `lane` on; returns `N`.
#[inline(always)]
fn scores_of<L: Lanes, const N: usize>(
    lanes: L,
    (panel, lane): (&[u8], usize),
    query: usize,
    queries: &QueryCodes,
    state: &mut State,
    ahead: &mut Ahead<'_>,
) -> usize {
    let (codes, scales) = panel.split_at(PANEL * state.dim);
    let mut sums = [lanes.splat_int(0); N];
    each_row!(n < N, {
        sums[n] = queries[query + n].start_wide(lanes);
    });
    for (group, codes) in codes.chunks_exact(PANEL * GROUP).enumerate() {
        ahead.fetch(lanes, 5);
        let codes = code_vectors(lanes, codes, PANEL, lane % PANEL);
        each_row!(n < N, {
            let query = &queries[query + n].codes[group];
            sums[n] = dot_vectors::<L, true, 0, 8>(lanes, &codes, query, sums[n]);
        });
    }
    let scale = lanes.load_f16(&scales[2 * (lane % PANEL)..]);
    each_row!(n < N, {
        let factor = lanes.mul(scale, lanes.splat(queries[query + n].scale));
        let scores = &mut state.scores[query + n][lane..];
        lanes.store(lanes.mul(lanes.to_float(sums[n]), factor), scores);
    });
    N
}
