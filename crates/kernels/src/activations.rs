//! Inputs of a matrix product: f32 rows, and the same rows in 8 bits.

use std::ops::Range;

use crate::cpu::Tier;
pub use crate::lanes::GROUP;
use crate::lanes::{Kernel, Lanes};
use crate::pool::Pool;

/// So few rows are not worth another thread.
const ROWS_SERIAL: usize = 8;

/// What is made of the f32 values for quantised weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codes {
    /// Nothing: the weights are floats.
    None,
    /// 8-bit codes: per group of 32 columns `value ≈ scale * code`, `code` in -127..=127,
    /// `scale = largest magnitude / 127`.
    Eight,
    /// The same, and a second row of codes behind it for what the first leaves over, with scales
    /// of its own: the sum of both products is that of 16-bit activations.
    Sixteen,
}

impl Codes {
    /// Rows of codes per row of values.
    pub const fn per_row(self) -> usize {
        match self {
            Codes::None => 0,
            Codes::Eight => 1,
            Codes::Sixteen => 2,
        }
    }
}

/// Rows of activations, `[rows, columns]`, as f32 and as 8-bit codes.
///
/// Codes stand in tiles of up to [`Lanes::PRODUCT_ROWS`] rows, or 16 for matrix registers, in each group by group, and in a
/// group row by row: a product reads a tile from end to end.
pub struct Activations {
    rows: usize,
    columns: usize,
    kind: Codes,
    tile_rows_max: usize,
    values: Vec<f32>,
    codes: Vec<i8>,
    /// One per row and group.
    scales: Vec<f32>,
    /// Two per row and group: sums of codes, which take off a weight's zero point.
    sums: Vec<i32>,
    /// One per row and group: sums of what the codes stand for, which a minimum multiplies.
    offsets: Vec<f32>,
}

/// `R` rows of codes side by side, by groups of 32 columns.
#[derive(Clone, Copy)]
pub(crate) struct CodeTile<'a, const R: usize> {
    pub codes: &'a [[[i8; GROUP]; R]],
    scales: &'a [[f32; R]],
    sums: &'a [[[i32; 2]; R]],
    offsets: &'a [[f32; R]],
}

/// One group of the rows of a [`CodeTile`].
pub(crate) struct RowGroups<'a, const R: usize> {
    pub codes: &'a [[i8; GROUP]; R],
    /// `value ≈ scale * code`
    pub scales: &'a [f32; R],
    /// Sums of the codes of both halves.
    pub sums: &'a [[i32; 2]; R],
    /// `scale * sum of codes`
    pub offsets: &'a [f32; R],
}

impl<'a, const R: usize> CodeTile<'a, R> {
    /// Some of its groups. Says once that all parts have this length: loops over them then need no
    /// checks.
    #[inline(always)]
    pub fn part(self, groups: Range<usize>) -> Self {
        Self {
            codes: &self.codes[groups.clone()],
            scales: &self.scales[groups.clone()],
            sums: &self.sums[groups.clone()],
            offsets: &self.offsets[groups],
        }
    }

    #[inline(always)]
    pub fn group(&self, index: usize) -> RowGroups<'a, R> {
        RowGroups {
            codes: &self.codes[index],
            scales: &self.scales[index],
            sums: &self.sums[index],
            offsets: &self.offsets[index],
        }
    }
}

/// Some rows on their way in: where their parts go.
struct RowTile<'a> {
    /// Of the first row of values.
    index: usize,
    values: &'a mut [f32],
    coded: CodedTile<'a>,
}

/// The parts of [`CodeTile`] for a number of rows that is known late.
struct CodedTile<'a> {
    rows: usize,
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i32],
    offsets: &'a mut [f32],
}

impl Default for Activations {
    fn default() -> Self {
        Self {
            rows: 0,
            columns: 0,
            kind: Codes::None,
            tile_rows_max: 1,
            values: Vec::new(),
            codes: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
            offsets: Vec::new(),
        }
    }
}

impl Activations {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows of codes: none, one or two per row of values.
    pub fn code_rows(&self) -> usize {
        self.rows * self.kind.per_row()
    }

    /// `[rows, columns]`
    pub fn values(&self) -> &[f32] {
        &self.values[..self.rows * self.columns]
    }

    /// Rows of codes that stand side by side in the tile that begins at row `row` of them.
    #[inline(always)]
    pub(crate) fn tile_rows(&self, row: usize) -> usize {
        tile_rows(self.code_rows() - row, self.tile_rows_max)
    }

