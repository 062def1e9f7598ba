//! Products of forms with a float scale per group.

use std::marker::PhantomData;

use super::forms::{GroupForm, GroupScales, PackedForm};
use super::matrix_rows::MatrixRows;
use super::{Place, ProductForm, Tile};
use crate::activations::{CodeTile, GROUP, RowGroups};
use crate::cpu::Tier;
use crate::dot::{each_row, four_codes};
use crate::lanes::{Lanes, PANEL_ROWS};
use crate::packed::Block;

/// Vectors of codes in half a group.
const FOUR: usize = 4;

/// The form `G`, group by group: the products of each are exact, and their float sums are added in
/// the order of columns.
pub(super) struct Groups<G>(PhantomData<G>);

impl<G: GroupForm> ProductForm for Groups<G> {
    #[inline(always)]
    fn add_panel<L: Lanes, const R: usize>(
        lanes: L,
        panel: &[u8],
        rows: CodeTile<'_, R>,
        place: &Place,
        out: &mut [[f32; PANEL_ROWS]; R],
    ) {
        let Block { scale_bytes, .. } = G::BLOCK;
        let lane = place.lane;
        let mut sums = [lanes.splat(0.0); R];
        each_row!(r < R, {
            sums[r] = lanes.load(&out[r][lane..]);
        });
        let rows = rows.part(place.groups.clone());
        let bytes = G::BLOCK.bytes();
        let blocks = panel[place.groups.start * bytes..].chunks_exact(bytes);
        for (index, block) in blocks.take(place.groups.len()).enumerate() {
            let (scales, codes) = block.split_at(scale_bytes);
            if place.ahead && lane == 0 {
                for line in (0..bytes).step_by(64) {
                    lanes.prefetch_stream(codes, line);
                }
            }
            let weight = G::scales(lanes, scales, lane);
            let row_groups = rows.group(index);
            add_group::<L, G, R>(lanes, (codes, lane), &weight, &row_groups, &mut sums);
        }
        each_row!(r < R, {
            lanes.store(sums[r], &mut out[r][lane..]);
        });
    }

    fn multiply_matrix(tile: Tile<'_>, tier: Tier, first: usize, count: usize) {
        tier.run_matrix(MatrixRows::<G> { tile, first, count, form: PhantomData });
    }
}

/// Adds the products of one group of every row.
#[inline(always)]
fn add_group<L: Lanes, G: GroupForm, const R: usize>(
    lanes: L,
    (codes, lane): (&[u8], usize),
    weight: &GroupScales<L>,
    rows: &RowGroups<'_, R>,
    sums: &mut [L::F; R],
) {
    let zero = if G::WIDE { L::WIDE_OFFSET } else { G::ZERO };
    let mut low = [lanes.splat_int(0); R];
    let mut high = low;
    if zero != 0 {
        each_row!(r < R, {
            let [low_sum, high_sum] = rows.sums[r];
            if G::SPLIT {
                low[r] = lanes.splat_int(-zero * low_sum);
                high[r] = lanes.splat_int(-zero * high_sum);
            } else {
                low[r] = lanes.splat_int(-zero * (low_sum + high_sum));
            }
        });
    }
    half_group::<L, G, R, 0>(lanes, (codes, lane), rows.codes, &mut low);
    if G::SPLIT {
        let mut both = *sums;
        each_row!(r < R, {
            both[r] = lanes.mul(lanes.to_float(low[r]), weight.low);
        });
        half_group::<L, G, R, 4>(lanes, (codes, lane), rows.codes, &mut high);
        each_row!(r < R, {
            both[r] = lanes.fma(lanes.to_float(high[r]), weight.high, both[r]);
            sums[r] = lanes.fma(both[r], lanes.splat(rows.scales[r]), sums[r]);
            if G::MINIMUM {
                let [low_sum, high_sum] = rows.sums[r].map(|sum| sum as f32);
                let scale = rows.scales[r];
                sums[r] = lanes.fma(weight.low_minimum, lanes.splat(scale * low_sum), sums[r]);
                sums[r] = lanes.fma(weight.high_minimum, lanes.splat(scale * high_sum), sums[r]);
            }
        });
        return;
    }
    // Few rows: two short chains of products end sooner than a long one. The sums are exact.
    if R <= 2 {
        half_group::<L, G, R, 4>(lanes, (codes, lane), rows.codes, &mut high);
        each_row!(r < R, {
            low[r] = lanes.add_int(low[r], high[r]);
        });
    } else {
        half_group::<L, G, R, 4>(lanes, (codes, lane), rows.codes, &mut low);
    }
    each_row!(r < R, {
        let dot = lanes.mul(lanes.to_float(low[r]), lanes.splat(rows.scales[r]));
        sums[r] = lanes.fma(dot, weight.low, sums[r]);
        if G::MINIMUM {
            sums[r] = lanes.fma(weight.low_minimum, lanes.splat(rows.offsets[r]), sums[r]);
        }
    });
}

/// Adds the products of four vectors of codes from `FIRST` on to the sums of every row: each
/// vector is unpacked once, and the rows' sums are independent of each other.
#[inline(always)]
pub(super) fn half_group<L: Lanes, G: PackedForm, const R: usize, const FIRST: usize>(
    lanes: L,
    (codes, lane): (&[u8], usize),
    rows: &[[i8; GROUP]; R],
    sums: &mut [L::I; R],
) {
    each_row!(vector < FOUR, {
        let code = G::code(lanes, codes, FIRST + vector, lane);
        each_row!(r < R, {
            let four = four_codes(&rows[r], FIRST + vector);
            sums[r] = if G::WIDE {
                lanes.dot_wide(sums[r], code, four)
            } else {
                lanes.dot(sums[r], code, four)
            };
        });
    });
}
