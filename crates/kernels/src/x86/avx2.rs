//! AVX2 with FMA and F16C: 8 lanes.

// The intrinsics are safe to call only where their features are enabled. Every method here is
// inlined into `run`, which enables them, and an `Avx2` exists only where they were detected.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

use super::byte_dot::{ByteDot, Pairs, VexVnni, Vnni};
use crate::features::needs_features;
use crate::lanes::Lanes;

/// Proof that AVX2, FMA, F16C and the instructions of `D` are there.
#[derive(Clone, Copy, Debug)]
pub struct Avx2<D>(PhantomData<D>);

needs_features!(Avx2<Pairs>, is_x86_feature_detected, "avx2" "fma" "f16c");
needs_features!(Avx2<VexVnni>, is_x86_feature_detected, "avx2" "fma" "f16c" "avxvnni");
needs_features!(Avx2<Vnni>, is_x86_feature_detected, "avx2" "fma" "f16c" "avx512vl" "avx512vnni");

/// Sums eight lanes, folding halves onto each other.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub(super) unsafe fn sum(a: __m256) -> f32 {
    // SAFETY: promised by the caller.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

// SAFETY of every block below: an `Avx2` value proves the features; pointers come from slices
// whose length was asserted.
impl<D: ByteDot<__m256i>> Lanes for Avx2<D> {
    const COUNT: usize = 8;
    const WIDE_OFFSET: i32 = D::WIDE_OFFSET;
    const PRODUCT_ROWS: usize = 4;
    type F = __m256;
    type I = __m256i;
    type B = __m256i;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> Self::F {
        assert!(values.len() >= 8);
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: Self::F, out: &mut [f32]) {
        assert!(out.len() >= 8);
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 16);
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 16);
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bytes.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 32);
        unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 8);
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn load_u8_int(self, bytes: &[u8]) -> Self::I {
        assert!(bytes.len() >= 8);
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_i8_int(self, bytes: &[u8]) -> Self::I {
        assert!(bytes.len() >= 8);
        unsafe { _mm256_cvtepi8_epi32(_mm_loadl_epi64(bytes.as_ptr().cast())) }
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F, out: &mut [u8]) {
        assert!(out.len() >= 16);
        unsafe {
            let half = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value);
            _mm_storeu_si128(out.as_mut_ptr().cast(), half);
        }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        unsafe { sum(a) }
    }
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        unsafe { _mm256_set1_epi32(value) }
    }
    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I {
        unsafe { _mm256_add_epi32(_mm256_mullo_epi32(a, b), c) }
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        unsafe { _mm256_cvtepi32_ps(a) }
    }
    #[inline(always)]
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32 {
        assert!(out.len() >= 8);
        unsafe {
            let whole = _mm256_min_epi32(_mm256_cvtps_epi32(value), _mm256_set1_epi32(127));
            let whole = _mm256_max_epi32(whole, _mm256_set1_epi32(-127));
            let (low, high) = (_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            let words = _mm_packs_epi32(low, high);
            _mm_storel_epi64(out.as_mut_ptr().cast(), _mm_packs_epi16(words, words));
            let four = _mm_add_epi32(low, high);
            let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b1110>(four));
            _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two)))
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
        assert!(bytes.len() >= 32);
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }
    #[inline(always)]
    fn low_nibbles(self, a: Self::B) -> Self::B {
        unsafe { _mm256_and_si256(a, _mm256_set1_epi8(15)) }
    }
    #[inline(always)]
    fn high_nibbles(self, a: Self::B) -> Self::B {
        unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(a), _mm256_set1_epi8(15)) }
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
                _mm256_srl_epi16(from, _mm_cvtsi32_si128(SHIFT as i32 - 4))
            } else {
                _mm256_sll_epi16(from, _mm_cvtsi32_si128(4 - SHIFT as i32))
            };
            let bits = _mm256_and_si256(moved, _mm256_set1_epi8((MASK << 4) as i8));
            _mm256_or_si256(low, bits)
        }
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot(sum, codes, _mm256_set1_epi32(activations)) }
    }
    #[inline(always)]
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot_wide(sum, codes, _mm256_set1_epi32(activations)) }
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(x, limit), value) }
    }
}