    /// The tile of `R` rows of codes that begins at `row`; `R` is [`Activations::tile_rows`].
    #[inline(always)]
    pub(crate) fn code_tile<const R: usize>(&self, row: usize) -> CodeTile<'_, R> {
        let groups = self.columns / GROUP;
        CodeTile {
            codes: self.codes[row * self.columns..][..R * self.columns].as_chunks().0.as_chunks().0,
            scales: self.scales[row * groups..][..R * groups].as_chunks().0,
            sums: self.sums[2 * row * groups..][..2 * R * groups].as_chunks().0.as_chunks().0,
            offsets: self.offsets[row * groups..][..R * groups].as_chunks().0,
        }
    }

    /// Fills `rows` rows of `columns` columns: `fill(row, out)` writes the f32 values, and `kind`
    /// of codes is made of them (`columns` is then a multiple of 32).
    pub fn fill(
        &mut self,
        pool: &Pool,
        tier: Tier,
        (rows, columns): (usize, usize),
        kind: Codes,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        assert!(kind == Codes::None || columns.is_multiple_of(GROUP));
        (self.rows, self.columns, self.kind) = (rows, columns, kind);
        let coded = self.code_rows() * columns;
        grow(&mut self.values, rows * columns, 0.0);
        grow(&mut self.codes, coded, 0);
        grow(&mut self.scales, coded / GROUP, 0.0);
        grow(&mut self.sums, coded / (GROUP / 2), 0);
        grow(&mut self.offsets, coded / GROUP, 0.0);
        self.tile_rows_max = tier.product_rows();
        let run = |mut tile: RowTile<'_>| {
            for (offset, values) in tile.values.chunks_exact_mut(columns).enumerate() {
                fill(tile.index + offset, values);
                if kind != Codes::None {
                    let (row, sixteen) = (offset * kind.per_row(), kind == Codes::Sixteen);
                    tier.run(Quantize { values, out: &mut tile.coded, row, sixteen });
                }
            }
        };
        let tiles = self.split();
        if rows <= ROWS_SERIAL {
            tiles.into_iter().for_each(run);
        } else {
            pool.for_each(tiles, run);
        }
    }

    /// Tiles of rows of codes, or of values where there are none.
    fn split(&mut self) -> Vec<RowTile<'_>> {
        let groups = self.columns / GROUP;
        let per_row = self.kind.per_row();
        let mut values = &mut self.values[..];
        let mut codes = &mut self.codes[..];
        let mut scales = &mut self.scales[..];
        let mut sums = &mut self.sums[..];
        let mut offsets = &mut self.offsets[..];
        let mut tiles = Vec::new();
        let mut index = 0;
        while index < self.rows {
            let left = (self.rows - index) * per_row.max(1);
            let wide = tile_rows(left, self.tile_rows_max);
            let coded = if per_row == 0 { 0 } else { wide };
            let count = wide / per_row.max(1);
            tiles.push(RowTile {
                index,
                values: take(&mut values, count * self.columns),
                coded: CodedTile {
                    rows: coded,
                    codes: take(&mut codes, coded * self.columns),
                    scales: take(&mut scales, coded * groups),
                    sums: take(&mut sums, 2 * coded * groups),
                    offsets: take(&mut offsets, coded * groups),
                },
            });
            index += count;
        }
        tiles
    }
}

/// Rows of the next tile when `left` are left and a tile has at most `max`: the widths that
/// products are compiled for.
#[inline(always)]
fn tile_rows(left: usize, max: usize) -> usize {
    [16, 8, 4, 2].into_iter().find(|&rows| rows <= max && rows <= left).unwrap_or(1)
}

/// Splits off the first `len` of `rest`.
fn take<'a, T>(rest: &mut &'a mut [T], len: usize) -> &'a mut [T] {
    let (first, last) = std::mem::take(rest).split_at_mut(len);
    *rest = last;
    first
}

fn grow<T: Clone>(buffer: &mut Vec<T>, len: usize, value: T) {
    if buffer.len() < len {
        buffer.resize(len, value);
    }
}

/// Codes of one row of values: row `row` of a tile and, for 16 bits, the one behind it.
struct Quantize<'a, 'b> {
    values: &'a [f32],
    out: &'a mut CodedTile<'b>,
    row: usize,
    sixteen: bool,
}

impl Kernel for Quantize<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        for (index, group) in self.values.as_chunks().0.iter().enumerate() {
            let quantized = quantize_group(lanes, group);
            self.out.put(index, self.row, &quantized);
            if self.sixteen {
                let rest = quantize_group(lanes, &quantized.rest(group));
                self.out.put(index, self.row + 1, &rest);
            }
        }
    }
}

impl CodedTile<'_> {
    #[inline(always)]
    fn put(&mut self, index: usize, row: usize, group: &QuantizedGroup) {
        let at = index * self.rows + row;
        self.codes[at * GROUP..][..GROUP].copy_from_slice(&group.codes);
        self.scales[at] = group.scale;
        self.sums[2 * at..][..2].copy_from_slice(&group.sums);
        self.offsets[at] = group.scale * (group.sums[0] + group.sums[1]) as f32;
    }
}

/// 32 values in 8 bits: `value ≈ scale * code`.
#[derive(Clone, Copy)]
pub(crate) struct QuantizedGroup {
    pub codes: [i8; GROUP],
    pub scale: f32,
    /// Sums of the codes of both halves.
    pub sums: [i32; 2],
}

impl QuantizedGroup {
    /// What the codes leave over of `values`.
    #[inline(always)]
    pub fn rest(&self, values: &[f32; GROUP]) -> [f32; GROUP] {
        let mut rest = [0.0; GROUP];
        for ((rest, value), code) in rest.iter_mut().zip(values).zip(self.codes) {
            *rest = f32::from(code).mul_add(-self.scale, *value);
        }
        rest
    }
}

/// Codes of one group.
#[inline(always)]
pub(crate) fn quantize_group<L: Lanes>(lanes: L, values: &[f32; GROUP]) -> QuantizedGroup {
    let mut largest = lanes.splat(0.0);
    for part in values.chunks_exact(L::COUNT) {
        largest = lanes.max(lanes.abs(lanes.load(part)), largest);
    }
    let largest = lanes.largest(largest);
    let scale = largest / 127.0;
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let inverse = lanes.splat(if inverse.is_finite() { inverse } else { 0.0 });
    let (mut codes, mut sums) = ([0; GROUP], [0; 2]);
    let parts = values.chunks_exact(L::COUNT).zip(codes.chunks_exact_mut(L::COUNT));
    for (part, (values, codes)) in parts.enumerate() {
        let sum = lanes.store_i8(lanes.mul(lanes.load(values), inverse), codes);
        sums[part * L::COUNT / 16] += sum;
    }
    QuantizedGroup { codes, scale, sums }
}
