//! Super-blocks of many rows through matrix registers, which add up all 256 columns themselves.

use std::marker::PhantomData;
use std::ops::Range;

use super::Tile;
use super::forms::SuperForm;
use crate::activations::{Activations, SuperTile};
use crate::dot::each_row;
use crate::lanes::{GROUP, PANEL_ROWS, SUPER_GROUPS};
use crate::matrix::{
    MATRIX_ROWS as R, MatrixKernel, MatrixLanes, SumBlock, SuperBlock, SuperSums, WideRows,
};

/// Vectors of codes in a group.
const VECTORS: usize = 8;

/// Panels that share a super-block of the rows' codes while the nearest cache has it.
const PANELS: usize = 2;

/// How many super-blocks sooner than it is unpacked one is asked for from memory.
const AHEAD: usize = 2;

/// Panels whose sums are kept while their super-blocks are walked; for each of them the rows' codes
/// are read again.
pub(super) const SUPER_PANELS: usize = 16;

/// Tiles of rows that share what was unpacked. Their sums and a super-block of their codes stay in the
/// second-level cache: 704 KiB.
const TILES_MAX: usize = 32;

/// Sums of a tile of rows with one panel.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sums([[f32; PANEL_ROWS]; R]);

const NOTHING: SumBlock = [[0; PANEL_ROWS]; R];

const NO_SUMS: Sums = Sums([[0.0; PANEL_ROWS]; R]);

/// `count` tiles of [`R`] rows of codes from row `first` on with every panel of a tile of weights.
pub(super) struct SuperMatrix<'a, S> {
    pub tile: Tile<'a>,
    pub first: usize,
    pub count: usize,
    pub form: PhantomData<S>,
}

/// A super-block of a panel, ready to be multiplied.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Unpacked {
    codes: SuperBlock,
    /// What sums of products, and of minimums, are multiplied with.
    scale: [f32; PANEL_ROWS],
    minimum: [f32; PANEL_ROWS],
}

impl Unpacked {
    const NOTHING: Self = Self {
        codes: SuperBlock {
            high: [[[0; 64]; 16]; 4],
            low: [[[0; 64]; 16]; 4],
            minimums: [[[0; PANEL_ROWS]; 16]; 2],
        },
        scale: [0.0; PANEL_ROWS],
        minimum: [0.0; PANEL_ROWS],
    };
}

impl<S: SuperForm> MatrixKernel for SuperMatrix<'_, S> {
    const WIDE: bool = true;

    #[inline(always)]
    fn run<M: MatrixLanes>(self, lanes: M) {
        let end = self.first + self.count * R;
        for first in (self.first..end).step_by(TILES_MAX * R) {
            let rows = first..(first + TILES_MAX * R).min(end);
            for panel in (self.tile.first..self.tile.end).step_by(SUPER_PANELS) {
                let panels = panel..(panel + SUPER_PANELS).min(self.tile.end);
                if rows.len() == R {
                    self.one_tile(lanes, panels, rows.start);
                } else {
                    self.panels(lanes, panels, rows.clone());
                }
            }
        }
    }
}

impl<S: SuperForm> SuperMatrix<'_, S> {
    /// Some panels with the tiles of rows that begin at every [`R`]th of `rows`: super-block by
    /// super-block, so that the rows' codes of one are read for all panels from a near cache.
    #[inline(always)]
    fn panels<M: MatrixLanes>(&self, lanes: M, panels: Range<usize>, rows: Range<usize>) {
        let input = self.tile.input;
        let mut unpacked = [Unpacked::NOTHING; PANELS];
        let tiles = rows.len() / R;
        let mut sums = vec![[NO_SUMS; PANELS]; panels.len().div_ceil(PANELS) * tiles];
        let mut products = [SuperSums { high: NOTHING, low: NOTHING, minimums: NOTHING }; 2];
        for block in 0..input.columns() / (SUPER_GROUPS * GROUP) {
            for (first, sums) in panels.clone().step_by(PANELS).zip(sums.chunks_exact_mut(tiles)) {
                let count = PANELS.min(panels.end - first);
                for (index, out) in unpacked[..count].iter_mut().enumerate() {
                    self.unpack_at(lanes, &panels, (first + index, block), rows.start == 0, out);
                }
                let tiles = Tiles { input, row: rows.start, count: tiles, block };
                add_tiles::<M, S>(lanes, &unpacked[..count], &tiles, &mut products, sums);
            }
        }
        for (first, sums) in panels.clone().step_by(PANELS).zip(sums.chunks_exact(tiles)) {
            for (row, sums) in rows.clone().step_by(R).zip(sums) {
                let last = row + R >= rows.end;
                let (next, next_row) =
                    if last { (first + PANELS, rows.start) } else { (first, row + R) };
                self.tile.prefetch_outputs(lanes, next, next_row);
                for (panel, sums) in (first..panels.end).zip(sums) {
                    self.tile.store_code_rows(lanes, panel, row, &sums.0);
                }
            }
        }
    }
}

