//! Keys and values as 4-bit codes.
//!
//! As in [`super::byte`], queries and softmax weights are 8-bit codes. Every 32 dimensions of a key
//! or value have a scale of their own, so a score adds up groups in f32, and softmax weights are
//! coded once for each group of a value.

use super::byte::{Coded, Int8Cache, QueryCodes};
use super::store::NIBBLE_ZERO;
use super::tile::{Ahead, CacheForm, State};
use super::{BLOCK, PANEL, QUERIES_MAX};
use crate::activations::GROUP;
use crate::dot::{dot_vectors, each_row, half_code_vectors};
use crate::lanes::Lanes;

pub(super) struct Int4Cache;

impl CacheForm for Int4Cache {
    type Queries = QueryCodes;

    #[inline(always)]
    fn queries<L: Lanes>(lanes: L, values: &[f32], dim: usize) -> Self::Queries {
        Int8Cache::queries(lanes, values, dim)
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
        let (codes, scales) = values.split_at(BLOCK * state.dim / 2);
        for (group, scales) in scales.chunks_exact(2 * BLOCK).enumerate() {
            let mut weights = [Coded::<1>::ZERO; QUERIES_MAX];
            for (query, weights) in weights.iter_mut().enumerate().take(state.count) {
                *weights = Coded::weights(lanes, &state.scores[query], scales, valid);
            }
            ahead.fetch(lanes, 8);
            for column in (group * GROUP..(group + 1) * GROUP).step_by(L::COUNT) {
                let codes = halves(lanes, codes, state.dim, column);
                for query in 0..state.count {
                    let sum = &mut state.sums[query * state.dim + column..][..L::COUNT];
                    let old = lanes.mul(lanes.load(sum), lanes.splat(corrections[query]));
                    let weights = &weights[query];
                    let start = weights.start(lanes, 0, NIBBLE_ZERO);
                    let dot =
                        dot_vectors::<L, false, 0, 8>(lanes, &codes, &weights.codes[0], start);
                    let scale = lanes.splat(weights.scale);
                    lanes.store(lanes.fma(lanes.to_float(dot), scale, old), sum);
                }
            }
        }
    }
}

/// The codes of 32 dimensions or positions: four vectors of `width` lanes, read from lane `column`
/// on, whose low halves are the first sixteen and whose high halves are the others.
#[inline(always)]
fn halves<L: Lanes>(lanes: L, codes: &[u8], width: usize, column: usize) -> [L::B; 8] {
    let [a, b, c, d] = half_code_vectors(lanes, codes, width, column);
    [
        lanes.low_nibbles(a),
        lanes.low_nibbles(b),
        lanes.low_nibbles(c),
        lanes.low_nibbles(d),
        lanes.high_nibbles(a),
        lanes.high_nibbles(b),
        lanes.high_nibbles(c),
        lanes.high_nibbles(d),
    ]
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
    let (codes, scales) = panel.split_at(PANEL * state.dim / 2);
    let mut sums = [lanes.splat(0.0); N];
    for (group, codes) in codes.chunks_exact(PANEL * GROUP / 2).enumerate() {
        let scales = &scales[2 * PANEL * group..];
        ahead.fetch(lanes, 3);
        let codes = halves(lanes, codes, PANEL, lane % PANEL);
        let scale = lanes.load_f16(&scales[2 * (lane % PANEL)..]);
        each_row!(n < N, {
            let query = &queries[query + n];
            let start = query.start(lanes, group, NIBBLE_ZERO);
            let dot = dot_vectors::<L, false, 0, 8>(lanes, &codes, &query.codes[group], start);
            sums[n] = lanes.fma(lanes.to_float(dot), scale, sums[n]);
        });
    }
    each_row!(n < N, {
        let scores = &mut state.scores[query + n][lane..];
        lanes.store(lanes.mul(sums[n], lanes.splat(queries[query + n].scale)), scores);
    });
    N
}
