//! The matrix product: rows of activations times a packed weight matrix, transposed.
//!
//! One body serves every row count. A tile unpacks a vector of codes, four columns of 16 weight
//! rows, once and multiplies it with up to twelve rows of activations, whose sums stay in
//! registers. Each output is summed in the same order whatever the number of rows and whatever
//! the tier, so a row's result does not depend on the rows beside it.

mod forms;
mod matrix_rows;

use std::marker::PhantomData;
use std::ops::Range;

use crate::activations::{Activations, CodeTile, GROUP, RowGroups};
use crate::cpu::Tier;
use crate::disjoint::DisjointRows;
use crate::dot::{each_row, four_codes};
use crate::lanes::{Bf16Form, ElementForm, F16Form, F32Form, Kernel, Lanes, PANEL_ROWS};
use crate::matrix::MATRIX_ROWS;
use crate::packed::{Block, Form, PackedMatrix};
use crate::pool::Pool;
use forms::{GroupForm, GroupScales};
use matrix_rows::MatrixRows;
use phial_tensor::DType;

/// Bytes of weights that a tile may keep in the second-level cache while it walks the rows.
const TILE_BYTES_MAX: usize = 256 * 1024;

/// Tiles per thread that make an even split likely when a core is lost.
const TILES_PER_THREAD: usize = 8;

/// Groups of columns of a strip: the codes of eight rows take a third of the nearest cache.
const STRIP_GROUPS: usize = 32;

/// Panels that walk their strips together, their sums in the nearest cache.
const STRIP_PANELS: usize = 16;

/// Vectors of codes in half a group.
const FOUR: usize = 4;

/// One weight matrix of a product and where its outputs go.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// `[outputs, inputs]`
    pub weights: &'a PackedMatrix,
    /// The column of the output rows at which its first output stands.
    pub column: usize,
}

/// For each row of `input` and each product: `out[row][column..] = weights * input[row]`. All
/// products share one pass over the threads. Quantised weights are multiplied with rows of codes;
/// with [`crate::activations::Codes::Sixteen`] the products of both are added.
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
    pool.run(tiles.len(), |index| tiles[index].run(tier));
}

/// Like [`matmul`], for some panels (of 16 outputs) of one matrix, in order; other outputs stay as
/// they are. What is computed has the bits that it has in the whole product.
///
/// # Panics
/// When the matrix's inputs are not the activations' columns, or it has fewer panels.
pub fn matmul_panels(
    pool: &Pool,
    tier: Tier,
    product: Product<'_>,
    panels: &[Range<usize>],
    input: &Activations,
    out: DisjointRows<'_>,
) {
    let weights = product.weights;
    assert_eq!(weights.columns(), input.columns(), "inputs of a matrix product");
    assert!(panels.iter().all(|range| range.end <= weights.panels()), "panels of a matrix");
    let count: usize = panels.iter().map(Range::len).sum();
    let bytes = (weights.bytes() / weights.panels().max(1)).max(1);
    let share = count.div_ceil(pool.threads() * TILES_PER_THREAD).max(1);
    let step = share.min((TILE_BYTES_MAX / bytes).max(1));
    let mut tiles = Vec::new();
    for range in panels {
        for first in range.clone().step_by(step) {
            let end = (first + step).min(range.end);
            tiles.push(Tile { product, first, end, input, out });
        }
    }
    pool.run(tiles.len(), |index| tiles[index].run(tier));
}

#[derive(Clone, Copy)]
struct Tile<'a> {
    product: Product<'a>,
    first: usize,
    end: usize,
    input: &'a Activations,
    out: DisjointRows<'a>,
}

