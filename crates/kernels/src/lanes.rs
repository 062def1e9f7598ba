//! The few vector operations that every kernel is written in.
//!
//! A kernel is a [`Kernel`]: data plus one `run` that is generic over [`Lanes`]. A tier's value
//! can only be made after its CPU features were found (see [`crate::cpu`]), so holding one proves
//! that its instructions may be executed.

use half::{bf16, f16};
use std::sync::atomic::{AtomicU32, Ordering};

/// Rows that a panel of packed weights interleaves; a multiple of every tier's lane count.
pub const PANEL_ROWS: usize = 16;

/// Columns of activations that share one scale.
pub const GROUP: usize = 32;

/// Groups of a super-block of weights.
pub const SUPER_GROUPS: usize = 8;

/// How far ahead a stream from memory asks the nearest cache for its lines.
const STREAM_NEAR_BYTES: usize = 1024;
/// How far ahead it asks the second-level cache for them.
const STREAM_FAR_BYTES: usize = 4096;

/// Work that is written once and run on any tier.
pub trait Kernel {
    /// What the work returns.
    type Output;

    /// The body. Implementations are `#[inline(always)]`, so that each tier's entry point compiles
    /// it with that tier's instructions.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Vector operations on `COUNT` lanes of 32 bits. Slices given to loads and stores hold at least
/// as many elements as are read or written; the implementations check it.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// Lanes of 32 bits.
    const COUNT: usize;
    /// What [`Lanes::dot_wide`] adds to each code, so that the caller can take it off again.
    const WIDE_OFFSET: i32;
    /// Rows that a matrix product keeps in registers: 8, 4 or 2.
    const PRODUCT_ROWS: usize;
    /// f32 lanes.
    type F: Copy;
    /// i32 lanes.
    type I: Copy;
    /// Four bytes per lane.
    type B: Copy;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F;
    /// Reads `COUNT` values.
    fn load(self, values: &[f32]) -> Self::F;
    /// Writes `COUNT` values.
    fn store(self, value: Self::F, out: &mut [f32]);
    /// Reads `COUNT` f16 values as little-endian bytes.
    fn load_f16(self, bytes: &[u8]) -> Self::F;
    /// Reads `COUNT` bf16 values as little-endian bytes.
    fn load_bf16(self, bytes: &[u8]) -> Self::F;
    /// Reads `COUNT` f32 values as little-endian bytes.
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F;
    /// Reads `COUNT` unsigned bytes.
    fn load_u8(self, bytes: &[u8]) -> Self::F;
    /// Reads `COUNT` unsigned bytes as integers.
    fn load_u8_int(self, bytes: &[u8]) -> Self::I;
    /// Reads `COUNT` signed bytes as integers.
    fn load_i8_int(self, bytes: &[u8]) -> Self::I;
    /// Writes `COUNT` values as little-endian f16, rounded to nearest even.
    fn store_f16(self, value: Self::F, out: &mut [u8]);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger; `b` when `a` is not a number.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// To the nearest integer, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// 2 to the power of an integral `a` in -126..=127.
    fn power_of_two(self, a: Self::F) -> Self::F;
    /// The sum of all lanes.
    fn sum(self, a: Self::F) -> f32;
    /// The largest lane.
    fn largest(self, a: Self::F) -> f32;

