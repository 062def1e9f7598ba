//! Inputs of a matrix product: f32 rows, and the same rows in 8 bits.

use crate::cpu::Tier;
use crate::lanes::{Kernel, Lanes};
use crate::pool::Pool;

/// Columns that share one scale.
pub const GROUP: usize = 32;

/// Rows of work that are worth another thread.
const ROWS_PER_TILE: usize = 8;

/// What is made of the f32 values for quantised weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codes {
    /// Nothing: the weights are floats.
    None,
    /// 8-bit codes: per group of 32 columns `value ≈ scale * code`, `code` in -127..=127,
    /// `scale = largest magnitude / 127`.
    Eight,
    /// The same, and a second row of codes for what the first leaves over, with scales of its own:
    /// the sum of both products is that of 16-bit activations.
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
pub struct Activations {
    rows: usize,
    columns: usize,
    kind: Codes,
    values: Vec<f32>,
    codes: Vec<i8>,
    /// `[code rows, columns / 32]`; left-over rows stand behind all first ones.
    scales: Vec<f32>,
    /// `[code rows, columns / 16]`: sums of codes, which take off a weight's zero point.
    sums: Vec<i32>,
    /// `[code rows, columns / 32]`: sums of what the codes stand for, which a minimum multiplies.
    offsets: Vec<f32>,
}

/// A row of codes by groups of 32.
#[derive(Clone, Copy)]
pub(crate) struct GroupedRow<'a> {
    pub codes: &'a [[i8; GROUP]],
    /// `value ≈ scale * code`
    pub scales: &'a [f32],
    /// Sums of the codes of both halves.
    pub sums: &'a [[i32; 2]],
    /// `scale * sum of codes`
    pub offsets: &'a [f32],
}

/// One row on its way in: where its parts go.
struct Row<'a> {
    index: usize,
    values: &'a mut [f32],
    first: CodedRow<'a>,
    rest: Option<CodedRow<'a>>,
}

struct CodedRow<'a> {
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

    /// The 8-bit form of `row`.
    #[inline(always)]
    pub(crate) fn grouped_row(&self, row: usize) -> GroupedRow<'_> {
        let groups = self.columns / GROUP;
        let codes = &self.codes[row * self.columns..][..self.columns];
        GroupedRow {
            codes: codes.as_chunks().0,
            scales: &self.scales[row * groups..][..groups],
            sums: self.sums[2 * row * groups..][..2 * groups].as_chunks().0,
            offsets: &self.offsets[row * groups..][..groups],
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
        let run = |row: Row<'_>| {
            fill(row.index, row.values);
            if kind != Codes::None {
                tier.run(Quantize { values: row.values, out: row.first, rest: row.rest });
            }
        };
        let parts = self.split();
        if rows <= ROWS_PER_TILE {
            parts.for_each(run);
        } else {
            let mut tiles: Vec<Vec<Row<'_>>> = Vec::new();
            for row in parts {
                match tiles.last_mut() {
                    Some(tile) if tile.len() < ROWS_PER_TILE => tile.push(row),
                    _ => tiles.push(vec![row]),
                }
            }
            pool.for_each(tiles, |tile| tile.into_iter().for_each(&run));
        }
    }

    fn split(&mut self) -> impl Iterator<Item = Row<'_>> {
        let (rows, columns) = (self.rows, self.columns);
        let coded = self.code_rows() * columns;
        let mut code_rows = self.codes[..coded]
            .chunks_mut(columns.max(1))
            .zip(self.scales[..coded / GROUP].chunks_mut((columns / GROUP).max(1)))
            .zip(self.sums[..coded / 16].chunks_mut((columns / 16).max(1)))
            .zip(self.offsets[..coded / GROUP].chunks_mut((columns / GROUP).max(1)))
            .map(|(((codes, scales), sums), offsets)| CodedRow { codes, scales, sums, offsets });
        let first: Vec<_> = code_rows.by_ref().take(rows).collect();
        let mut first = first.into_iter();
        let empty =
            || CodedRow { codes: &mut [], scales: &mut [], sums: &mut [], offsets: &mut [] };
        self.values[..rows * columns].chunks_mut(columns).enumerate().map(move |(index, values)| {
            let first = first.next().unwrap_or_else(empty);
            Row { index, values, first, rest: code_rows.next() }
        })
    }
}

fn grow<T: Clone>(buffer: &mut Vec<T>, len: usize, value: T) {
    if buffer.len() < len {
        buffer.resize(len, value);
    }
}

struct Quantize<'a> {
    values: &'a [f32],
    out: CodedRow<'a>,
    rest: Option<CodedRow<'a>>,
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { values, mut out, mut rest } = self;
        for (index, group) in values.as_chunks().0.iter().enumerate() {
            let quantized = quantize_group(lanes, group);
            if let Some(rest) = &mut rest {
                rest.put(index, &quantize_group(lanes, &quantized.rest(group)));
            }
            out.put(index, &quantized);
        }
    }
}

impl CodedRow<'_> {
    fn put(&mut self, index: usize, group: &QuantizedGroup) {
        self.codes[index * GROUP..][..GROUP].copy_from_slice(&group.codes);
        self.scales[index] = group.scale;
        self.sums[2 * index..][..2].copy_from_slice(&group.sums);
        self.offsets[index] = group.scale * (group.sums[0] + group.sums[1]) as f32;
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
