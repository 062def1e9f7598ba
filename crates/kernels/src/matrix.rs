//! Products of whole blocks of codes, for CPUs with matrix registers.

use crate::lanes::{GROUP, Lanes, PANEL_ROWS, Portable};

/// Signed codes of 16 weight rows and 32 columns: bytes `4r..4r + 4` of vector `j` are columns
/// `4j..4j + 4` of row `r`, as in a panel of packed weights.
pub type CodeBlock = [[i8; 4 * PANEL_ROWS]; 8];

/// 32 columns of as many rows of activations as a register takes.
pub type RowBlock = [[i8; GROUP]; MATRIX_ROWS];

/// Sums of each of those rows with each of 16 weight rows.
pub type SumBlock = [[i32; PANEL_ROWS]; MATRIX_ROWS];

/// Columns that a row of a matrix register holds.
pub const WIDE: usize = 64;

/// As [`CodeBlock`], of 64 columns.
pub type WideBlock = [[i8; 4 * PANEL_ROWS]; 16];

/// 64 columns of as many rows of activations as a register takes.
pub type WideRows = [[i8; WIDE]; MATRIX_ROWS];

/// A super-block of 16 weight rows and 256 columns, ready to be multiplied. The products of codes
/// and integer scales take two bytes: `128 * high + low`, signed; where there are minimums codes are
/// unsigned and scales have six bits, and it is `8 * high + low`, unsigned: both are made sooner.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct SuperBlock {
    /// The higher byte of each product.
    pub high: [WideBlock; 4],
    /// The lower byte.
    pub low: [WideBlock; 4],
    /// The integer minimums, unsigned, as the totals of the rows' groups are coded
    /// ([`crate::activations`]): of each group 16 columns, in the first eight four times itself.
    pub minimums: [[[i32; PANEL_ROWS]; 16]; 2],
}

/// Sums of a super-block with each of 16 rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct SuperSums {
    /// Of [`SuperBlock::high`].
    pub high: SumBlock,
    /// Of [`SuperBlock::low`].
    pub low: SumBlock,
    /// Of [`SuperBlock::minimums`].
    pub minimums: SumBlock,
}

/// Rows of activations that a matrix register takes. Fewer are left to vectors, which are quicker
/// where codes are not unpacked for several tiles of rows.
pub const MATRIX_ROWS: usize = 16;

/// Work that is written once and run on any tier with matrix registers.
pub trait MatrixKernel {
    /// Whether registers hold 64 columns, for [`MatrixLanes::multiply_super`] alone, or fewer, for
    /// the other products.
    const WIDE: bool;

    /// The body; `#[inline(always)]`, as of [`crate::lanes::Kernel`].
    fn run<M: MatrixLanes>(self, lanes: M);
}

/// Lanes, 16 of them, beside registers that hold a block of codes. All results are exact.
pub trait MatrixLanes: Lanes {
    /// Asks for the cache line in which `codes` begin; a hint.
    #[inline(always)]
    fn prefetch_codes(self, _codes: &[i8]) {}
    /// Asks for the cache line at an address that will be written; a hint, wherever it points.
    #[inline(always)]
    fn prefetch_output(self, _address: *const u8) {}
    /// Writes `code - zero` for every byte, wrapping.
    fn store_codes(self, codes: Self::B, zero: u8, out: &mut [i8; 4 * PANEL_ROWS]);
    /// Reads 16 values.
    fn load_int(self, values: &[i32; PANEL_ROWS]) -> Self::I;
    /// `out[r][lane]`: the dot product of `rows[r]` and weight row `lane`.
    fn multiply(self, codes: &CodeBlock, rows: &RowBlock, out: &mut SumBlock);
    /// As [`MatrixLanes::multiply`], of the first 16 columns and of the others.
    fn multiply_halves(self, codes: &CodeBlock, rows: &RowBlock, out: &mut [SumBlock; 2]);

