//! Inputs of a matrix product: f32 rows, and the same rows in 8 bits.
//!
//! `quantize` makes the codes.

mod quantize;

use std::ops::Range;

use crate::cpu::Tier;
pub use crate::lanes::GROUP;
use crate::lanes::SUPER_GROUPS;
use crate::matrix::{MATRIX_ROWS, WIDE, WideRows};
use crate::pool::Pool;
use quantize::Quantize;

/// So few rows are not worth another thread.
const ROWS_SERIAL: usize = 8;

/// Columns of a row that share one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Span {
    /// 32: a group.
    Group,
    /// 256: a super-block of weights whose scales are integers under one scale. Products with it are
    /// exact to its end.
    Super,
}

/// What is made of the f32 values for quantised weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codes {
    /// Nothing: the weights are floats.
    None,
    /// 8-bit codes: in each span of columns `value ≈ scale * code`, `code` in -127..=127,
    /// `scale = largest magnitude / 127`.
    Eight(Span),
    /// The same, and a second row of codes behind it for what the first leaves over, with scales
    /// of its own: the sum of both products is that of 16-bit activations.
    Sixteen(Span),
}

impl Span {
    /// How many.
    pub const fn columns(self) -> usize {
        match self {
            Span::Group => GROUP,
            Span::Super => SUPER_GROUPS * GROUP,
        }
    }
}

impl Codes {
    /// Rows of codes per row of values.
    pub const fn per_row(self) -> usize {
        match self {
            Codes::None => 0,
            Codes::Eight(_) => 1,
            Codes::Sixteen(_) => 2,
        }
    }

    /// Columns that share a scale; `None` without codes.
    pub const fn span(self) -> Option<Span> {
        match self {
            Codes::None => None,
            Codes::Eight(span) | Codes::Sixteen(span) => Some(span),
        }
    }
}

/// Rows of activations, `[rows, columns]`, as f32 and as 8-bit codes.
///
/// Codes stand in tiles of up to [`crate::Lanes::PRODUCT_ROWS`] rows, or 16 for matrix registers, in
/// each group by group, and in a group row by row: a product reads a tile from end to end. In tiles
/// of 16 rows with a scale per 256 columns two groups of a row stand together (`SuperTile`).
pub struct Activations {
    rows: usize,
    columns: usize,
    kind: Codes,
    tile_rows_max: usize,
    values: Vec<f32>,
    codes: Lines,
    /// One per row and group.
    scales: Vec<f32>,
    /// Two per row and group: sums of codes, which take off a weight's zero point.
    sums: Vec<i32>,
    /// One per row and group, which a minimum multiplies: sums of what the codes stand for; with a
    /// scale per 256 columns sums of the codes, which are exact.
    offsets: Vec<f32>,
    /// Those sums as codes, for a `SuperTile`.
    totals: Lines,
}

/// Bytes that begin with a cache line: a register that is loaded by rows of 64 bytes would
/// otherwise touch two lines for each.
#[derive(Default)]
struct Lines(Vec<i8>);

impl Lines {
    const BYTES: usize = 64;

    fn grow(&mut self, len: usize) {
        grow(&mut self.0, len + Self::BYTES, 0);
    }

    #[inline(always)]
    fn all(&self) -> &[i8] {
        &self.0[self.0.as_ptr().align_offset(Self::BYTES).min(self.0.len())..]
    }

    fn all_mut(&mut self) -> &mut [i8] {
        let start = self.0.as_ptr().align_offset(Self::BYTES).min(self.0.len());
        &mut self.0[start..]
    }
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
    /// `scale * sum of codes`, or the sum alone: see [`Activations`].
    pub offsets: &'a [f32; R],
}

/// [`MATRIX_ROWS`] rows of codes with a scale per 256 columns, as matrix registers take them.
#[derive(Clone, Copy)]
pub(crate) struct SuperTile<'a> {
    /// By 64 columns.
    pub codes: &'a [WideRows],
    /// The sums of every group's codes, two blocks for 256 columns: in each row 16 codes for a
    /// group, of which the first eight count four times.
    pub totals: &'a [WideRows],
    /// By groups; equal within 256 columns.
    pub scales: &'a [[f32; MATRIX_ROWS]],
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
    /// Empty where they are not needed.
    totals: &'a mut [i8],
}

