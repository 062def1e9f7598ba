//! The tier of WebAssembly with 128-bit vectors: 4 lanes.
//!
//! A module cannot ask what its host has: the instructions are chosen when it is compiled, and
//! this file is there only when `simd128` was.

// Loads and stores go through pointers.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use half::f16;

use crate::lanes::{Kernel, Lanes};

/// 128-bit vectors.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

impl Simd128 {
    /// Runs `kernel` with these instructions.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Four bytes, in the low lane.
#[inline(always)]
fn four_bytes(bytes: &[u8]) -> v128 {
    i32x4_splat(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// `a * b + c` lane by lane.
#[cold]
fn fma_by_lane(a: v128, b: v128, c: v128) -> v128 {
    let lane = |i: usize, [a, b, c]: [[f32; 4]; 3]| a[i].mul_add(b[i], c[i]);
    let all = [lanes_of(a), lanes_of(b), lanes_of(c)];
    f32x4(lane(0, all), lane(1, all), lane(2, all), lane(3, all))
}

#[inline(always)]
fn lanes_of(a: v128) -> [f32; 4] {
    [
        f32x4_extract_lane::<0>(a),
        f32x4_extract_lane::<1>(a),
        f32x4_extract_lane::<2>(a),
        f32x4_extract_lane::<3>(a),
    ]
}

// SAFETY of every block below: pointers come from slices whose length was asserted.
impl Lanes for Simd128 {
    const COUNT: usize = 4;
    const WIDE_OFFSET: i32 = 128;
    const PRODUCT_ROWS: usize = 4;
    type F = v128;
    type I = v128;
    type B = v128;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        f32x4_splat(value)
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> Self::F {
        assert!(values.len() >= 4);
        unsafe { v128_load(values.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store(self, value: Self::F, out: &mut [f32]) {
        assert!(out.len() >= 4);
        unsafe { v128_store(out.as_mut_ptr().cast(), value) }
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 8);
        let half = unsafe { i32x4_load_extend_u16x4(bytes.as_ptr().cast()) };
        let magnitude = i32x4_shl(v128_and(half, i32x4_splat(0x7fff)), 13);
        // The exponent's bias grows by 112; the product is exact below the smallest normal too.
        let value = f32x4_mul(magnitude, f32x4_splat(f32::from_bits((127 + 112) << 23)));
        let endless = i32x4_ge(magnitude, i32x4_splat(0x7c00 << 13));
        let value = v128_or(value, v128_and(endless, i32x4_splat(0x7f80_0000)));
        v128_or(value, i32x4_shl(v128_and(half, i32x4_splat(0x8000)), 16))
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 8);
        i32x4_shl(unsafe { i32x4_load_extend_u16x4(bytes.as_ptr().cast()) }, 16)
    }
    #[inline(always)]
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 16);
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8]) -> Self::F {
        f32x4_convert_i32x4(i32x4_extend_low_u16x8(i16x8_extend_low_u8x16(four_bytes(bytes))))
    }
    #[inline(always)]
    fn load_u8_int(self, bytes: &[u8]) -> Self::I {
        i32x4_extend_low_u16x8(i16x8_extend_low_u8x16(four_bytes(bytes)))
    }
    #[inline(always)]
    fn load_i8_int(self, bytes: &[u8]) -> Self::I {
        i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(four_bytes(bytes)))
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F, out: &mut [u8]) {
        for (bytes, value) in out.chunks_exact_mut(2).zip(lanes_of(value)) {
            bytes.copy_from_slice(&f16::from_f32(value).to_le_bytes());
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_div(a, b)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // `pmax(b, a)` is `b < a ? a : b`.
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // There is no such instruction. In 64 bits the product is exact and the sum is rounded
        // once; rounding again to 32 bits differs from rounding once only if the first result
        // lies half-way between two f32 (or below the smallest normal one, which is let pass).
        let high = |a| f64x2_promote_low_f32x4(i32x4_shuffle::<2, 3, 2, 3>(a, a));
        let low = |a| f64x2_promote_low_f32x4(a);
        let first = f64x2_add(f64x2_mul(low(a), low(b)), low(c));
        let second = f64x2_add(f64x2_mul(high(a), high(b)), high(c));
        // The low words hold the 29 bits that go away.
        let rest = v128_and(i32x4_shuffle::<0, 2, 4, 6>(first, second), i32x4_splat(0x1fff_ffff));
        if v128_any_true(i32x4_eq(rest, i32x4_splat(0x1000_0000))) {
            return fma_by_lane(a, b, c);
        }
        let (first, second) = (f32x4_demote_f64x2_zero(first), f32x4_demote_f64x2_zero(second));
        i32x4_shuffle::<0, 1, 4, 5>(first, second)
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        f32x4_abs(a)
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        f32x4_nearest(a)
    }
    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        i32x4_shl(i32x4_add(i32x4_trunc_sat_f32x4(a), i32x4_splat(127)), 23)
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        // Halves onto each other, as on every tier.
        let two = f32x4_add(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
        f32x4_extract_lane::<0>(two) + f32x4_extract_lane::<1>(two)
    }
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        let two = f32x4_pmax(a, i32x4_shuffle::<2, 3, 2, 3>(a, a));
        f32x4_extract_lane::<0>(two).max(f32x4_extract_lane::<1>(two))
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        i32x4_splat(value)
    }
    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        i32x4_add(a, b)
    }
    #[inline(always)]
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I {
        i32x4_add(i32x4_mul(a, b), c)
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        f32x4_convert_i32x4(a)
    }
    #[inline(always)]
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32 {
        assert!(out.len() >= 4);
        let whole = i32x4_min(i32x4_trunc_sat_f32x4(f32x4_nearest(value)), i32x4_splat(127));
        let whole = i32x4_max(whole, i32x4_splat(-127));
        let words = i16x8_narrow_i32x4(whole, whole);
        let bytes = i8x16_narrow_i16x8(words, words);
        unsafe { v128_store32_lane::<0>(bytes, out.as_mut_ptr().cast()) }
        let two = i32x4_add(whole, i32x4_shuffle::<2, 3, 2, 3>(whole, whole));
        i32x4_extract_lane::<0>(two) + i32x4_extract_lane::<1>(two)
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8]) -> Self::B {
        assert!(bytes.len() >= 16);
        unsafe { v128_load(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn low_nibbles(self, a: Self::B) -> Self::B {
        v128_and(a, u8x16_splat(15))
    }
    #[inline(always)]
    fn high_nibbles(self, a: Self::B) -> Self::B {
        u8x16_shr(a, 4)
    }
    #[inline(always)]
    fn add_high_bits<const SHIFT: u32, const MASK: u8>(
        self,
        low: Self::B,
        from: Self::B,
    ) -> Self::B {
        // Bytes travel in 16-bit pairs, as they are cheaper to shift: the mask comes after it, so
        // that no bit crosses over.
        let moved =
            if SHIFT >= 4 { u16x8_shr(from, SHIFT - 4) } else { u16x8_shl(from, 4 - SHIFT) };
        v128_or(low, v128_and(moved, u8x16_splat(MASK << 4)))
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        // Even and odd bytes as 16-bit numbers; their products meet in the lane they came from.
        let activations = i32x4_splat(activations);
        let even = i16x8_shr(i16x8_shl(activations, 8), 8);
        let even = i32x4_dot_i16x8(v128_and(codes, i16x8_splat(0xff)), even);
        let odd = i32x4_dot_i16x8(u16x8_shr(codes, 8), i16x8_shr(activations, 8));
        i32x4_add(sum, i32x4_add(even, odd))
    }
    #[inline(always)]
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        self.dot(sum, codes, activations)
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        v128_and(f32x4_ge(x, limit), value)
    }
}