impl Tile<'_> {
    /// Every form and row count is a kernel of its own: one that held them all would take the
    /// compiler minutes.
    fn run(self, tier: Tier) {
        match self.product.weights.form() {
            Form::Float(DType::F32) => self.float::<F32Form>(tier),
            Form::Float(DType::BF16) => self.float::<Bf16Form>(tier),
            Form::Float(_) => self.float::<F16Form>(tier),
            Form::Nibble => self.quantized::<forms::Nibble>(tier),
            Form::NibbleMin => self.quantized::<forms::NibbleMin>(tier),
            Form::NibbleSuper => self.quantized::<forms::NibbleSuper>(tier),
            Form::FiveSuper => self.quantized::<forms::FiveSuper>(tier),
            Form::SixSuper => self.quantized::<forms::SixSuper>(tier),
            Form::Byte => self.quantized::<forms::Byte>(tier),
            Form::ByteMin => self.quantized::<forms::ByteMin>(tier),
        }
    }

    fn quantized<G: GroupForm>(self, tier: Tier) {
        let mut row = 0;
        while row < self.input.code_rows() {
            let rows = self.input.tile_rows(row);
            if rows == MATRIX_ROWS {
                row += self.matrix::<G>(tier, row);
                continue;
            }
            match rows {
                8 => tier.run(CodeRows::<G, 8>::new(self, row)),
                4 => tier.run(CodeRows::<G, 4>::new(self, row)),
                2 => tier.run(CodeRows::<G, 2>::new(self, row)),
                _ => tier.run(CodeRows::<G, 1>::new(self, row)),
            }
            row += rows;
        }
    }

    /// All whole tiles of matrix registers from row `first` on; gives back how many rows they have.
    fn matrix<G: GroupForm>(self, tier: Tier, first: usize) -> usize {
        let count = (self.input.code_rows() - first) / MATRIX_ROWS;
        tier.run_matrix(MatrixRows::<G> { tile: self, first, count, form: PhantomData });
        count * MATRIX_ROWS
    }

    fn float<E: ElementForm>(self, tier: Tier) {
        let mut row = 0;
        while row < self.input.rows() {
            row += match self.input.rows() - row {
                8.. => tier.run(FloatRows::<E, 8>::new(self, row)),
                4.. => tier.run(FloatRows::<E, 4>::new(self, row)),
                2.. => tier.run(FloatRows::<E, 2>::new(self, row)),
                _ => tier.run(FloatRows::<E, 1>::new(self, row)),
            };
        }
    }

    #[inline(always)]
    fn store(&self, panel: usize, row: usize, sums: &[[f32; PANEL_ROWS]]) {
        let first = panel * PANEL_ROWS;
        let count = PANEL_ROWS.min(self.product.weights.rows() - first);
        for (r, sums) in sums.iter().enumerate() {
            self.out.store(row + r, self.product.column + first, &sums[..count]);
        }
    }

    /// Stores sums of rows of codes; of 16 bits, every other row holds what the one before it left
    /// over.
    #[inline(always)]
    fn store_code_rows<const R: usize>(
        &self,
        panel: usize,
        row: usize,
        sums: &[[f32; PANEL_ROWS]; R],
    ) {
        if self.input.code_rows() == self.input.rows() {
            self.store(panel, row, sums);
            return;
        }
        let mut both = [[0.0_f32; PANEL_ROWS]; R];
        for (out, pair) in both.iter_mut().zip(sums.chunks_exact(2)) {
            *out = std::array::from_fn(|lane| pair[0][lane] + pair[1][lane]);
        }
        self.store(panel, row / 2, &both[..R / 2]);
    }
}

/// `R` rows of codes from `row` on with every panel of a tile of quantised weights.
struct CodeRows<'a, G, const R: usize> {
    tile: Tile<'a>,
    row: usize,
    form: PhantomData<G>,
}

