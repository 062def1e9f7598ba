//! NEON: 4 lanes.

// The intrinsics are safe to call only where their features are enabled. Every method here is
// inlined into `run`, which enables them, and a `Neon` exists only where they were detected.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};
use std::marker::PhantomData;

use super::byte_dot::{ByteDot, DotProduct, MixedDotProduct, Widening};
use crate::features::needs_features;
use crate::lanes::Lanes;

/// Proof that NEON and the instructions of `D` are there.
#[derive(Clone, Copy, Debug)]
pub struct Neon<D>(PhantomData<D>);

needs_features!(Neon<Widening>, is_aarch64_feature_detected, "neon");
needs_features!(Neon<DotProduct>, is_aarch64_feature_detected, "neon" "dotprod");
needs_features!(Neon<MixedDotProduct>, is_aarch64_feature_detected, "neon" "i8mm");

/// Four bytes, one per lane, in the low half.
///
/// # Safety
/// The CPU has NEON.
#[inline(always)]
unsafe fn four_bytes(bytes: &[u8]) -> uint8x8_t {
    let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
    // SAFETY: promised by the caller.
    unsafe { vcreate_u8(u32::from_le_bytes(four).into()) }
}

// SAFETY of every block below: a `Neon` value proves the features; pointers come from slices
// whose length was asserted.
impl<D: ByteDot> Lanes for Neon<D> {
    const COUNT: usize = 4;
    const WIDE_OFFSET: i32 = D::WIDE_OFFSET;
    const PRODUCT_ROWS: usize = 8;
    type F = float32x4_t;
    type I = int32x4_t;
    type B = uint8x16_t;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> Self::F {
        assert!(values.len() >= 4);
        unsafe { vld1q_f32(values.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: Self::F, out: &mut [f32]) {
        assert!(out.len() >= 4);
        unsafe { vst1q_f32(out.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn load_f16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 8);
        unsafe { vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes.as_ptr()))) }
    }
    #[inline(always)]
    fn load_bf16(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 8);
        unsafe {
            let wide = vmovl_u16(vreinterpret_u16_u8(vld1_u8(bytes.as_ptr())));
            vreinterpretq_f32_u32(vshlq_n_u32::<16>(wide))
        }
    }
    #[inline(always)]
    fn load_f32_bytes(self, bytes: &[u8]) -> Self::F {
        assert!(bytes.len() >= 16);
        unsafe { vreinterpretq_f32_u8(vld1q_u8(bytes.as_ptr())) }
    }
    #[inline(always)]
    fn load_u8(self, bytes: &[u8]) -> Self::F {
        unsafe {
            let words = vget_low_u16(vmovl_u8(four_bytes(bytes)));
            vcvtq_f32_u32(vmovl_u16(words))
        }
    }
    #[inline(always)]
    fn load_u8_int(self, bytes: &[u8]) -> Self::I {
        unsafe {
            let words = vget_low_u16(vmovl_u8(four_bytes(bytes)));
            vreinterpretq_s32_u32(vmovl_u16(words))
        }
    }
    #[inline(always)]
    fn load_i8_int(self, bytes: &[u8]) -> Self::I {
        unsafe { vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(four_bytes(bytes))))) }
    }
    #[inline(always)]
    fn store_f16(self, value: Self::F, out: &mut [u8]) {
        assert!(out.len() >= 8);
        unsafe { vst1_u8(out.as_mut_ptr(), vreinterpret_u8_f16(vcvt_f16_f32(value))) }
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // NEON's own maximum is not a number when either side is none.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }
    #[inline(always)]
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }
    }
    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        unsafe {
            // Halves onto each other, as on every tier.
            let two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
            vpadds_f32(two)
        }
    }
    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        unsafe { vmaxnmvq_f32(a) }
    }
    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        unsafe { vdupq_n_s32(value) }
    }
    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        unsafe { vaddq_s32(a, b) }
    }
    #[inline(always)]
    fn mul_add_int(self, a: Self::I, b: Self::I, c: Self::I) -> Self::I {
        unsafe { vmlaq_s32(c, a, b) }
    }
    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        unsafe { vcvtq_f32_s32(a) }
    }
    #[inline(always)]
    fn store_i8(self, value: Self::F, out: &mut [i8]) -> i32 {
        assert!(out.len() >= 4);
        unsafe {
            let whole = vminq_s32(vcvtnq_s32_f32(value), vdupq_n_s32(127));
            let whole = vmaxq_s32(whole, vdupq_n_s32(-127));
            let words = vmovn_s32(whole);
            let bytes = vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words)));
            out.as_mut_ptr().cast::<i32>().write_unaligned(vget_lane_s32::<0>(bytes));
            vaddvq_s32(whole)
        }
    }
    #[inline(always)]
    fn prefetch(self, bytes: &[u8], ahead: usize) {
        // A prefetch never faults: the address may lie outside of any allocation.
        unsafe {
            asm!(
                "prfm pldl1keep, [{address}]",
                address = in(reg) bytes.as_ptr().wrapping_add(ahead),
                options(nostack, preserves_flags, readonly),
            );
        }
    }
    #[inline(always)]
    fn prefetch_far(self, bytes: &[u8], ahead: usize) {
        // As above.
        unsafe {
            asm!(
                "prfm pldl2keep, [{address}]",
                address = in(reg) bytes.as_ptr().wrapping_add(ahead),
                options(nostack, preserves_flags, readonly),
            );
        }
    }
    #[inline(always)]
    fn load_bytes(self, bytes: &[u8]) -> Self::B {
        assert!(bytes.len() >= 16);
        unsafe { vld1q_u8(bytes.as_ptr()) }
    }
    #[inline(always)]
    fn low_nibbles(self, a: Self::B) -> Self::B {
        unsafe { vandq_u8(a, vdupq_n_u8(15)) }
    }
    #[inline(always)]
    fn high_nibbles(self, a: Self::B) -> Self::B {
        unsafe { vshrq_n_u8::<4>(a) }
    }
    #[inline(always)]
    fn add_high_bits<const SHIFT: u32, const MASK: u8>(
        self,
        low: Self::B,
        from: Self::B,
    ) -> Self::B {
        unsafe {
            // A negative shift is one to the right.
            let moved = vshlq_u8(from, vdupq_n_s8(4 - SHIFT as i8));
            vorrq_u8(low, vandq_u8(moved, vdupq_n_u8(MASK << 4)))
        }
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot(sum, codes, vreinterpretq_s8_s32(vdupq_n_s32(activations))) }
    }
    #[inline(always)]
    fn dot_wide(self, sum: Self::I, codes: Self::B, activations: i32) -> Self::I {
        unsafe { D::dot_wide(sum, codes, vreinterpretq_s8_s32(vdupq_n_s32(activations))) }
    }
    #[inline(always)]
    fn zero_below(self, value: Self::F, x: Self::F, limit: Self::F) -> Self::F {
        unsafe {
            let kept = vandq_u32(vcgeq_f32(x, limit), vreinterpretq_u32_f32(value));
            vreinterpretq_f32_u32(kept)
        }
    }
}
