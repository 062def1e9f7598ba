//! Dot products of bytes: by VNNI, or by pairs on CPUs without it.

// The intrinsics are safe to call only where their features are enabled; the callers promise it.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// A way to multiply codes with activations in vectors `V`; see [`crate::lanes::Lanes::dot`].
pub trait ByteDot<V>: Copy + Send + Sync + 'static {
    /// As [`crate::lanes::Lanes::WIDE_OFFSET`].
    const WIDE_OFFSET: i32;

    /// As [`crate::lanes::Lanes::dot`], with the activations in every lane.
    ///
    /// # Safety
    /// The CPU has the instructions of this way.
    unsafe fn dot(sum: V, codes: V, activations: V) -> V;

    /// As [`crate::lanes::Lanes::dot_wide`], with the activations in every lane.
    ///
    /// # Safety
    /// The CPU has the instructions of this way.
    unsafe fn dot_wide(sum: V, codes: V, activations: V) -> V;
}

/// `maddubs`, which adds pairs into 16 bits, then `madd`: AVX2, or AVX-512 BW.
#[derive(Clone, Copy, Debug)]
pub struct Pairs;

/// VNNI as AVX-512 encodes it, in either width.
#[derive(Clone, Copy, Debug)]
pub struct Vnni;

/// VNNI as AVX-512 encodes it, beside matrix registers (AMX).
#[derive(Clone, Copy, Debug)]
pub struct Matrix;

/// VNNI as CPUs without AVX-512 encode it.
#[derive(Clone, Copy, Debug)]
pub struct VexVnni;

// SAFETY of every block below: promised by the caller.
impl ByteDot<__m256i> for Pairs {
    const WIDE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn dot(sum: __m256i, codes: __m256i, activations: __m256i) -> __m256i {
        unsafe {
            // Codes up to 127 keep every pair within 2 * 127 * 127: `maddubs` cannot saturate.
            let pairs = _mm256_maddubs_epi16(codes, activations);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: __m256i, codes: __m256i, activations: __m256i) -> __m256i {
        unsafe {
            // Full bytes would saturate: multiply magnitudes and move the sign to the other side.
            let signed = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
            let other = _mm256_sign_epi8(activations, signed);
            <Self as ByteDot<__m256i>>::dot(sum, _mm256_abs_epi8(signed), other)
        }
    }
}

impl ByteDot<__m512i> for Pairs {
    const WIDE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn dot(sum: __m512i, codes: __m512i, activations: __m512i) -> __m512i {
        unsafe {
            let pairs = _mm512_maddubs_epi16(codes, activations);
            _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
        }
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: __m512i, codes: __m512i, activations: __m512i) -> __m512i {
        unsafe {
            let signed = _mm512_xor_si512(codes, _mm512_set1_epi8(-128));
            let negative = _mm512_movepi8_mask(signed);
            let zero = _mm512_setzero_si512();
            let other = _mm512_mask_sub_epi8(activations, negative, zero, activations);
            <Self as ByteDot<__m512i>>::dot(sum, _mm512_abs_epi8(signed), other)
        }
    }
}

/// VNNI multiplies full bytes as they are: one instruction serves both kinds of codes.
macro_rules! vnni {
    ($way:ty, $vector:ty, $dot:ident) => {
        impl ByteDot<$vector> for $way {
            const WIDE_OFFSET: i32 = 128;

            #[inline(always)]
            unsafe fn dot(sum: $vector, codes: $vector, activations: $vector) -> $vector {
                unsafe { $dot(sum, codes, activations) }
            }
            #[inline(always)]
            unsafe fn dot_wide(sum: $vector, codes: $vector, activations: $vector) -> $vector {
                unsafe { $dot(sum, codes, activations) }
            }
        }
    };
}

vnni!(VexVnni, __m256i, _mm256_dpbusd_avx_epi32);
vnni!(Vnni, __m256i, _mm256_dpbusd_epi32);
vnni!(Vnni, __m512i, _mm512_dpbusd_epi32);
vnni!(Matrix, __m512i, _mm512_dpbusd_epi32);