impl<'a, S: SuperForm> SuperMatrix<'a, S> {
    /// Some panels with one tile of rows: nothing that is unpacked is used twice, so a super-block is
    /// unpacked while the registers multiply the one before it.
    #[inline(always)]
    fn one_tile<M: MatrixLanes>(&self, lanes: M, panels: Range<usize>, row: usize) {
        let tile = self.tile.input.super_tile(row);
        let blocks = self.tile.input.columns() / (SUPER_GROUPS * GROUP);
        let mut unpacked = [Unpacked::NOTHING; 2];
        let mut sums = [NO_SUMS; SUPER_PANELS];
        let mut products = SuperSums { high: NOTHING, low: NOTHING, minimums: NOTHING };
        let mut turn = 0;
        self.unpack_at(lanes, &panels, (panels.start, 0), row == 0, &mut unpacked[0]);
        for block in 0..blocks {
            let rows = Rows::of(tile, block);
            let next_rows = Rows::of(tile, (block + 1).min(blocks - 1));
            for (panel, sums) in panels.clone().zip(&mut sums) {
                multiply::<M, S>(lanes, &unpacked[turn], &rows, &mut products);
                let last = panel + 1 == panels.end;
                let next = if last { (panels.start, block + 1) } else { (panel + 1, block) };
                if next.1 < blocks {
                    self.unpack_at(lanes, &panels, next, row == 0, &mut unpacked[1 - turn]);
                }
                let ahead = if (panel - panels.start).is_multiple_of(2) {
                    next_rows.first_half()
                } else {
                    next_rows.second_half()
                };
                add::<M, S>(lanes, &unpacked[turn], (rows.scales, ahead), &products, sums);
                turn = 1 - turn;
            }
        }
        for (panel, sums) in panels.zip(&sums) {
            self.tile.store_code_rows(lanes, panel, row, &sums.0);
        }
    }

    /// Unpacks super-block `block` of `panel`; `ahead`: memory is asked for what comes next.
    #[inline(always)]
    fn unpack_at<M: MatrixLanes>(
        &self,
        lanes: M,
        panels: &Range<usize>,
        (panel, block): (usize, usize),
        ahead: bool,
        out: &mut Unpacked,
    ) {
        let bytes = S::BLOCK.bytes();
        let ahead = if ahead { Some(self.after(panels, (panel, block))) } else { None };
        let panel = self.tile.product.weights.panel(panel);
        unpack::<M, S>(lanes, &panel[block * bytes..][..bytes], ahead, out);
    }

    /// The super-block that is unpacked [`AHEAD`] after super-block `block` of `panel`; behind the
    /// last one the first of what follows the tile.
    #[inline(always)]
    fn after(&self, panels: &Range<usize>, (panel, block): (usize, usize)) -> &'a [u8] {
        let Tile { product, input, .. } = self.tile;
        let (bytes, next) = (S::BLOCK.bytes(), panel + AHEAD);
        let (panel, block) = if next < panels.end {
            (next, block)
        } else if block + 1 < input.columns() / (SUPER_GROUPS * GROUP) {
            (panels.start + (next - panels.end) % panels.len(), block + 1)
        } else {
            (next.min(product.weights.panels() - 1), 0)
        };
        &product.weights.panel(panel)[block * bytes..][..bytes]
    }
}

/// Adds a super-block of every tile with every panel. The next product is on its way while one is
/// added.
#[inline(always)]
fn add_tiles<M: MatrixLanes, S: SuperForm>(
    lanes: M,
    panels: &[Unpacked],
    tiles: &Tiles<'_>,
    products: &mut [SuperSums; 2],
    sums: &mut [[Sums; PANELS]],
) {
    let mut turn = 0;
    multiply::<M, S>(lanes, &panels[0], &tiles.rows(0), &mut products[0]);
    for (index, sums) in sums.iter_mut().enumerate() {
        let scales = tiles.rows(index).scales;
        for (panel, weights) in panels.iter().enumerate() {
            let last = panel + 1 == panels.len();
            let (next, next_panel) = if last { (index + 1, 0) } else { (index, panel + 1) };
            if next < tiles.count {
                let products = &mut products[1 - turn];
                multiply::<M, S>(lanes, &panels[next_panel], &tiles.rows(next), products);
            }
            let ahead = if panel == 0 {
                tiles.rows(index + 1).second_half()
            } else {
                tiles.rows(index + 2).first_half()
            };
            add::<M, S>(lanes, weights, (scales, ahead), &products[turn], &mut sums[panel]);
            turn = 1 - turn;
        }
    }
}

/// A super-block of some tiles of rows.
struct Tiles<'a> {
    input: &'a Activations,
    /// Where the first begins.
    row: usize,
    count: usize,
    block: usize,
}

impl<'a> Tiles<'a> {
    /// Tile `index`; behind the last one the first, with which the next panels begin.
    #[inline(always)]
    fn rows(&self, index: usize) -> Rows<'a> {
        let index = if index < self.count { index } else { 0 };
        Rows::of(self.input.super_tile(self.row + index * R), self.block)
    }
}

