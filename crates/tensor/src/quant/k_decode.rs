//! Decoding of the formats with 256 elements, whose sub-blocks have scales that are codes themselves.
//!
//! | type | bytes |
//! |---|---|
//! | `Q2_K` | 16 × (scale code, offset code << 4), 64 of 2-bit codes, scale f16, offset f16 |
//! | `Q3_K` | 32 of third bits, 64 of 2-bit codes, 12 of 6-bit scale codes, scale f16 |
//! | `Q4_K` | scale f16, offset f16, 12 of 6-bit scale and offset codes, 128 of 4-bit codes |
//! | `Q5_K` | as `Q4_K`, with 32 of fifth bits before the 4-bit codes |
//! | `Q6_K` | 128 of low halves, 64 of high pairs, 16 signed scale codes, scale f16 |
//!
//! `Q2_K`, `Q4_K`, `Q5_K`: `(scale * scale code) * code - (offset * offset code)`; `Q3_K`, `Q6_K`:
//! `(scale * scale code) * code` with signed codes. Sub-blocks have 16 elements, in `Q4_K` and
//! `Q5_K` 32.

use super::half_at;

pub(super) fn decode_q2_k(block: &[u8], out: &mut [f32]) {
    let (scale, offset) = (half_at(block, 80), half_at(block, 82));
    let codes = &block[16..80];
    for (index, value) in out.iter_mut().enumerate() {
        let sub_block = block[index / 16];
        let code = two_bit_code(codes, index);
        *value = scale * f32::from(sub_block & 15) * f32::from(code)
            - offset * f32::from(sub_block >> 4);
    }
}

pub(super) fn decode_q3_k(block: &[u8], out: &mut [f32]) {
    let (third_bits, codes) = (&block[..32], &block[32..96]);
    let scale_codes = q3_k_scale_codes(&block[96..108]);
    let scale = half_at(block, 108);
    for (index, value) in out.iter_mut().enumerate() {
        let third = third_bits[index % 32] >> (index / 32) & 1;
        let code = two_bit_code(codes, index).cast_signed() - if third == 1 { 0 } else { 4 };
        *value = scale * f32::from(scale_codes[index / 16]) * f32::from(code);
    }
}

pub(super) fn decode_q4_k(block: &[u8], out: &mut [f32]) {
    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
    let (scale_codes, offset_codes) = six_bit_pairs(&block[4..16]);
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let step = scale * f32::from(scale_codes[group]);
        let least = offset * f32::from(offset_codes[group]);
        let codes = &block[16 + group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        for (value, pair) in values.iter_mut().zip(codes) {
            *value = step * f32::from(pair >> shift & 15) - least;
        }
    }
}

pub(super) fn decode_q5_k(block: &[u8], out: &mut [f32]) {
    let (scale, offset) = (half_at(block, 0), half_at(block, 2));
    let (scale_codes, offset_codes) = six_bit_pairs(&block[4..16]);
    let fifth_bits = &block[16..48];
    for (group, values) in out.chunks_exact_mut(32).enumerate() {
        let step = scale * f32::from(scale_codes[group]);
        let least = offset * f32::from(offset_codes[group]);
        let codes = &block[48 + group / 2 * 32..][..32];
        let shift = group % 2 * 4;
        for ((value, pair), fifth) in values.iter_mut().zip(codes).zip(fifth_bits) {
            let code = pair >> shift & 15 | (fifth >> group & 1) << 4;
            *value = step * f32::from(code) - least;
        }
    }
}

pub(super) fn decode_q6_k(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 208);
    for (index, value) in out.iter_mut().enumerate() {
        // Half of the block, then which of its four runs of 32 elements.
        let (half, run, lane) = (index / 128, index / 32 % 4, index % 32);
        let low = block[half * 64 + run % 2 * 32 + lane] >> (run / 2 * 4) & 15;
        let high = block[128 + half * 32 + lane] >> (run * 2) & 3;
        let code = (low | high << 4).cast_signed() - 32;
        let scale_code = block[192 + index / 16].cast_signed();
        *value = scale * f32::from(scale_code) * f32::from(code);
    }
}

/// `Q2_K` and `Q3_K` store element `index` in byte `index % 32` of its half of 128.
fn two_bit_code(codes: &[u8], index: usize) -> u8 {
    codes[index / 128 * 32 + index % 32] >> (index / 32 % 4 * 2) & 3
}

/// 16 signed scale codes: four low bits in bytes 0 to 7, two high bits in bytes 8 to 11.
fn q3_k_scale_codes(bytes: &[u8]) -> [i8; 16] {
    std::array::from_fn(|index| {
        let low = bytes[index % 8] >> (index / 8 * 4) & 15;
        let high = bytes[8 + index % 4] >> (index / 4 * 2) & 3;
        (low | high << 4).cast_signed() - 32
    })
}

/// 8 scale codes and 8 offset codes: the first four of each have their six bits in bytes 0 to 3
/// and 4 to 7; the other four their low bits in bytes 8 to 11 and their high two on top of those.
fn six_bit_pairs(bytes: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut offsets) = ([0; 8], [0; 8]);
    for index in 0..4 {
        let (scale, offset, low) = (bytes[index], bytes[index + 4], bytes[index + 8]);
        scales[index] = scale & 63;
        offsets[index] = offset & 63;
        scales[index + 4] = low & 15 | scale >> 6 << 4;
        offsets[index + 4] = low >> 4 | offset >> 6 << 4;
    }
    (scales, offsets)
}
