//! Products of many rows through matrix registers: the same sums in the same order.

use std::marker::PhantomData;
use std::ops::Range;

use super::Tile;
use super::forms::GroupForm;
use crate::activations::{CodeTile, GROUP, RowGroups};
use crate::dot::each_row;
use crate::lanes::PANEL_ROWS;
use crate::matrix::{CodeBlock, MATRIX_ROWS as R, MatrixKernel, MatrixLanes};

/// Vectors of codes in a group.
const VECTORS: usize = 8;

/// Groups of columns whose codes are unpacked together.
const CHUNK_GROUPS: usize = 8;

/// Panels that share a chunk of the rows' codes while the nearest cache has it.
const CHUNK_PANELS: usize = 2;

/// Tiles of rows that share what was unpacked: their sums stay in the cache.
const TILES_MAX: usize = 16;

/// Groups whose products are on their way while those of one are added.
const AHEAD: usize = 2;

/// Where products wait, by turns.
const PLACES: usize = 4;

/// Sums of a tile of rows with one panel.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sums([[f32; PANEL_ROWS]; R]);

/// `count` tiles of [`R`] rows of codes from row `first` on with every panel of a tile of weights.
pub(super) struct MatrixRows<'a, G> {
    pub tile: Tile<'a>,
    pub first: usize,
    pub count: usize,
    pub form: PhantomData<G>,
}

/// A group of columns of a panel, ready to be multiplied.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Unpacked {
    codes: CodeBlock,
    /// As [`super::forms::GroupScales`].
    low: [f32; PANEL_ROWS],
    high: [f32; PANEL_ROWS],
    low_minimum: [f32; PANEL_ROWS],
    high_minimum: [f32; PANEL_ROWS],
}

impl Unpacked {
    const NOTHING: Self = Self {
        codes: [[0; 64]; 8],
        low: [0.0; PANEL_ROWS],
        high: [0.0; PANEL_ROWS],
        low_minimum: [0.0; PANEL_ROWS],
        high_minimum: [0.0; PANEL_ROWS],
    };
}

/// Products of one group, in a place that registers can be stored to.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Products([[[i32; PANEL_ROWS]; R]; 2]);

type Chunk = [Unpacked; CHUNK_GROUPS];

impl<G: GroupForm> MatrixKernel for MatrixRows<'_, G> {
    const WIDE: bool = false;

    #[inline(always)]
    fn run<M: MatrixLanes>(self, lanes: M) {
        let end = self.first + self.count * R;
        for first in (self.first..end).step_by(TILES_MAX * R) {
            let tiles = first..(first + TILES_MAX * R).min(end);
            for panel in (self.tile.first..self.tile.end).step_by(CHUNK_PANELS) {
                let panels = panel..(panel + CHUNK_PANELS).min(self.tile.end);
                self.panels(lanes, panels, tiles.clone());
            }
        }
    }
}

impl<G: GroupForm> MatrixRows<'_, G> {
    /// Some panels with the tiles of rows that begin at every `R`th of `rows`.
    #[inline(always)]
    fn panels<M: MatrixLanes>(&self, lanes: M, panels: Range<usize>, rows: Range<usize>) {
        let Tile { product, input, .. } = self.tile;
        let groups = input.columns() / GROUP;
        let mut chunks = [[Unpacked::NOTHING; CHUNK_GROUPS]; CHUNK_PANELS];
        let mut sums = [[Sums([[0.0; PANEL_ROWS]; R]); CHUNK_PANELS]; TILES_MAX];
        let mut products = [Products([[[0; PANEL_ROWS]; R]; 2]); PLACES];
        for start in (0..groups).step_by(CHUNK_GROUPS) {
            let part = start..(start + CHUNK_GROUPS).min(groups);
            for (panel, chunk) in panels.clone().zip(&mut chunks) {
                let bytes = product.weights.panel(panel);
                unpack::<M, G>(lanes, bytes, part.clone(), rows.start == 0, chunk);
            }
            for (row, sums) in rows.clone().step_by(R).zip(&mut sums) {
                let codes = input.code_tile::<R>(row).part(part.clone());
                let next = if row + R < rows.end { row + R } else { row };
                let next = input.code_tile::<R>(next).part(part.clone());
                for (index, (chunk, sums)) in chunks[..panels.len()].iter().zip(sums).enumerate() {
                    let ahead = (index == 0).then_some(next.codes);
                    let chunk = &chunk[..part.len()];
                    add_chunk::<M, G>(lanes, chunk, codes, ahead, &mut products, sums);
                }
            }
        }
        for (row, sums) in rows.step_by(R).zip(&sums) {
            for (panel, sums) in panels.clone().zip(sums) {
                self.tile.store_code_rows(lanes, panel, row, &sums.0);
            }
        }
    }
}

