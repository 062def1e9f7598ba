//! Keys and values as 4-bit codes.
//!
//! As in [`super::byte`], queries and softmax weights are 8-bit codes. Every 32 dimensions of a key
//! or value have a scale of their own, so a score adds up groups in f32, and softmax weights are
//! coded once for each group of a value.

use super::byte::{Coded, Int8Cache, QueryCodes};
use super::store::NIBBLE_ZERO;
use super::tile::{CacheForm, State};
use super::{BLOCK, PANEL, QUERIES_MAX};
use crate::activations::GROUP;
use crate::dot::{dot_vectors, each_row};
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
    ) {
        let panel_bytes = keys.len() / 2;
        for lane in (0..valid.next_multiple_of(PANEL)).step_by(L::COUNT) {
            let keys = (&keys[lane / PANEL * panel_bytes..][..panel_bytes], lane);
            let mut query = 0;
            while query < state.count {
                query += match state.count - query {
                    left if left >= 12 && L::COUNT >= 16 => {
                        scores_of::<L, 12>(lanes, keys, query, queries, state)
                    }
                    left if left >= 6 => scores_of::<L, 6>(lanes, keys, query, queries, state),
                    left if left >= 3 => scores_of::<L, 3>(lanes, keys, query, queries, state),
                    _ => scores_of::<L, 1>(lanes, keys, query, queries, state),
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
    ) {
        let (codes, scales) = values.split_at(BLOCK * state.dim / 2);
        for (group, scales) in scales.chunks_exact(2 * BLOCK).enumerate() {
            let mut weights = [Coded::<1>::ZERO; QUERIES_MAX];
            for (scores, weights) in state.scores[..state.count].iter().zip(&mut weights) {
                *weights = Coded::weights(lanes, scores, scales, valid);
            }
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
    let pair = |index: usize| lanes.load_bytes(&codes[4 * (index * width + column)..]);
    let pairs = [pair(0), pair(1), pair(2), pair(3)];
    let low = |index: usize| lanes.low_nibbles(pairs[index]);
    let high = |index: usize| lanes.high_nibbles(pairs[index]);
    [low(0), low(1), low(2), low(3), high(0), high(1), high(2), high(3)]
}

/// Scores of `N` queries with `COUNT` positions from `lane` on; returns `N`.
#[inline(always)]
fn scores_of<L: Lanes, const N: usize>(
    lanes: L,
    (panel, lane): (&[u8], usize),
    query: usize,
    queries: &QueryCodes,
    state: &mut State,
) -> usize {
    let (codes, scales) = panel.split_at(PANEL * state.dim / 2);
    let mut sums = [lanes.splat(0.0); N];
    let groups = codes.chunks_exact(PANEL * GROUP / 2).zip(scales.chunks_exact(2 * PANEL));
    for (group, (codes, scales)) in groups.enumerate() {
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
