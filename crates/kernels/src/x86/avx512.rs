//! AVX-512 F, BW, DQ and VL: 16 lanes.

// The intrinsics are safe to call only where their features are enabled. Every method here is
// inlined into `run`, which enables them, and an `Avx512` exists only where they were detected.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;

use super::amx;
use super::byte_dot::{ByteDot, Matrix, Pairs, Vnni};
use crate::features::needs_features;
use crate::lanes::Lanes;

/// Proof that AVX-512 F, BW, DQ, VL and the instructions of `D` are there.
#[derive(Clone, Copy, Debug)]
pub struct Avx512<D>(PhantomData<D>);

needs_features!(
    Avx512<Pairs>, is_x86_feature_detected,
    "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512dq" "avx512vl"
);
needs_features!(
    Avx512<Vnni>, is_x86_feature_detected,
    "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vnni"
);

needs_features!(
    Avx512<Matrix> where amx::is_allowed, is_x86_feature_detected,
    "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512vnni"
);

// SAFETY of every block below: an `Avx512` value proves the features; pointers come from slices
// whose length was asserted.
impl<D: ByteDot<__m512i>> Lanes for Avx512<D> {
    const COUNT: usize = 16;
    const WIDE_OFFSET: i32 = D::WIDE_OFFSET;
    const PRODUCT_ROWS: usize = 8;
    type F = __m512;
    type I = __m512i;
    type B = __m512i;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> Self::F {
        assert!(values.len() >= 16);
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: Self::F, out: &mut [f32]) {
        assert!(out.len() >= 16);
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn store_shared(self, values: &[f32], cells: &[AtomicU32]) {
        assert!(values.len() >= 16 && cells.len() >= 16);
        // One vector takes one place among the stores that wait, not 16. Each of its elements, which
        // are aligned, is written whole, as a relaxed store writes it.
        unsafe {
            asm!(
                "vmovups zmm15, [{values}]",
                "vmovups [{cells}], zmm15",
                values = in(reg) values.as_ptr(),
                cells = in(reg) cells.as_ptr(),
                out("xmm15") _,
                options(nostack, preserves_flags),
            );
        }
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 32);
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 32);
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bytes.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 64);
        unsafe { _mm512_loadu_ps(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 16);
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn load_u8_int(self, bytes: &[u8]) -> Self::I {
        assert!(bytes.len() >= 16);
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8_int(self, bytes: &[u8]) -> Self::I {
        assert!(bytes.len() >= 16);
        unsafe { _mm512_cvtepi8_epi32(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F, out: &mut [u8]) {
        assert!(out.len() >= 32);
        unsafe {
            let half = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), half);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        unsafe {
            let half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            super::avx2::sum(half)
        }
    }
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        unsafe { _mm512_set1_epi32(value) }
    }
    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I {
        unsafe { _mm512_add_epi32(_mm512_mullo_epi32(a, b), c) }
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        unsafe { _mm512_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32 {
        assert!(out.len() >= 16);
        unsafe {
            let limit = _mm512_set1_epi32(127);
            let whole = _mm512_min_epi32(_mm512_cvtps_epi32(value), limit);
            let whole = _mm512_max_epi32(whole, _mm512_set1_epi32(-127));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(whole));
            _mm512_reduce_add_epi32(whole)
        }
    }
    #[inline(always)]
    fn prefetch(self, bytes: &[u8], ahead: usize) {
        // A prefetch never faults: the address may lie outside of any allocation.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn prefetch_far(self, bytes: &[u8], ahead: usize) {
        // As above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(bytes.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8]) -> Self::B {
        assert!(bytes.len() >= 64);
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn low_nibbles(self, a: Self::B) -> Self::B {
        unsafe { _mm512_and_si512(a, _mm512_set1_epi8(15)) }
    }
    #[inline(always)]
    fn high_nibbles(self, a: Self::B) -> Self::B {
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(a), _mm512_set1_epi8(15)) }
    }
    #[inline(always)]
    fn add_high_bits<const SHIFT: u32, const MASK: u8>(
        self,
        low: Self::B,
        from: Self::B,
    ) -> Self::B {
        unsafe {
            // Bytes travel in 16-bit pairs: mask after the shift so that no bit crosses over.
            let moved = if SHIFT >= 4 {
                _mm512_srl_epi16(from, _mm_cvtsi32_si128(SHIFT as i32 - 4))
            } else {
                _mm512_sll_epi16(from, _mm_cvtsi32_si128(4 - SHIFT as i32))
            };
            let bits = _mm512_and_si512(moved, _mm512_set1_epi8((MASK << 4) as i8));
            _mm512_or_si512(low, bits)
        }
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot(sum, codes, _mm512_set1_epi32(activations)) }
    }
    #[inline(always)]
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot_wide(sum, codes, _mm512_set1_epi32(activations)) }
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(x, limit), value) }
    }
}