/// Unpacks groups `groups` of a panel.
#[inline(always)]
fn unpack<M: MatrixLanes, G: GroupForm>(
    lanes: M,
    panel: &[u8],
    groups: Range<usize>,
    ahead: bool,
    chunk: &mut Chunk,
) {
    let zero = if G::WIDE { 128 } else { G::ZERO as u8 };
    let bytes = G::BLOCK.bytes();
    let blocks = panel[groups.start * bytes..].chunks_exact(bytes);
    for (block, out) in blocks.zip(&mut chunk[..groups.len()]) {
        let (scales, codes) = block.split_at(G::BLOCK.scale_bytes);
        if ahead {
            for line in (0..bytes).step_by(64) {
                lanes.prefetch_stream(codes, line);
            }
        }
        each_row!(vector < VECTORS, {
            let code = G::code(lanes, codes, vector, 0);
            lanes.store_codes(code, zero, &mut out.codes[vector]);
        });
        let weight = G::scales(lanes, scales, 0);
        lanes.store(weight.low, &mut out.low);
        if G::SPLIT {
            lanes.store(weight.high, &mut out.high);
        }
        if G::MINIMUM {
            lanes.store(weight.low_minimum, &mut out.low_minimum);
            lanes.store(weight.high_minimum, &mut out.high_minimum);
        }
    }
}

/// Adds the products of some groups of `R` rows. The products of the next group are on their way
/// while those of one are added.
#[inline(always)]
fn add_chunk<M: MatrixLanes, G: GroupForm>(
    lanes: M,
    chunk: &[Unpacked],
    rows: CodeTile<'_, R>,
    ahead: Option<&[[[i8; GROUP]; R]]>,
    products: &mut [Products; PLACES],
    Sums(out): &mut Sums,
) {
    let mut sums = [lanes.splat(0.0); R];
    each_row!(r < R, {
        sums[r] = lanes.load(&out[r]);
    });
    for (group, weight) in chunk.iter().enumerate().take(AHEAD) {
        multiply::<M, G>(lanes, weight, &rows.group(group), &mut products[group]);
    }
    for (group, weight) in chunk.iter().enumerate() {
        if let Some(ahead) = ahead {
            for pair in ahead[group].as_chunks::<2>().0 {
                lanes.prefetch_codes(pair.as_flattened());
            }
        }
        if let Some(next) = chunk.get(group + AHEAD) {
            let place = &mut products[(group + AHEAD) % PLACES];
            multiply::<M, G>(lanes, next, &rows.group(group + AHEAD), place);
        }
        let products = &products[group % PLACES];
        add_group::<M, G>(lanes, weight, &rows.group(group), products, &mut sums);
    }
    each_row!(r < R, {
        lanes.store(sums[r], &mut out[r]);
    });
}

#[inline(always)]
fn multiply<M: MatrixLanes, G: GroupForm>(
    lanes: M,
    weight: &Unpacked,
    rows: &RowGroups<'_, R>,
    out: &mut Products,
) {
    if G::SPLIT {
        lanes.multiply_halves(&weight.codes, rows.codes, &mut out.0);
    } else {
        lanes.multiply(&weight.codes, rows.codes, &mut out.0[0]);
    }
}

/// Adds the products of one group: the additions of `super::add_group`, in its order.
#[inline(always)]
fn add_group<M: MatrixLanes, G: GroupForm>(
    lanes: M,
    weight: &Unpacked,
    rows: &RowGroups<'_, R>,
    Products([low, high]): &Products,
    sums: &mut [M::F; R],
) {
    let low_scale = lanes.load(&weight.low);
    let high_scale = lanes.load(&weight.high);
    let low_minimum = lanes.load(&weight.low_minimum);
    let high_minimum = lanes.load(&weight.high_minimum);
    each_row!(r < R, {
        let scale = rows.scales[r];
        let dot = lanes.to_float(lanes.load_int(&low[r]));
        if G::SPLIT {
            let both = lanes.mul(dot, low_scale);
            let both = lanes.fma(lanes.to_float(lanes.load_int(&high[r])), high_scale, both);
            sums[r] = lanes.fma(both, lanes.splat(scale), sums[r]);
        } else {
            let dot = lanes.mul(dot, lanes.splat(scale));
            sums[r] = lanes.fma(dot, low_scale, sums[r]);
        }
        if G::MINIMUM && G::SPLIT {
            let [low_sum, high_sum] = rows.sums[r].map(|sum| sum as f32);
            sums[r] = lanes.fma(low_minimum, lanes.splat(scale * low_sum), sums[r]);
            sums[r] = lanes.fma(high_minimum, lanes.splat(scale * high_sum), sums[r]);
        } else if G::MINIMUM {
            sums[r] = lanes.fma(low_minimum, lanes.splat(rows.offsets[r]), sums[r]);
        }
    });
}
