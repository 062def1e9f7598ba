//! Keys and values as 8-bit codes.
//!
//! Queries and softmax weights become two rows of 8-bit codes each, the second for what the first
//! leaves over, so that the only rounding that counts is that of the cache. Both products are then
//! those of [`crate::dot`]: 32 dimensions of a key, or 32 positions of a value, are a group.

use super::store::KEY_GROUP;
use super::tile::{CacheForm, State};
use super::{BLOCK, HEAD_DIM_MAX, PANEL, QUERIES_MAX};
use crate::activations::{GROUP, QuantizedGroup, quantize_group};
use crate::dot::{dot_group, each_row};
use crate::lanes::Lanes;

/// Groups of the largest head.
const GROUPS_MAX: usize = HEAD_DIM_MAX / KEY_GROUP;

pub(super) struct Int8Cache;

/// 32 numbers in 16 bits.
#[derive(Clone, Copy)]
pub(super) struct Fine {
    first: QuantizedGroup,
    rest: QuantizedGroup,
}

impl Fine {
    const ZERO: Self = Self { first: QuantizedGroup::ZERO, rest: QuantizedGroup::ZERO };

    #[inline(always)]
    fn of<L: Lanes>(lanes: L, values: &[f32; GROUP]) -> Self {
        let first = quantize_group(lanes, values);
        Self { rest: quantize_group(lanes, &first.rest(values)), first }
    }

    /// The dot product with codes that stand for `code - 128`.
    #[inline(always)]
    fn dot<L: Lanes>(&self, lanes: L, codes: &[L::B; 8]) -> L::F {
        let start = |group: &QuantizedGroup| -L::WIDE_OFFSET * group.sum();
        let first = dot_group::<L, true>(lanes, codes, &self.first.codes, start(&self.first));
        let rest = dot_group::<L, true>(lanes, codes, &self.rest.codes, start(&self.rest));
        let rest = lanes.mul(lanes.to_float(rest), lanes.splat(self.rest.scale));
        lanes.fma(lanes.to_float(first), lanes.splat(self.first.scale), rest)
    }
}

impl CacheForm for Int8Cache {
    type Queries = [[Fine; GROUPS_MAX]; QUERIES_MAX];

    #[inline(always)]
    fn queries<L: Lanes>(lanes: L, values: &[f32], dim: usize) -> Self::Queries {
        let mut queries = [[Fine::ZERO; GROUPS_MAX]; QUERIES_MAX];
        for (values, query) in values.chunks_exact(dim).zip(&mut queries) {
            for (values, group) in values.as_chunks().0.iter().zip(query) {
                *group = Fine::of(lanes, values);
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
    ) {
        let panel_bytes = keys.len() / 2;
        for lane in (0..valid.next_multiple_of(PANEL)).step_by(L::COUNT) {
            let keys = (&keys[lane / PANEL * panel_bytes..][..panel_bytes], lane);
            let mut query = 0;
            while query < state.count {
                query += match state.count - query {
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
        let (codes, scales) = values.split_at(BLOCK * state.dim);
        let mut weights = [Fine::ZERO; QUERIES_MAX];
        for (scores, weights) in state.scores[..state.count].iter().zip(&mut weights) {
            let mut scaled = [0.0; BLOCK];
            for lane in (0..valid.next_multiple_of(L::COUNT)).step_by(L::COUNT) {
                let scale = lanes.load_f16(&scales[2 * lane..]);
                lanes.store(lanes.mul(lanes.load(&scores[lane..]), scale), &mut scaled[lane..]);
            }
            *weights = Fine::of(lanes, &scaled);
        }
        for column in (0..state.dim).step_by(L::COUNT) {
            let quad = |index: usize| lanes.load_bytes(&codes[4 * (index * state.dim + column)..]);
            let codes = [quad(0), quad(1), quad(2), quad(3), quad(4), quad(5), quad(6), quad(7)];
            for query in 0..state.count {
                let sum = &mut state.sums[query * state.dim + column..][..L::COUNT];
                let old = lanes.mul(lanes.load(sum), lanes.splat(corrections[query]));
                lanes.store(lanes.add(weights[query].dot(lanes, &codes), old), sum);
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
    queries: &[[Fine; GROUPS_MAX]; QUERIES_MAX],
    state: &mut State,
) -> usize {
    let (codes, scales) = panel.split_at(PANEL * state.dim);
    let mut sums = [lanes.splat(0.0); N];
    let groups = codes.chunks_exact(PANEL * KEY_GROUP).zip(scales.chunks_exact(PANEL * 2));
    for (group, (codes, scales)) in groups.enumerate() {
        let four = |index: usize| lanes.load_bytes(&codes[4 * (index * PANEL + lane % PANEL)..]);
        let codes = [four(0), four(1), four(2), four(3), four(4), four(5), four(6), four(7)];
        let scale = lanes.load_f16(&scales[2 * (lane % PANEL)..]);
        each_row!(n < N, {
            let dot = queries[query + n][group].dot(lanes, &codes);
            sums[n] = lanes.fma(dot, scale, sums[n]);
        });
    }
    for (sum, scores) in sums.into_iter().zip(&mut state.scores[query..]) {
        lanes.store(sum, &mut scores[lane..]);
    }
    N
}