    /// All lanes `value`.
    fn splat_int(self, value: i32) -> Self::I;
    /// `a + b`, wrapping.
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a * b + c`, wrapping.
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I;
    /// To f32, rounded to nearest even.
    fn to_float(self, a: Self::I) -> Self::F;
    /// Rounds to integers, saturates to -127..=127 and writes `COUNT` signed bytes; returns their
    /// sum.
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32;

    /// Writes `COUNT` values to cells that threads share, each of them whole.
    #[inline(always)]
    fn store_shared(self, values: &[f32], cells: &[AtomicU32]) {
        for (cell, value) in cells[..Self::COUNT].iter().zip(values) {
            cell.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Asks for the cache line that lies `ahead` bytes after the start of `bytes`, in the nearest
    /// cache; a hint that reads nothing, wherever it points.
    #[inline(always)]
    fn prefetch(self, _bytes: &[u8], _ahead: usize) {}
    /// As [`Lanes::prefetch`], in the second-level cache: more requests can wait there.
    #[inline(always)]
    fn prefetch_far(self, _bytes: &[u8], _ahead: usize) {}
    /// Asks for what a stream from memory comes to after it has read byte `at` of `bytes`: the
    /// processor's own prefetch stops at every page and begins anew.
    #[inline(always)]
    fn prefetch_stream(self, bytes: &[u8], at: usize) {
        self.prefetch(bytes, STREAM_NEAR_BYTES + at);
        self.prefetch_far(bytes, STREAM_FAR_BYTES + at);
    }

    /// Reads `4 * COUNT` bytes.
    fn load_bytes(self, bytes: &[u8]) -> Self::B;
    /// The low four bits of each byte.
    fn low_nibbles(self, a: Self::B) -> Self::B;
    /// The high four bits of each byte, moved down.
    fn high_nibbles(self, a: Self::B) -> Self::B;
    /// `low | ((from >> SHIFT) & MASK) << 4` in each byte, for the upper bits of 5- and 6-bit
    /// codes.
    fn add_high_bits<const SHIFT: u32, const MASK: u8>(
        self,
        low: Self::B,
        from: Self::B,
    ) -> Self::B;
    /// Adds to each lane the dot product of its four codes (0..=127) with four signed bytes.
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I;
    /// As [`Lanes::dot`] for codes in 0..=255 that stand for `code - 128`; the result is that of
    /// `code - 128 + WIDE_OFFSET`.
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I;

    /// e to the power of each lane; relative error below 3e-7 for arguments up to 88, zero below
    /// -87. Cody-Waite reduction and the minimax polynomial of Cephes' `expf`.
    #[inline(always)]
    fn exp(self, x: Self::F) -> Self::F {
        let low = self.splat(-87.0);
        let clamped = self.max(x, low);
        let n = self.round(self.mul(clamped, self.splat(std::f32::consts::LOG2_E)));
        let r = self.fma(n, self.splat(-0.693_359_4), clamped);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        p = self.fma(p, r, self.splat(1.398_199_9e-3));
        p = self.fma(p, r, self.splat(8.333_452e-3));
        p = self.fma(p, r, self.splat(4.166_579_6e-2));
        p = self.fma(p, r, self.splat(1.666_666_5e-1));
        p = self.fma(p, r, self.splat(0.5));
        let r2 = self.mul(r, r);
        let y = self.add(self.fma(p, r2, r), self.splat(1.0));
        let y = self.mul(y, self.power_of_two(n));
        self.zero_below(y, x, low)
    }

    /// `value` where `x >= limit`, else 0.
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F;
}

/// How f32, f16 and bf16 elements are read, at compile time.
pub(crate) trait ElementForm {
    /// Bytes per element.
    const SIZE: usize;

    /// Reads `COUNT` elements as little-endian bytes.
    fn load<L: Lanes>(lanes: L, bytes: &[u8]) -> L::F;
}

pub(crate) struct F32Form;

impl ElementForm for F32Form {
    const SIZE: usize = 4;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, bytes: &[u8]) -> L::F {
        lanes.load_f32_bytes(bytes)
    }
}

pub(crate) struct F16Form;

impl ElementForm for F16Form {
    const SIZE: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, bytes: &[u8]) -> L::F {
        lanes.load_f16(bytes)
    }
}

pub(crate) struct Bf16Form;

impl ElementForm for Bf16Form {
    const SIZE: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(lanes: L, bytes: &[u8]) -> L::F {
        lanes.load_bf16(bytes)
    }
}

/// Plain Rust on 16 lanes: runs anywhere, and is the last fallback.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; 16] {
    std::array::from_fn(f)
}

impl Lanes for Portable {
    const COUNT: usize = 16;
    const WIDE_OFFSET: i32 = 0;
    const PRODUCT_ROWS: usize = 2;
    type F = [f32; 16];
    type I = [i32; 16];
    type B = [u8; 64];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; 16]
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> Self::F {
        each(|i| values[i])
    }
    #[inline(always)]
    fn store(self, value: Self::F, out: &mut [f32]) {
        out[..16].copy_from_slice(&value);
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Self::F {
        each(|i| f16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8]) -> Self::F {
        each(|i| bf16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]).to_f32())
    }
    #[inline(always)]
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F {
        each(|i| {
            let b = &bytes[4 * i..4 * i + 4];
            f32::from_le_bytes([b[0], b[1], b[2], b[3]])
        })
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8]) -> Self::F {
        each(|i| f32::from(bytes[i]))
    }
    #[inline(always)]
    fn load_u8_int(self, bytes: &[u8]) -> Self::I {
        std::array::from_fn(|i| i32::from(bytes[i]))
    }
    #[inline(always)]
    fn load_i8_int(self, bytes: &[u8]) -> Self::I {
        std::array::from_fn(|i| i32::from(bytes[i] as i8))
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F, out: &mut [u8]) {
        for (bytes, v) in out.chunks_exact_mut(2).zip(value) {
            bytes.copy_from_slice(&f16::from_f32(v).to_le_bytes());
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        each(|i| a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        each(|i| a[i].abs())
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        each(|i| a[i].round_ties_even())
    }
    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        each(|i| f32::from_bits(((a[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        // The order in which the vector tiers fold: halves onto each other.
        let mut a = a;
        let mut width = 8;
        while width > 0 {
            for i in 0..width {
                a[i] += a[i + width];
            }
            width /= 2;
        }
        a[0]
    }
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        [value; 16]
    }
    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i].wrapping_mul(b[i]).wrapping_add(c[i]))
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        each(|i| a[i] as f32)
    }
    #[inline(always)]
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32 {
        let mut sum = 0;
        for (o, v) in out[..16].iter_mut().zip(value) {
            *o = v.round_ties_even().clamp(-127.0, 127.0) as i8;
            sum += i32::from(*o);
        }
        sum
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8]) -> Self::B {
        let mut out = [0; 64];
        out.copy_from_slice(&bytes[..64]);
        out
    }
    #[inline(always)]
    fn low_nibbles(self, a: Self::B) -> Self::B {
        a.map(|v| v & 15)
    }
    #[inline(always)]
    fn high_nibbles(self, a: Self::B) -> Self::B {
        a.map(|v| v >> 4)
    }
    #[inline(always)]
    fn add_high_bits<const SHIFT: u32, const MASK: u8>(
        self,
        low: Self::B,
        from: Self::B,
    ) -> Self::B {
        std::array::from_fn(|i| low[i] | (((from[i] >> SHIFT) & MASK) << 4))
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        let a = activations.to_le_bytes().map(|v| i32::from(v as i8));
        std::array::from_fn(|lane| {
            (0..4).fold(sum[lane], |s, i| s + i32::from(codes[4 * lane + i]) * a[i])
        })
    }
    #[inline(always)]
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        let a = activations.to_le_bytes().map(|v| i32::from(v as i8));
        std::array::from_fn(|lane| {
            (0..4).fold(sum[lane], |s, i| s + (i32::from(codes[4 * lane + i]) - 128) * a[i])
        })
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        each(|i| if x[i] >= limit[i] { value[i] } else { 0.0 })
    }
}
