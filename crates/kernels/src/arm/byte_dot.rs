//! Dot products of bytes: by the dot instructions of Armv8.2 and 8.6, or by widening without them.

// The instructions may run only on CPUs that have them; the callers promise it. The intrinsics of
// the dot instructions are not stable yet, so they are written as assembly.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::asm;

/// A way to multiply codes with activations; see [`crate::lanes::Lanes::dot`].
pub trait ByteDot: Copy + Send + Sync + 'static {
    /// As [`crate::lanes::Lanes::WIDE_OFFSET`].
    const WIDE_OFFSET: i32;

    /// As [`crate::lanes::Lanes::dot`], with the activations in every lane.
    ///
    /// # Safety
    /// The CPU has the instructions of this way.
    unsafe fn dot(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t;

    /// As [`crate::lanes::Lanes::dot_wide`], with the activations in every lane.
    ///
    /// # Safety
    /// The CPU has the instructions of this way.
    #[inline(always)]
    unsafe fn dot_wide(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
        // SAFETY: promised by the caller.
        unsafe { Self::dot(sum, veorq_u8(codes, vdupq_n_u8(128)), activations) }
    }
}

/// Products of 16 bits, added up in pairs: every CPU.
#[derive(Clone, Copy, Debug)]
pub struct Widening;

/// `sdot`, signed times signed.
#[derive(Clone, Copy, Debug)]
pub struct DotProduct;

/// `usdot`, unsigned times signed, of the 8-bit matrix extension.
#[derive(Clone, Copy, Debug)]
pub struct MixedDotProduct;

// SAFETY of every block below: promised by the caller; the assembly touches its registers alone.
impl ByteDot for Widening {
    const WIDE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
        unsafe {
            // Activations of at least -127 keep a pair within 2 * 128 * 127: 16 bits hold it.
            let codes = vreinterpretq_s8_u8(codes);
            let low = vmull_s8(vget_low_s8(codes), vget_low_s8(activations));
            let high = vmull_high_s8(codes, activations);
            vpadalq_s16(sum, vpaddq_s16(low, high))
        }
    }
}

impl ByteDot for DotProduct {
    const WIDE_OFFSET: i32 = 0;

    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {codes:v}.16b, {activations:v}.16b",
                sum = inout(vreg) sum,
                codes = in(vreg) codes,
                activations = in(vreg) activations,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
}

impl ByteDot for MixedDotProduct {
    const WIDE_OFFSET: i32 = 128;

    #[inline(always)]
    unsafe fn dot(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
        let mut sum = sum;
        unsafe {
            asm!(
                "usdot {sum:v}.4s, {codes:v}.16b, {activations:v}.16b",
                sum = inout(vreg) sum,
                codes = in(vreg) codes,
                activations = in(vreg) activations,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
    #[inline(always)]
    unsafe fn dot_wide(sum: int32x4_t, codes: uint8x16_t, activations: int8x16_t) -> int32x4_t {
        unsafe { Self::dot(sum, codes, activations) }
    }
}