impl Default for Activations {
    fn default() -> Self {
        Self {
            rows: 0,
            columns: 0,
            kind: Codes::None,
            tile_rows_max: 1,
            values: Vec::new(),
            codes: Lines::default(),
            scales: Vec::new(),
            sums: Vec::new(),
            offsets: Vec::new(),
            totals: Lines::default(),
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

    /// What was made of the values.
    pub fn codes(&self) -> Codes {
        self.kind
    }

    /// `[rows, columns]`
    pub fn values(&self) -> &[f32] {
        &self.values[..self.rows * self.columns]
    }

    /// Rows of codes that stand side by side in the tile that begins at row `row` of them. Where they
    /// are more than are left, those behind the last mean nothing.
    #[inline(always)]
    pub(crate) fn tile_rows(&self, row: usize) -> usize {
        tile_rows(self.code_rows() - row, self.tile_rows_max, self.kind)
    }

    /// Rows of codes in tiles of [`MATRIX_ROWS`], which are the first.
    #[inline(always)]
    pub(crate) fn matrix_rows(&self) -> usize {
        let mut row = self.code_rows() / MATRIX_ROWS * MATRIX_ROWS;
        if row < self.code_rows() && self.tile_rows(row) == MATRIX_ROWS {
            row += MATRIX_ROWS;
        }
        if self.tile_rows_max == MATRIX_ROWS { row } else { 0 }
    }

    /// Rows of codes in all tiles.
    fn tiled_rows(&self) -> usize {
        let mut row = self.code_rows() / self.tile_rows_max * self.tile_rows_max;
        while row < self.code_rows() {
            row += self.tile_rows(row);
        }
        row
    }

    /// The tile of `R` rows of codes that begins at `row`; `R` is [`Activations::tile_rows`].
    #[inline(always)]
    pub(crate) fn code_tile<const R: usize>(&self, row: usize) -> CodeTile<'_, R> {
        let groups = self.columns / GROUP;
        CodeTile {
            codes: self.codes.all()[row * self.columns..][..R * self.columns]
                .as_chunks()
                .0
                .as_chunks()
                .0,
            scales: self.scales[row * groups..][..R * groups].as_chunks().0,
            sums: self.sums[2 * row * groups..][..2 * R * groups].as_chunks().0.as_chunks().0,
            offsets: self.offsets[row * groups..][..R * groups].as_chunks().0,
        }
    }

    /// The tile of rows of codes that begins at `row`, where [`Activations::tile_rows`] are 16 and a
    /// scale spans 256 columns.
    #[inline(always)]
    pub(crate) fn super_tile(&self, row: usize) -> SuperTile<'_> {
        let tile = self.code_tile::<MATRIX_ROWS>(row);
        let totals = row / MATRIX_ROWS * self.totals_per_tile();
        SuperTile {
            codes: tile.codes.as_flattened().as_flattened().as_chunks().0.as_chunks().0,
            totals: self.totals.all()[totals..][..self.totals_per_tile()]
                .as_chunks()
                .0
                .as_chunks()
                .0,
            scales: tile.scales,
        }
    }

    /// Bytes of a tile's [`SuperTile::totals`].
    fn totals_per_tile(&self) -> usize {
        self.columns / (SUPER_GROUPS * GROUP) * 2 * MATRIX_ROWS * WIDE
    }

    /// Fills `rows` rows of `columns` columns: `fill(row, out)` writes the f32 values, and `kind`
    /// of codes is made of them (`columns` is then a multiple of its span).
    pub fn fill(
        &mut self,
        pool: &Pool,
        tier: Tier,
        (rows, columns): (usize, usize),
        kind: Codes,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let span = kind.span().map_or(1, Span::columns);
        assert!(columns.is_multiple_of(span), "columns that share a scale");
        (self.rows, self.columns, self.kind) = (rows, columns, kind);
        self.tile_rows_max = tier.product_rows();
        let coded = self.tiled_rows() * columns;
        grow(&mut self.values, rows * columns, 0.0);
        self.codes.grow(coded);
        grow(&mut self.scales, coded / GROUP, 0.0);
        grow(&mut self.sums, coded / (GROUP / 2), 0);
        grow(&mut self.offsets, coded / GROUP, 0.0);
        let matrix = kind.span() == Some(Span::Super) && self.tile_rows_max == MATRIX_ROWS;
        if matrix {
            let len = self.matrix_rows() / MATRIX_ROWS * self.totals_per_tile();
            self.totals.grow(len);
        }
        let run = |mut tile: RowTile<'_>| {
            for (offset, values) in tile.values.chunks_exact_mut(columns).enumerate() {
                fill(tile.index + offset, values);
                let row = offset * kind.per_row();
                tier.run(Quantize { values, out: &mut tile.coded, row, kind });
            }
        };
        let tiles = self.split(matrix);
        if rows <= ROWS_SERIAL {
            tiles.into_iter().for_each(run);
        } else {
            pool.for_each(tiles, run);
        }
    }

    /// Tiles of rows of codes, or of values where there are none; `matrix`: the widest tiles are
    /// read as [`SuperTile`].
    fn split(&mut self, matrix: bool) -> Vec<RowTile<'_>> {
        let groups = self.columns / GROUP;
        let per_row = self.kind.per_row();
        let totals_len = if matrix { self.totals_per_tile() } else { 0 };
        let mut values = &mut self.values[..];
        let mut codes = self.codes.all_mut();
        let mut scales = &mut self.scales[..];
        let mut sums = &mut self.sums[..];
        let mut offsets = &mut self.offsets[..];
        let mut totals = self.totals.all_mut();
        let mut tiles = Vec::new();
        let mut index = 0;
        while index < self.rows {
            let left = (self.rows - index) * per_row.max(1);
            let wide = tile_rows(left, self.tile_rows_max, self.kind);
            let coded = if per_row == 0 { 0 } else { wide };
            let count = wide.min(left) / per_row.max(1);
            tiles.push(RowTile {
                index,
                values: take(&mut values, count * self.columns),
                coded: CodedTile {
                    rows: coded,
                    codes: take(&mut codes, coded * self.columns),
                    scales: take(&mut scales, coded * groups),
                    sums: take(&mut sums, 2 * coded * groups),
                    offsets: take(&mut offsets, coded * groups),
                    totals: take(&mut totals, if coded == MATRIX_ROWS { totals_len } else { 0 }),
                },
            });
            index += count;
        }
        tiles
    }
}

/// Rows of the next tile when `left` are left and a tile has at most `max`: the widths that
/// products are compiled for. A tile that is not full is the last, and sooner done than several of
/// fewer rows.
#[inline(always)]
fn tile_rows(left: usize, max: usize, kind: Codes) -> usize {
    let matrix = max == MATRIX_ROWS && kind.span() == Some(Span::Super);
    match left {
        9.. if matrix => MATRIX_ROWS,
        5..=7 if max >= 8 => 8,
        3 if max >= 8 => 4,
        _ => [16, 8, 4, 2].into_iter().find(|&rows| rows <= max && rows <= left).unwrap_or(1),
    }
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
