//! Products of forms with integer scales under one float for 256 columns, in rows with one scale for
//! as many: exact integers to the end of a super-block.
//!
//! For each super-block of a panel and a row, with integer scales `s`, minimums `m`, and their floats
//! `d` and `-e`:
//!
//! ```text
//! out += scale of the row * (d * sum of s * code * row code - e * sum of m * row code)
//! ```
//!
//! Both sums are exact: the first is below 2^27, the second below 2^24, which floats hold as well. So
//! every tier and every number of rows may add them up as it likes; only the three float operations
//! at the end have an order.

use std::marker::PhantomData;

use super::forms::SuperForm;
use super::groups::half_group;
use super::super_matrix::SuperMatrix;
use super::{Place, ProductForm, Tile};
use crate::activations::{CodeTile, RowGroups};
use crate::cpu::Tier;
use crate::dot::each_row;
use crate::lanes::{Lanes, PANEL_ROWS, SUPER_GROUPS};

/// The form `S`, super-block by super-block.
pub(super) struct SuperBlocks<S>(PhantomData<S>);

impl<S: SuperForm> ProductForm for SuperBlocks<S> {
    #[inline(always)]
    fn add_panel<L: Lanes, const R: usize>(
        lanes: L,
        panel: &[u8],
        rows: CodeTile<'_, R>,
        place: &Place,
        out: &mut [[f32; PANEL_ROWS]; R],
    ) {
        let rows = rows.part(place.groups.clone());
        let bytes = S::BLOCK.bytes();
        let (first, count) = (place.groups.start / SUPER_GROUPS, place.groups.len() / SUPER_GROUPS);
        let blocks = panel[first * bytes..].chunks_exact(bytes).take(count);
        for (index, block) in blocks.enumerate() {
            let groups = index * SUPER_GROUPS..(index + 1) * SUPER_GROUPS;
            add_super_block::<L, S, R>(lanes, block, rows.part(groups), place, out);
        }
    }

    fn multiply_matrix(tile: Tile<'_>, tier: Tier, first: usize, count: usize) {
        tier.run_matrix(SuperMatrix::<S> { tile, first, count, form: PhantomData });
    }
}

/// Adds a super-block of every row.
#[inline(always)]
fn add_super_block<L: Lanes, S: SuperForm, const R: usize>(
    lanes: L,
    block: &[u8],
    rows: CodeTile<'_, R>,
    place: &Place,
    out: &mut [[f32; PANEL_ROWS]; R],
) {
    let lane = place.lane;
    let (scales, codes) = block.split_at(S::BLOCK.scale_bytes);
    let code_bytes = S::BLOCK.code_bytes;
    let mut products = [lanes.splat_int(0); R];
    let mut minimums = [lanes.splat(0.0); R];
    for group in 0..SUPER_GROUPS {
        let codes = &codes[group * code_bytes..][..code_bytes];
        if place.ahead && lane == 0 {
            for line in (0..S::BLOCK.bytes() / SUPER_GROUPS).step_by(64) {
                lanes.prefetch_stream(codes, line);
            }
        }
        let row_groups = rows.group(group);
        let scale = S::scales(lanes, scales, group, lane);
        add_products::<L, S, R>(lanes, (codes, lane), scale, &row_groups, &mut products);
        if S::MINIMUM {
            let minimum = lanes.load_u8(&S::minimums(scales, group)[lane..]);
            each_row!(r < R, {
                let total = lanes.splat(row_groups.offsets[r]);
                minimums[r] = lanes.fma(minimum, total, minimums[r]);
            });
        }
    }
    let (scale, minimum) = S::block_scales(lanes, scales, lane);
    let row_scales = rows.group(0).scales;
    each_row!(r < R, {
        let mut sum = lanes.mul(lanes.to_float(products[r]), scale);
        if S::MINIMUM {
            sum = lanes.fma(minimums[r], minimum, sum);
        }
        let out = &mut out[r][lane..];
        lanes.store(lanes.fma(sum, lanes.splat(row_scales[r]), lanes.load(out)), out);
    });
}

/// Adds the products of one group of every row, times the group's integer scales.
#[inline(always)]
fn add_products<L: Lanes, S: SuperForm, const R: usize>(
    lanes: L,
    (codes, lane): (&[u8], usize),
    [low_scale, high_scale]: [L::I; 2],
    rows: &RowGroups<'_, R>,
    products: &mut [L::I; R],
) {
    let mut low = [lanes.splat_int(0); R];
    let mut high = low;
    const { assert!(S::SPLIT || S::ZERO == 0, "both halves take off their own zero") };
    if S::ZERO != 0 {
        each_row!(r < R, {
            let [low_sum, high_sum] = rows.sums[r];
            low[r] = lanes.splat_int(-S::ZERO * low_sum);
            high[r] = lanes.splat_int(-S::ZERO * high_sum);
        });
    }
    half_group::<L, S, R, 0>(lanes, (codes, lane), rows.codes, &mut low);
    if S::SPLIT {
        each_row!(r < R, {
            products[r] = lanes.mul_add_int(low[r], low_scale, products[r]);
        });
        half_group::<L, S, R, 4>(lanes, (codes, lane), rows.codes, &mut high);
        each_row!(r < R, {
            products[r] = lanes.mul_add_int(high[r], high_scale, products[r]);
        });
        return;
    }
    // Few rows: two short chains of products end sooner than a long one.
    if R <= 2 {
        half_group::<L, S, R, 4>(lanes, (codes, lane), rows.codes, &mut high);
        each_row!(r < R, {
            low[r] = lanes.add_int(low[r], high[r]);
        });
    } else {
        half_group::<L, S, R, 4>(lanes, (codes, lane), rows.codes, &mut low);
    }
    each_row!(r < R, {
        products[r] = lanes.mul_add_int(low[r], low_scale, products[r]);
    });
}