impl<G: GroupForm, const R: usize> Kernel for CodeRows<'_, G, R> {
    type Output = ();

    /// The first rows read the weights from memory, panel by panel, end to end. All others walk
    /// the panels in strips of columns, so that their codes stay in the nearest cache.
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        // Tiles of rows are never wider than the tier's.
        if R > L::PRODUCT_ROWS {
            return;
        }
        let Tile { product, first, end, input, .. } = self.tile;
        let rows = input.code_tile::<R>(self.row);
        let groups = input.columns() / GROUP;
        let ahead = self.row == 0;
        let strip = if ahead { groups } else { STRIP_GROUPS.min(groups) };
        for first in (first..end).step_by(STRIP_PANELS) {
            let panels = first..(first + STRIP_PANELS).min(end);
            let mut sums = [[[0.0_f32; PANEL_ROWS]; R]; STRIP_PANELS];
            for start in (0..groups).step_by(strip.max(1)) {
                let part = start..(start + strip).min(groups);
                for (panel, sums) in panels.clone().zip(&mut sums) {
                    let bytes = product.weights.panel(panel);
                    for lane in (0..PANEL_ROWS).step_by(L::COUNT) {
                        let place = Place { groups: part.clone(), lane, ahead };
                        panel_lanes::<L, G, R>(lanes, bytes, rows, &place, sums);
                    }
                }
            }
            for (panel, sums) in panels.zip(&sums) {
                self.tile.store_code_rows(panel, self.row, sums);
            }
        }
    }
}

impl<'a, G, const R: usize> CodeRows<'a, G, R> {
    fn new(tile: Tile<'a>, row: usize) -> Self {
        Self { tile, row, form: PhantomData }
    }
}

/// `R` rows of values from `row` on with every panel of a tile of float weights.
struct FloatRows<'a, E, const R: usize> {
    tile: Tile<'a>,
    row: usize,
    form: PhantomData<E>,
}

impl<'a, E, const R: usize> FloatRows<'a, E, R> {
    fn new(tile: Tile<'a>, row: usize) -> Self {
        Self { tile, row, form: PhantomData }
    }
}

impl<E: ElementForm, const R: usize> Kernel for FloatRows<'_, E, R> {
    /// `R`
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> usize {
        let Self { tile, row, .. } = self;
        let columns = tile.input.columns();
        let values = tile.input.values();
        let rows: [&[f32]; R] = std::array::from_fn(|r| &values[(row + r) * columns..][..columns]);
        for panel in tile.first..tile.end {
            let codes = tile.product.weights.panel(panel);
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
            tile.store(panel, row, &sums);
        }
        R
    }
}

/// Where in a panel the work goes on.
struct Place {
    /// Groups of columns; whole blocks.
    groups: Range<usize>,
    /// Weight rows `lane..lane + COUNT`.
    lane: usize,
    /// Ask memory for what comes next: the weights have not been met before.
    ahead: bool,
}

/// Adds the dot products of `R` rows of activations with the weights at `place` of a panel.
#[inline(always)]
fn panel_lanes<L: Lanes, G: GroupForm, const R: usize>(
    lanes: L,
    panel: &[u8],
    rows: CodeTile<'_, R>,
    place: &Place,
    out: &mut [[f32; PANEL_ROWS]; R],
) {
    let Block { groups, scale_bytes, code_bytes } = G::BLOCK;
    let lane = place.lane;
    let mut sums = [lanes.splat(0.0); R];
    each_row!(r < R, {
        sums[r] = lanes.load(&out[r][lane..]);
    });
    let rows = rows.part(place.groups.clone());
    let blocks = panel[place.groups.start / groups * G::BLOCK.bytes()..]
        .chunks_exact(G::BLOCK.bytes())
        .take(place.groups.len() / groups);
    for (index, block) in blocks.enumerate() {
        let (scales, codes) = block.split_at(scale_bytes);
        let block_scales = G::block_scales(lanes, scales, lane);
        for group in 0..groups {
            let codes = &codes[group * code_bytes..][..code_bytes];
            if place.ahead && lane == 0 {
                for line in (0..code_bytes + scale_bytes / groups).step_by(64) {
                    lanes.prefetch_stream(codes, line);
                }
            }
            let weight = G::scales(lanes, scales, block_scales, group, lane);
            let row_groups = rows.group(index * groups + group);
            add_group::<L, G, R>(lanes, (codes, lane), &weight, &row_groups, &mut sums);
        }
    }
    each_row!(r < R, {
        lanes.store(sums[r], &mut out[r][lane..]);
    });
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
fn half_group<L: Lanes, G: GroupForm, const R: usize, const FIRST: usize>(
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
