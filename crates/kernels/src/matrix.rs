//! Products of whole blocks of codes, for CPUs with matrix registers.

use crate::lanes::{GROUP, Lanes, PANEL_ROWS, Portable};

/// Signed codes of 16 weight rows and 32 columns: bytes `4r..4r + 4` of vector `j` are columns
/// `4j..4j + 4` of row `r`, as in a panel of packed weights.
pub type CodeBlock = [[i8; 4 * PANEL_ROWS]; 8];

/// 32 columns of as many rows of activations as a register takes.
pub type RowBlock = [[i8; GROUP]; MATRIX_ROWS];

/// Sums of each of those rows with each of 16 weight rows.
pub type SumBlock = [[i32; PANEL_ROWS]; MATRIX_ROWS];

/// Rows of activations that a matrix register takes. Fewer are left to vectors, which are quicker
/// where codes are not unpacked for several tiles of rows.
pub const MATRIX_ROWS: usize = 16;

/// Work that is written once and run on any tier with matrix registers.
pub trait MatrixKernel {
    /// The body; `#[inline(always)]`, as of [`crate::lanes::Kernel`].
    fn run<M: MatrixLanes>(self, lanes: M);
}

/// Lanes, 16 of them, beside registers that hold a block of codes. All results are exact.
pub trait MatrixLanes: Lanes {
    /// Asks for the cache line in which `codes` begin; a hint.
    #[inline(always)]
    fn prefetch_codes(self, _codes: &[i8]) {}
    /// Writes `code - zero` for every byte, wrapping.
    fn store_codes(self, codes: Self::B, zero: u8, out: &mut [i8; 4 * PANEL_ROWS]);
    /// Reads 16 values.
    fn load_int(self, values: &[i32; PANEL_ROWS]) -> Self::I;
    /// `out[r][lane]`: the dot product of `rows[r]` and weight row `lane`.
    fn multiply(self, codes: &CodeBlock, rows: &RowBlock, out: &mut SumBlock);
    /// As [`MatrixLanes::multiply`], of the first 16 columns and of the others.
    fn multiply_halves(self, codes: &CodeBlock, rows: &RowBlock, out: &mut [SumBlock; 2]);
}

impl MatrixLanes for Portable {
    #[inline(always)]
    fn store_codes(self, codes: Self::B, zero: u8, out: &mut [i8; 4 * PANEL_ROWS]) {
        *out = codes.map(|code| code.wrapping_sub(zero) as i8);
    }
    #[inline(always)]
    fn load_int(self, values: &[i32; PANEL_ROWS]) -> Self::I {
        *values
    }
    #[inline(always)]
    fn multiply(self, codes: &CodeBlock, rows: &RowBlock, out: &mut SumBlock) {
        *out = products(codes, rows, 0..GROUP);
    }
    #[inline(always)]
    fn multiply_halves(self, codes: &CodeBlock, rows: &RowBlock, out: &mut [SumBlock; 2]) {
        *out = [products(codes, rows, 0..GROUP / 2), products(codes, rows, GROUP / 2..GROUP)];
    }
}

/// The plain sums.
fn products(codes: &CodeBlock, rows: &RowBlock, columns: std::ops::Range<usize>) -> SumBlock {
    rows.map(|row| {
        std::array::from_fn(|lane| {
            let product = |column: usize| {
                let code = codes[column / 4][4 * lane + column % 4];
                i32::from(code) * i32::from(row[column])
            };
            columns.clone().map(product).sum()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Tier;

    /// Every product of one block, as one line of numbers.
    #[derive(Clone, Copy)]
    struct Block<'a> {
        bytes: &'a [u8; 512],
        zero: u8,
        rows: &'a RowBlock,
    }

    struct Told<'a, 'b>(Block<'a>, &'b mut Vec<i32>);

    impl MatrixKernel for Told<'_, '_> {
        #[inline(always)]
        fn run<M: MatrixLanes>(self, lanes: M) {
            let Block { bytes, zero, rows } = self.0;
            let mut codes = [[0; 64]; 8];
            for (out, vector) in codes.iter_mut().zip(bytes.chunks_exact(64)) {
                lanes.store_codes(lanes.load_bytes(vector), zero, out);
            }
            let mut whole = [[0; PANEL_ROWS]; MATRIX_ROWS];
            let mut halves = [whole; 2];
            lanes.multiply(&codes, rows, &mut whole);
            lanes.multiply_halves(&codes, rows, &mut halves);
            for sums in std::iter::once(&whole).chain(&halves).flatten() {
                let values = lanes.to_float(lanes.load_int(sums));
                let mut out = [0.0; PANEL_ROWS];
                lanes.store(values, &mut out);
                self.1.extend(out.map(|value| value as i32));
            }
        }
    }

    #[test]
    fn matrix_registers_multiply_as_plain_sums_do() {
        for seed in 0..50_u32 {
            let noise = |index: u32| (index.wrapping_add(seed).wrapping_mul(2_654_435_761)) >> 24;
            let bytes = std::array::from_fn(|i| noise(i as u32) as u8);
            let row = |r: usize| std::array::from_fn(|c| noise((r * 32 + c) as u32 + 999) as i8);
            let rows = std::array::from_fn(row);
            for zero in [0, 8, 32, 128] {
                let block = Block { bytes: &bytes, zero, rows: &rows };
                let (mut expected, mut got) = (Vec::new(), Vec::new());
                Told(block, &mut expected).run(Portable);
                assert_eq!(expected.len(), 3 * MATRIX_ROWS * PANEL_ROWS);
                for tier in Tier::available() {
                    got.clear();
                    if tier.run_matrix(Told(block, &mut got)) {
                        assert_eq!(got, expected, "{tier}");
                    }
                }
            }
        }
    }
}
