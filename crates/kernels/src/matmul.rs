//! The matrix product: rows of activations times a packed weight matrix, transposed.
//!
//! One body serves every row count. A tile unpacks a group of 32 columns of 16 weight rows into
//! registers once and multiplies it with up to eight rows of activations. Each output is summed
//! in the same order whatever the number of rows and whatever the tier, so a row's result does
//! not depend on the rows beside it.

mod forms;

use crate::activations::{Activations, GROUP};
use crate::cpu::Tier;
use crate::disjoint::DisjointRows;
use crate::lanes::{Bf16Form, ElementForm, F16Form, F32Form, Kernel, Lanes, PANEL_ROWS};
use crate::packed::{Form, PackedMatrix};
use crate::pool::Pool;
use forms::{GroupForm, GroupScales};
use phial_tensor::DType;

/// Bytes of weights that a tile may keep in the second-level cache while it walks the rows.
const TILE_BYTES_MAX: usize = 256 * 1024;

/// Tiles per thread that make an even split likely when a core is lost.
const TILES_PER_THREAD: usize = 8;

/// With so few rows a tile waits for memory and not for arithmetic, and asks for weights this many
/// bytes ahead: the processor's own prefetch stops at every page.
const FEW_ROWS: usize = 2;
const PREFETCH_BYTES: usize = 4096;

/// One weight matrix of a product and where its outputs go.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// `[outputs, inputs]`
    pub weights: &'a PackedMatrix,
    /// The column of the output rows at which its first output stands.
    pub column: usize,
}

/// For each row of `input` and each product: `out[row][column..] = weights * input[row]`. All
/// products share one pass over the threads. Quantised weights are multiplied with rows of codes:
/// with [`crate::activations::Codes::Sixteen`] the products of what was left over stand behind
/// all others, for the caller to add.
///
/// # Panics
/// When a matrix's inputs are not the activations' columns.
pub fn matmul(
    pool: &Pool,
    tier: Tier,
    products: &[Product<'_>],
    input: &Activations,
    out: DisjointRows<'_>,
) {
    let mut tiles = Vec::new();
    let panels: usize = products.iter().map(|product| product.weights.panels()).sum();
    let share = panels.div_ceil(pool.threads() * TILES_PER_THREAD).max(1);
    for product in products {
        let weights = product.weights;
        assert_eq!(weights.columns(), input.columns(), "inputs of a matrix product");
        let bytes = (weights.bytes() / weights.panels().max(1)).max(1);
        let step = share.min((TILE_BYTES_MAX / bytes).max(1));
        let mut first = 0;
        while first < weights.panels() {
            let end = (first + step).min(weights.panels());
            tiles.push(Tile { product: *product, first, end, input, out });
            first = end;
        }
    }
    pool.run(tiles.len(), |index| tier.run(tiles[index]));
}

#[derive(Clone, Copy)]
struct Tile<'a> {
    product: Product<'a>,
    first: usize,
    end: usize,
    input: &'a Activations,
    out: DisjointRows<'a>,
}

impl Kernel for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match self.product.weights.form() {
            Form::Float(DType::F32) => self.float::<L, F32Form>(lanes),
            Form::Float(DType::BF16) => self.float::<L, Bf16Form>(lanes),
            Form::Float(_) => self.float::<L, F16Form>(lanes),
            Form::Nibble => self.quantized::<L, forms::Nibble>(lanes),
            Form::NibbleMin => self.quantized::<L, forms::NibbleMin>(lanes),
            Form::NibbleSuper => self.quantized::<L, forms::NibbleSuper>(lanes),
            Form::FiveSuper => self.quantized::<L, forms::FiveSuper>(lanes),
            Form::SixSuper => self.quantized::<L, forms::SixSuper>(lanes),
            Form::Byte => self.quantized::<L, forms::Byte>(lanes),
            Form::ByteMin => self.quantized::<L, forms::ByteMin>(lanes),
        }
    }
}

