//! The matrix product: rows of activations times a packed weight matrix, transposed.
//!
//! One body serves every row count. A tile unpacks a vector of codes, four columns of 16 weight
//! rows, once and multiplies it with up to twelve rows of activations, whose sums stay in
//! registers. Each output is summed in the same order whatever the number of rows and whatever
//! the tier, so a row's result does not depend on the rows beside it.

mod forms;
mod groups;
mod matrix_rows;
mod super_blocks;
mod super_matrix;

use std::marker::PhantomData;
use std::ops::Range;

use crate::activations::{Activations, CodeTile, GROUP, Span};
use crate::cpu::Tier;
use crate::disjoint::DisjointRows;
use crate::lanes::{Bf16Form, ElementForm, F16Form, F32Form, Kernel, Lanes, PANEL_ROWS};
use crate::matrix::{MATRIX_ROWS, MatrixLanes};
use crate::packed::{Form, PackedMatrix};
use crate::pool::Pool;
use groups::Groups;
use phial_tensor::DType;
use super_blocks::SuperBlocks;
use super_matrix::SUPER_PANELS;

/// Bytes of weights that a tile may keep in the second-level cache while it walks the rows.
const TILE_BYTES_MAX: usize = 256 * 1024;

/// Tiles per thread that make an even split likely when a core is lost.
const TILES_PER_THREAD: usize = 8;

/// Groups of columns of a strip, a multiple of [`crate::lanes::SUPER_GROUPS`]: the codes of eight
/// rows take a third of the nearest cache.
const STRIP_GROUPS: usize = 32;

/// Panels that walk their strips together, their sums in the nearest cache.
const STRIP_PANELS: usize = 16;

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
/// When a matrix's inputs are not the activations' columns, or its form takes codes of another span.
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
        check(weights, input);
        let step = share.min(tile_panels(weights, input));
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
/// As [`matmul`], and when the matrix has fewer panels.
pub fn matmul_panels(
    pool: &Pool,
    tier: Tier,
    product: Product<'_>,
    panels: &[Range<usize>],
    input: &Activations,
    out: DisjointRows<'_>,
) {
    let weights = product.weights;
    check(weights, input);
    assert!(panels.iter().all(|range| range.end <= weights.panels()), "panels of a matrix");
    let count: usize = panels.iter().map(Range::len).sum();
    let share = count.div_ceil(pool.threads() * TILES_PER_THREAD).max(1);
    let step = share.min(tile_panels(weights, input));
    let mut tiles = Vec::new();
    for range in panels {
        for first in range.clone().step_by(step) {
            let end = (first + step).min(range.end);
            tiles.push(Tile { product, first, end, input, out });
        }
    }
    pool.run(tiles.len(), |index| tiles[index].run(tier));
}

fn check(weights: &PackedMatrix, input: &Activations) {
    assert_eq!(weights.columns(), input.columns(), "inputs of a matrix product");
    let span = weights.form().span();
    assert!(span.is_none() || span == input.codes().span(), "codes of another span");
}