/// A super-block of a tile of rows.
struct Rows<'a> {
    codes: &'a [WideRows; 4],
    totals: &'a [WideRows; 2],
    scales: &'a [f32; R],
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn of(tile: SuperTile<'a>, block: usize) -> Self {
        Self {
            codes: tile.codes[4 * block..][..4].as_array().expect("four"),
            totals: tile.totals[2 * block..][..2].as_array().expect("two"),
            scales: &tile.scales[SUPER_GROUPS * block],
        }
    }

    /// What is asked for two products before the first.
    #[inline(always)]
    fn first_half(&self) -> [&'a WideRows; 3] {
        [&self.codes[0], &self.codes[1], &self.totals[0]]
    }

    /// What is asked for one product before it.
    #[inline(always)]
    fn second_half(&self) -> [&'a WideRows; 3] {
        [&self.codes[2], &self.codes[3], &self.totals[1]]
    }
}

/// Unpacks a super-block of a panel.
#[inline(always)]
fn unpack<M: MatrixLanes, S: SuperForm>(
    lanes: M,
    block: &[u8],
    ahead: Option<&[u8]>,
    out: &mut Unpacked,
) {
    let (scales, codes) = block.split_at(S::BLOCK.scale_bytes);
    let code_bytes = S::BLOCK.code_bytes;
    let (high, low) = (out.codes.high.as_flattened_mut(), out.codes.low.as_flattened_mut());
    let minimums = out.codes.minimums.as_flattened_mut();
    for group in 0..SUPER_GROUPS {
        let codes = &codes[group * code_bytes..][..code_bytes];
        if let Some(ahead) = ahead {
            let part = S::BLOCK.bytes() / SUPER_GROUPS;
            for line in (group * part..(group + 1) * part).step_by(64) {
                lanes.prefetch_far(ahead, line);
            }
        }
        let small = S::scales(lanes, scales, group, 0);
        let (high, low) = (&mut high[8 * group..][..8], &mut low[8 * group..][..8]);
        each_row!(vector < VECTORS, {
            let code = S::code(lanes, codes, vector, 0);
            let scale = small[vector / 4];
            let (high, low) = (&mut high[vector], &mut low[vector]);
            if S::MINIMUM {
                lanes.store_scaled_unsigned(code, scale, high, low);
            } else {
                lanes.store_scaled(code, S::ZERO as u8, scale, high, low);
            }
        });
        if S::MINIMUM {
            // Every byte of a lane; the first eight columns count four times.
            let (minimum, nothing) =
                (lanes.load_u8_int(S::minimums(scales, group)), lanes.splat_int(0));
            let one = lanes.mul_add_int(minimum, lanes.splat_int(0x0101_0101), nothing);
            let four = lanes.mul_add_int(minimum, lanes.splat_int(0x0404_0404), nothing);
            for (out, value) in minimums[4 * group..][..4].iter_mut().zip([four, four, one, one]) {
                lanes.store_int(value, out);
            }
        }
    }
    let (scale, minimum) = S::block_scales(lanes, scales, 0);
    lanes.store(scale, &mut out.scale);
    lanes.store(minimum, &mut out.minimum);
}

#[inline(always)]
fn multiply<M: MatrixLanes, S: SuperForm>(
    lanes: M,
    weights: &Unpacked,
    rows: &Rows<'_>,
    out: &mut SuperSums,
) {
    if S::MINIMUM {
        lanes.multiply_super::<true>(&weights.codes, rows.codes, rows.totals, out);
    } else {
        lanes.multiply_super::<false>(&weights.codes, rows.codes, rows.totals, out);
    }
}

/// Adds a super-block of [`R`] rows: the float operations of `super_blocks`, in their order.
#[inline(always)]
fn add<M: MatrixLanes, S: SuperForm>(
    lanes: M,
    weights: &Unpacked,
    (scales, ahead): (&[f32; R], [&WideRows; 3]),
    products: &SuperSums,
    Sums(out): &mut Sums,
) {
    let (scale, minimum) = (lanes.load(&weights.scale), lanes.load(&weights.minimum));
    each_row!(r < R, {
        // Registers are loaded from far away otherwise. A few lines at a time: many requests at once
        // keep each other waiting.
        lanes.prefetch_codes(&ahead[0][r]);
        lanes.prefetch_codes(&ahead[1][r]);
        lanes.prefetch_codes(&ahead[2][r]);
        let (high, low) = (lanes.load_int(&products.high[r]), lanes.load_int(&products.low[r]));
        let product =
            if S::MINIMUM { lanes.join::<3>(high, low) } else { lanes.join::<7>(high, low) };
        let mut sum = lanes.mul(lanes.to_float(product), scale);
        if S::MINIMUM {
            let minimums = lanes.to_float(lanes.load_int(&products.minimums[r]));
            sum = lanes.fma(minimums, minimum, sum);
        }
        lanes.store(lanes.fma(sum, lanes.splat(scales[r]), lanes.load(&out[r])), &mut out[r]);
    });
}