impl Tile<'_> {
    #[inline(always)]
    fn quantized<L: Lanes, G: GroupForm>(self, lanes: L) {
        let rows = self.input.code_rows();
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let wide = L::COUNT >= 16;
            let step = if wide && left >= 8 {
                self.quantized_rows::<L, G, 8>(lanes, row)
            } else if left >= 4 {
                self.quantized_rows::<L, G, 4>(lanes, row)
            } else if left >= 2 {
                self.quantized_rows::<L, G, 2>(lanes, row)
            } else {
                self.quantized_rows::<L, G, 1>(lanes, row)
            };
            row += step;
        }
    }

    /// `R` rows from `row` on with every panel of the tile; returns `R`.
    #[inline(always)]
    fn quantized_rows<L: Lanes, G: GroupForm, const R: usize>(self, lanes: L, row: usize) -> usize {
        let rows: [_; R] = std::array::from_fn(|r| self.input.quantized_row(row + r));
        for panel in self.first..self.end {
            let (codes, scales) = self.product.weights.panel(panel);
            let mut sums = [[0.0_f32; PANEL_ROWS]; R];
            for lane in (0..PANEL_ROWS).step_by(L::COUNT) {
                let lane_sums = panel_lanes::<L, G, R>(lanes, codes, scales, &rows, lane);
                for (sums, value) in sums.iter_mut().zip(lane_sums) {
                    lanes.store(value, &mut sums[lane..]);
                }
            }
            self.store(panel, row, &sums);
        }
        R
    }

    #[inline(always)]
    fn store<const R: usize>(&self, panel: usize, row: usize, sums: &[[f32; PANEL_ROWS]; R]) {
        let first = panel * PANEL_ROWS;
        let count = PANEL_ROWS.min(self.product.weights.rows() - first);
        for (r, sums) in sums.iter().enumerate() {
            self.out.store(row + r, self.product.column + first, &sums[..count]);
        }
    }

    #[inline(always)]
    fn float<L: Lanes, E: ElementForm>(self, lanes: L) {
        let rows = self.input.rows();
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let step = if left >= 8 {
                self.float_rows::<L, E, 8>(lanes, row)
            } else if left >= 4 {
                self.float_rows::<L, E, 4>(lanes, row)
            } else if left >= 2 {
                self.float_rows::<L, E, 2>(lanes, row)
            } else {
                self.float_rows::<L, E, 1>(lanes, row)
            };
            row += step;
        }
    }

    #[inline(always)]
    fn float_rows<L: Lanes, E: ElementForm, const R: usize>(self, lanes: L, row: usize) -> usize {
        let columns = self.input.columns();
        let values = self.input.values();
        let rows: [&[f32]; R] = std::array::from_fn(|r| &values[(row + r) * columns..][..columns]);
        for panel in self.first..self.end {
            let (codes, _) = self.product.weights.panel(panel);
            let mut sums = [[0.0_f32; PANEL_ROWS]; R];
            for lane in (0..PANEL_ROWS).step_by(L::COUNT) {
                // Two sums, of even and of odd columns, hide the latency of the multiply-add.
                let mut even = [lanes.splat(0.0); R];
                let mut odd = [lanes.splat(0.0); R];
                let stride = PANEL_ROWS * E::SIZE;
                let mut pairs = codes[..columns * stride].chunks_exact(2 * stride);
                for (pair, bytes) in (&mut pairs).enumerate() {
                    let first = E::load(lanes, &bytes[lane * E::SIZE..stride]);
                    let second = E::load(lanes, &bytes[stride + lane * E::SIZE..]);
                    for r in 0..R {
                        let two = &rows[r][2 * pair..2 * pair + 2];
                        even[r] = lanes.fma(first, lanes.splat(two[0]), even[r]);
                        odd[r] = lanes.fma(second, lanes.splat(two[1]), odd[r]);
                    }
                }
                if columns % 2 == 1 {
                    let last = E::load(lanes, &pairs.remainder()[lane * E::SIZE..]);
                    for r in 0..R {
                        even[r] = lanes.fma(last, lanes.splat(rows[r][columns - 1]), even[r]);
                    }
                }
                for r in 0..R {
                    lanes.store(lanes.add(even[r], odd[r]), &mut sums[r][lane..]);
                }
            }
            self.store(panel, row, &sums);
        }
        R
    }
}

type QuantizedRow<'a> = (&'a [i8], &'a [f32], &'a [i32]);

/// The same by groups: 32 codes, one scale, the sums of both halves.
type GroupedRow<'a> = (&'a [[i8; GROUP]], &'a [f32], &'a [[i32; 2]]);