/// The most panels of a tile.
fn tile_panels(weights: &PackedMatrix, input: &Activations) -> usize {
    let matrix = input.code_rows() > 0 && input.tile_rows(0) == MATRIX_ROWS;
    if matrix && weights.form().span() == Some(Span::Super) {
        // Its rows walk the panels one super-block at a time.
        return SUPER_PANELS;
    }
    let bytes = (weights.bytes() / weights.panels().max(1)).max(1);
    (TILE_BYTES_MAX / bytes).max(1)
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
            Form::Nibble => self.quantized::<Groups<forms::Nibble>>(tier),
            Form::NibbleMin => self.quantized::<Groups<forms::NibbleMin>>(tier),
            Form::NibbleSuper => self.quantized::<SuperBlocks<forms::NibbleSuper>>(tier),
            Form::FiveSuper => self.quantized::<SuperBlocks<forms::FiveSuper>>(tier),
            Form::SixSuper => self.quantized::<SuperBlocks<forms::SixSuper>>(tier),
            Form::Byte => self.quantized::<Groups<forms::Byte>>(tier),
            Form::ByteMin => self.quantized::<Groups<forms::ByteMin>>(tier),
        }
    }

    fn quantized<P: ProductForm>(self, tier: Tier) {
        let mut row = 0;
        while row < self.input.code_rows() {
            let rows = self.input.tile_rows(row);
            if rows == MATRIX_ROWS {
                let end = self.input.matrix_rows();
                P::multiply_matrix(self, tier, row, (end - row) / MATRIX_ROWS);
                row = end;
                continue;
            }
            match rows {
                8 => tier.run(CodeRows::<P, 8>::new(self, row)),
                4 => tier.run(CodeRows::<P, 4>::new(self, row)),
                2 => tier.run(CodeRows::<P, 2>::new(self, row)),
                _ => tier.run(CodeRows::<P, 1>::new(self, row)),
            }
            row += rows;
        }
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
    fn store<L: Lanes>(&self, lanes: L, panel: usize, row: usize, sums: &[[f32; PANEL_ROWS]]) {
        let first = panel * PANEL_ROWS;
        let count = PANEL_ROWS.min(self.product.weights.rows() - first);
        let column = self.product.column + first;
        // A tile of rows may be larger than what is left.
        let sums = &sums[..sums.len().min(self.input.rows() - row)];
        if count < PANEL_ROWS {
            for (r, sums) in sums.iter().enumerate() {
                self.out.store(row + r, column, &sums[..count]);
            }
            return;
        }
        for (r, sums) in sums.iter().enumerate() {
            let cells = self.out.cells(row + r, column, PANEL_ROWS);
            for lane in (0..PANEL_ROWS).step_by(L::COUNT) {
                lanes.store_shared(&sums[lane..], &cells[lane..]);
            }
        }
    }

    /// Asks for the outputs of two panels in the tile of rows of codes that begins at `row`: each is
    /// in a page of its own, and stores that wait for it hold up those behind them.
    #[inline(always)]
    fn prefetch_outputs<M: MatrixLanes>(&self, lanes: M, panel: usize, row: usize) {
        let per_row = self.input.code_rows() / self.input.rows();
        let column = self.product.column + panel * PANEL_ROWS;
        for r in 0..MATRIX_ROWS / per_row {
            for column in [column, column + PANEL_ROWS] {
                lanes.prefetch_output(self.out.address(row / per_row + r, column));
            }
        }
    }

    /// Stores sums of rows of codes; of 16 bits, every other row holds what the one before it left
    /// over.
    #[inline(always)]
    fn store_code_rows<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        panel: usize,
        row: usize,
        sums: &[[f32; PANEL_ROWS]; R],
    ) {
        if self.input.code_rows() == self.input.rows() {
            self.store(lanes, panel, row, sums);
            return;
        }
        let mut both = [[0.0_f32; PANEL_ROWS]; R];
        for (out, pair) in both.iter_mut().zip(sums.chunks_exact(2)) {
            *out = std::array::from_fn(|lane| pair[0][lane] + pair[1][lane]);
        }
        self.store(lanes, panel, row / 2, &both[..R / 2]);
    }
}

/// How rows of codes are multiplied with the panels of a form.
trait ProductForm {
    /// Adds the dot products of `R` rows with the weights at `place` of a panel.
    fn add_panel<L: Lanes, const R: usize>(
        lanes: L,
        panel: &[u8],
        rows: CodeTile<'_, R>,
        place: &Place,
        out: &mut [[f32; PANEL_ROWS]; R],
    );

    /// `count` tiles of rows from row `first` on, of a tile of weights, through matrix registers.
    fn multiply_matrix(tile: Tile<'_>, tier: Tier, first: usize, count: usize);
}

/// `R` rows of codes from `row` on with every panel of a tile of quantised weights.
struct CodeRows<'a, P, const R: usize> {
    tile: Tile<'a>,
    row: usize,
    form: PhantomData<P>,
}

impl<P: ProductForm, const R: usize> Kernel for CodeRows<'_, P, R> {
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
                        P::add_panel(lanes, bytes, rows, &place, sums);
                    }
                }
            }
            for (panel, sums) in panels.zip(&sums) {
                self.tile.store_code_rows(lanes, panel, self.row, sums);
            }
        }
    }
}

impl<'a, P, const R: usize> CodeRows<'a, P, R> {
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
            tile.store(lanes, panel, row, &sums);
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
