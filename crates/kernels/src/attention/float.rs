//! Keys and values as floats.

use std::marker::PhantomData;

use super::tile::{Ahead, CacheForm, State};
use super::{BLOCK, HEAD_DIM_MAX, PANEL, QUERIES_MAX};
use crate::dot::each_row;
use crate::lanes::{ElementForm, Lanes};

pub(super) struct FloatCache<E>(PhantomData<E>);

impl<E: ElementForm> CacheForm for FloatCache<E> {
    /// `[dimension][query]`: those that meet one vector of keys lie side by side, under one address.
    type Queries = [f32; QUERIES_MAX * HEAD_DIM_MAX];

    #[inline(always)]
    fn queries<L: Lanes>(_lanes: L, values: &[f32], dim: usize) -> Self::Queries {
        let mut queries = [0.0; QUERIES_MAX * HEAD_DIM_MAX];
        let count = values.len() / dim;
        for (query, values) in values.chunks_exact(dim).enumerate() {
            for (place, value) in queries.chunks_exact_mut(count).zip(values) {
                place[query] = *value;
            }
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
        let panel_bytes = PANEL * state.dim * E::SIZE;
        for lane in (0..valid.next_multiple_of(PANEL)).step_by(L::COUNT) {
            let keys = (&keys[lane / PANEL * panel_bytes..][..panel_bytes], lane);
            let mut query = 0;
            while query < state.count {
                query += match state.count - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        scores_of::<L, E, 12>(lanes, keys, query, queries, state, ahead)
                    }
                    left if left >= 6 => {
                        scores_of::<L, E, 6>(lanes, keys, query, queries, state, ahead)
                    }
                    left if left >= 3 => {
                        scores_of::<L, E, 3>(lanes, keys, query, queries, state, ahead)
                    }
                    _ => scores_of::<L, E, 1>(lanes, keys, query, queries, state, ahead),
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
        let values = &values[..valid * state.dim * E::SIZE];
        for column in (0..state.dim).step_by(L::COUNT) {
            ahead.fetch(lanes, BLOCK * L::COUNT * E::SIZE / 64);
            let mut query = 0;
            while query < state.count {
                let part = (values, column, query);
                query += match state.count - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        values_of::<L, E, 12>(lanes, part, corrections, state)
                    }
                    left if left >= 6 => values_of::<L, E, 6>(lanes, part, corrections, state),
                    left if left >= 3 => values_of::<L, E, 3>(lanes, part, corrections, state),
                    _ => values_of::<L, E, 1>(lanes, part, corrections, state),
                };
            }
        }
    }
}

/// Scores of `N` queries with `COUNT` positions from `lane` on; returns `N`.
#[inline(always)]
fn scores_of<L: Lanes, E: ElementForm, const N: usize>(
    lanes: L,
    (keys, lane): (&[u8], usize),
    query: usize,
    queries: &[f32],
    state: &mut State,
    ahead: &mut Ahead<'_>,
) -> usize {
    let mut sums = [lanes.splat(0.0); N];
    let queries = queries.chunks_exact(state.count);
    for (d, (key, queries)) in keys.chunks_exact(PANEL * E::SIZE).zip(queries).enumerate() {
        if d % 4 == 0 {
            ahead.fetch(lanes, E::SIZE);
        }
        let key = E::load(lanes, &key[lane % PANEL * E::SIZE..]);
        let queries = &queries[query..][..N];
        each_row!(n < N, {
            sums[n] = lanes.fma(key, lanes.splat(queries[n]), sums[n]);
        });
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
    corrections: &[f32],
    state: &mut State,
) -> usize {
    let dim = state.dim;
    let mut sums = [lanes.splat(0.0); N];
    for (n, sum) in sums.iter_mut().enumerate() {
        let old = lanes.load(&state.sums[(query + n) * dim + column..]);
        *sum = lanes.mul(old, lanes.splat(corrections[query + n]));
    }
    let scores = &state.scores[query..][..N];
    for (position, row) in values.chunks_exact(dim * E::SIZE).enumerate() {
        let value = E::load(lanes, &row[column * E::SIZE..]);
        // Never more than a block: the compiler need not look at every one.
        let position = position % BLOCK;
        each_row!(n < N, {
            sums[n] = lanes.fma(value, lanes.splat(scores[n][position]), sums[n]);
        });
    }
    for (n, sum) in sums.into_iter().enumerate() {
        lanes.store(sum, &mut state.sums[(query + n) * dim + column..]);
    }
    N
}