    /// Writes `(code - zero) * scale` for every byte as `128 * high + low`, `low` in 0..128; the
    /// product fits into 15 bits and a sign.
    fn store_scaled(
        self,
        codes: Self::B,
        zero: u8,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    );
    /// Writes `code * scale` for every byte as `8 * high + low`, both unsigned; codes are below 32 and
    /// scales below 64.
    fn store_scaled_unsigned(
        self,
        codes: Self::B,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    );
    /// Writes 16 values.
    fn store_int(self, values: Self::I, out: &mut [i32; PANEL_ROWS]);
    /// `high * 2^SHIFT + low`
    fn join<const SHIFT: u32>(self, high: Self::I, low: Self::I) -> Self::I;
    /// The sums of `codes` with 256 columns of rows; where there are `MINIMUMS` the codes are
    /// unsigned, and theirs with the totals.
    fn multiply_super<const MINIMUMS: bool>(
        self,
        codes: &SuperBlock,
        rows: &[WideRows; 4],
        totals: &[WideRows; 2],
        out: &mut SuperSums,
    );
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
    #[inline(always)]
    fn store_scaled(
        self,
        codes: Self::B,
        zero: u8,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    ) {
        for (index, code) in codes.into_iter().enumerate() {
            let product = (i32::from(code) - i32::from(zero)) * scale[index / 4];
            (high[index], low[index]) = ((product >> 7) as i8, (product & 127) as i8);
        }
    }
    #[inline(always)]
    fn store_scaled_unsigned(
        self,
        codes: Self::B,
        scale: Self::I,
        high: &mut [i8; 4 * PANEL_ROWS],
        low: &mut [i8; 4 * PANEL_ROWS],
    ) {
        for (index, code) in codes.into_iter().enumerate() {
            let (code, scale) = (i32::from(code), scale[index / 4]);
            high[index] = (code * (scale >> 3)) as u8 as i8;
            low[index] = (code * (scale & 7)) as u8 as i8;
        }
    }
    #[inline(always)]
    fn store_int(self, values: Self::I, out: &mut [i32; PANEL_ROWS]) {
        *out = values;
    }
    #[inline(always)]
    fn join<const SHIFT: u32>(self, high: Self::I, low: Self::I) -> Self::I {
        std::array::from_fn(|lane| (high[lane] << SHIFT).wrapping_add(low[lane]))
    }
    #[inline(always)]
    fn multiply_super<const MINIMUMS: bool>(
        self,
        codes: &SuperBlock,
        rows: &[WideRows; 4],
        totals: &[WideRows; 2],
        out: &mut SuperSums,
    ) {
        let read = |byte: i8| if MINIMUMS { i32::from(byte as u8) } else { i32::from(byte) };
        out.high = wide_products(&codes.high, rows, read);
        out.low = wide_products(&codes.low, rows, read);
        if MINIMUMS {
            let bytes = codes.minimums.map(|block| {
                block.map(|lanes| std::array::from_fn(|i| lanes[i / 4].to_le_bytes()[i % 4] as i8))
            });
            out.minimums = wide_products(&bytes, totals, read);
        }
    }
}