/// The dot products of `R` rows of activations with the weight rows `lane..lane + COUNT`.
#[inline(always)]
fn panel_lanes<L: Lanes, G: GroupForm, const R: usize>(
    lanes: L,
    codes: &[u8],
    scales: &[u8],
    rows: &[QuantizedRow<'_>; R],
    lane: usize,
) -> [L::F; R] {
    let zero = if G::WIDE { L::WIDE_OFFSET } else { G::ZERO };
    let mut sums = [lanes.splat(0.0); R];
    let groups = codes.len() / G::CODE_BYTES;
    // Equal lengths, said once: the loops below need no checks and unroll.
    let rows: [GroupedRow<'_>; R] = std::array::from_fn(|r| {
        let (codes, scales, sums) = rows[r];
        (&codes.as_chunks().0[..groups], &scales[..groups], &sums.as_chunks().0[..groups])
    });
    for group in 0..groups {
        let codes = &codes[group * G::CODE_BYTES..][..G::CODE_BYTES];
        if R <= FEW_ROWS && lane == 0 {
            for line in (0..G::CODE_BYTES).step_by(64) {
                lanes.prefetch(codes, PREFETCH_BYTES + line);
            }
        }
        let codes = G::codes(lanes, codes, lane);
        let weight = G::scales(lanes, scales, group, lane);
        for r in 0..R {
            let (row, row_scales, row_sums) = rows[r];
            let (row, scale) = (&row[group], row_scales[group]);
            let [low_sum, high_sum] = row_sums[group];
            sums[r] = if G::SPLIT {
                let low = half_dot::<L, G>(lanes, &codes, row, 0, -zero * low_sum);
                let high = half_dot::<L, G>(lanes, &codes, row, 4, -zero * high_sum);
                let scale_lanes = lanes.splat(scale);
                let low = lanes.mul(lanes.to_float(low), scale_lanes);
                let high = lanes.mul(lanes.to_float(high), scale_lanes);
                let sum = lanes.fma(low, weight.low, sums[r]);
                lanes.fma(high, weight.high, sum)
            } else {
                let start = -zero * (low_sum + high_sum);
                let dot = half_dot::<L, G>(lanes, &codes, row, 0, start);
                let dot = add_half_dot::<L, G>(lanes, &codes, row, 4, dot);
                lanes.fma(lanes.mul(lanes.to_float(dot), lanes.splat(scale)), weight.low, sums[r])
            };
            if G::MINIMUM {
                sums[r] = add_minimum::<L, G>(lanes, &weight, scale, (low_sum, high_sum), sums[r]);
            }
        }
    }
    sums
}

#[inline(always)]
fn half_dot<L: Lanes, G: GroupForm>(
    lanes: L,
    codes: &[L::B; 8],
    row: &[i8; GROUP],
    first: usize,
    start: i32,
) -> L::I {
    add_half_dot::<L, G>(lanes, codes, row, first, lanes.splat_int(start))
}

/// Adds the products of vectors `first..first + 4`.
#[inline(always)]
fn add_half_dot<L: Lanes, G: GroupForm>(
    lanes: L,
    codes: &[L::B; 8],
    row: &[i8; GROUP],
    first: usize,
    start: L::I,
) -> L::I {
    let mut sum = start;
    for vector in first..first + 4 {
        let four = &row[4 * vector..4 * vector + 4];
        let four = i32::from_le_bytes([four[0] as u8, four[1] as u8, four[2] as u8, four[3] as u8]);
        sum = if G::WIDE {
            lanes.dot_wide(sum, codes[vector], four)
        } else {
            lanes.dot(sum, codes[vector], four)
        };
    }
    sum
}

/// A weight's minimum times the sum of the activations.
#[inline(always)]
fn add_minimum<L: Lanes, G: GroupForm>(
    lanes: L,
    weight: &GroupScales<L>,
    scale: f32,
    (low_sum, high_sum): (i32, i32),
    sum: L::F,
) -> L::F {
    if G::SPLIT {
        let low = lanes.splat(scale * low_sum as f32);
        let high = lanes.splat(scale * high_sum as f32);
        let sum = lanes.fma(weight.low_minimum, low, sum);
        lanes.fma(weight.high_minimum, high, sum)
    } else {
        let whole = lanes.splat(scale * (low_sum + high_sum) as f32);
        lanes.fma(weight.low_minimum, whole, sum)
    }
}