/// The plain sums, of weights that `read` makes numbers of.
fn wide_products(codes: &[WideBlock], rows: &[WideRows], read: impl Fn(i8) -> i32) -> SumBlock {
    let sum = |row: usize, lane: usize| -> i32 {
        let blocks = codes.iter().zip(rows).flat_map(|(codes, rows)| {
            let pairs = rows[row].iter().enumerate();
            pairs.map(|(column, value)| (codes[column / 4][4 * lane + column % 4], *value))
        });
        blocks.map(|(code, value)| read(code) * i32::from(value)).sum()
    };
    std::array::from_fn(|row| std::array::from_fn(|lane| sum(row, lane)))
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
        const WIDE: bool = false;

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

    /// The products of one super-block, as one line of numbers.
    struct ToldSuper<'a, const MINIMUMS: bool> {
        bytes: &'a [u8; 64],
        zero: u8,
        scales: &'a [u8; 16],
        rows: &'a [WideRows; 4],
        totals: &'a [WideRows; 2],
        out: &'a mut Vec<i32>,
    }

    impl<const MINIMUMS: bool> MatrixKernel for ToldSuper<'_, MINIMUMS> {
        const WIDE: bool = true;

        #[inline(always)]
        fn run<M: MatrixLanes>(self, lanes: M) {
            let nothing = [[0; PANEL_ROWS]; MATRIX_ROWS];
            let mut block = SuperBlock {
                high: [[[0; 64]; 16]; 4],
                low: [[[0; 64]; 16]; 4],
                minimums: [nothing; 2],
            };
            let codes = lanes.low_nibbles(lanes.load_bytes(self.bytes));
            let (high, low) = (block.high.as_flattened_mut(), block.low.as_flattened_mut());
            for (high, low) in high.iter_mut().zip(low) {
                if MINIMUMS {
                    let scales = lanes.load_u8_int(self.scales);
                    lanes.store_scaled_unsigned(codes, scales, high, low);
                } else {
                    let scales = lanes.load_i8_int(self.scales);
                    lanes.store_scaled(codes, self.zero, scales, high, low);
                }
            }
            let (minimum, one) = (lanes.load_u8_int(self.scales), lanes.splat_int(0x0101_0101));
            let minimums = lanes.mul_add_int(minimum, one, lanes.splat_int(0));
            for out in block.minimums.as_flattened_mut() {
                lanes.store_int(minimums, out);
            }
            let mut sums = SuperSums { high: nothing, low: nothing, minimums: nothing };
            lanes.multiply_super::<MINIMUMS>(&block, self.rows, self.totals, &mut sums);
            for (row, high) in sums.high.iter().enumerate() {
                let mut out = [0; 16];
                let (high, low) = (lanes.load_int(high), lanes.load_int(&sums.low[row]));
                let joined = match MINIMUMS {
                    true => lanes.join::<3>(high, low),
                    false => lanes.join::<7>(high, low),
                };
                lanes.store_int(joined, &mut out);
                self.out.extend(out);
                self.out.extend(sums.minimums[row]);
            }
        }
    }

    /// On every tier, which have to agree; gives back the first product and the first minimum.
    fn tell_super<const MINIMUMS: bool>(
        bytes: &[u8; 64],
        zero: u8,
        scales: &[u8; 16],
        (rows, totals): (&[WideRows; 4], &[WideRows; 2]),
    ) -> (i32, i32) {
        let mut expected = Vec::new();
        let out = &mut expected;
        ToldSuper::<MINIMUMS> { bytes, zero, scales, rows, totals, out }.run(Portable);
        for tier in Tier::available() {
            let mut got = Vec::new();
            let out = &mut got;
            if tier.run_matrix(ToldSuper::<MINIMUMS> { bytes, zero, scales, rows, totals, out }) {
                assert_eq!(got, expected, "{tier}");
            }
        }
        (expected[0], expected[16])
    }

    #[test]
    fn super_blocks_are_multiplied_as_plain_sums() {
        for seed in 0..20_u32 {
            let noise = |index: u32| (index.wrapping_add(seed).wrapping_mul(2_654_435_761)) >> 24;
            let bytes: [u8; 64] = std::array::from_fn(|i| noise(i as u32) as u8);
            let scales: [u8; 16] = std::array::from_fn(|i| noise(i as u32 + 77) as u8);
            let row = |first: u32| -> WideRows {
                let value = |c: usize| noise(first + c as u32) as i8;
                std::array::from_fn(|r| std::array::from_fn(|c| value(64 * r + c)))
            };
            let rows = std::array::from_fn(|block| row(1000 + 1024 * block as u32));
            let totals: [WideRows; 2] =
                std::array::from_fn(|block| row(9000 + 1024 * block as u32));
            // The sums of row 0 and lane 0, by hand.
            let sum = |zero: u8, scale: i32| -> i32 {
                let code = |c: usize| i32::from(bytes[c % 4] & 15) - i32::from(zero);
                (0..256).map(|c| code(c) * scale * i32::from(rows[c / 64][0][c % 64])).sum()
            };
            for zero in [0, 8, 15] {
                let (got, _) = tell_super::<false>(&bytes, zero, &scales, (&rows, &totals));
                assert_eq!(got, sum(zero, i32::from(scales[0] as i8)));
            }
            let small = scales.map(|scale| scale & 63);
            let (got, minimum) = tell_super::<true>(&bytes, 0, &small, (&rows, &totals));
            assert_eq!(got, sum(0, i32::from(small[0])));
            let total: i32 = totals.iter().flat_map(|rows| rows[0]).map(i32::from).sum();
            assert_eq!(minimum, i32::from(small[0]) * total);
        }
    }
}
