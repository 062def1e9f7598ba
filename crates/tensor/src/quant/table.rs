//! Formats whose codes index uneven levels, and the ternary one.
//!
//! | type | elements | bytes |
//! |---|---|---|
//! | `IQ4_NL` | 32 | scale f16, 16 of codes: `scale * LEVELS[code]` |
//! | `IQ4_XS` | 256 | scale f16, high scale bits u16, 4 of low scale bits, 128 of codes; 8 sub-blocks: `scale * (scale code - 32) * LEVELS[code]` |
//! | `TQ2_0` | 256 | 64 of 2-bit codes, scale f16: `scale * (code - 1)` |
//!
//! In each run of 32 elements, byte `i` holds element `i` low and element `i + 16` high.

use super::legacy::signed_peak;
use super::search::{Best, LANES, Lanes, VALUE_MIN, signed_scale_codes};
use super::{half_at, inverse_or_zero, put_half};

/// The levels of `IQ4_NL` and `IQ4_XS`: denser near zero, where weights are.
const LEVELS: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

pub(super) fn decode_iq4_nl(block: &[u8], out: &mut [f32]) {
    decode_levels(half_at(block, 0), &block[2..18], out);
}

pub(super) fn decode_iq4_xs(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (index, values) in out.chunks_exact_mut(32).enumerate() {
        let low = block[4 + index / 2] >> (index % 2 * 4) & 15;
        let code = (low | ((high >> (index * 2) & 3) << 4) as u8).cast_signed() - 32;
        decode_levels(scale * f32::from(code), &block[8 + index * 16..][..16], values);
    }
}

fn decode_levels(scale: f32, codes: &[u8], out: &mut [f32]) {
    for (index, &pair) in codes.iter().enumerate() {
        out[index] = scale * f32::from(LEVELS[usize::from(pair & 15)]);
        out[index + 16] = scale * f32::from(LEVELS[usize::from(pair >> 4)]);
    }
}

pub(super) fn decode_tq2_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 64);
    for (index, value) in out.iter_mut().enumerate() {
        let code = block[index / 128 * 32 + index % 32] >> (index / 32 % 4 * 2) & 3;
        *value = scale * (f32::from(code) - 1.0);
    }
}

pub(super) fn encode_iq4_nl(values: &[f32], block: &mut [u8]) {
    let step = put_half(block, 0, level_step(values));
    put_level_codes(values, step, &mut block[2..18]);
}

pub(super) fn encode_iq4_xs(values: &[f32], block: &mut [u8]) {
    let sub_blocks = values.as_chunks::<32>().0;
    let steps: [f32; 8] = std::array::from_fn(|index| level_step(&sub_blocks[index]));
    let (scale, scale_codes) = signed_scale_codes(&steps, 32.0);
    let scale = put_half(block, 0, scale);
    let mut high = 0;
    block[4..8].fill(0);
    for (index, sub_block) in sub_blocks.iter().enumerate() {
        let code = (scale_codes[index] + 32).cast_unsigned();
        high |= u16::from(code >> 4) << (index * 2);
        block[4 + index / 2] |= (code & 15) << (index % 2 * 4);
        let step = scale * f32::from(scale_codes[index]);
        put_level_codes(sub_block, step, &mut block[8 + index * 16..][..16]);
    }
    block[2..4].copy_from_slice(&high.to_le_bytes());
}

pub(super) fn encode_tq2_0(values: &[f32], block: &mut [u8]) {
    let scale = signed_peak(values).abs();
    let inverse = inverse_or_zero(scale);
    put_half(block, 64, scale);
    for (index, byte) in block[..64].iter_mut().enumerate() {
        let first = index / 32 * 128 + index % 32;
        *byte = (0..4).fold(0, |bits, run| {
            let code = ((values[first + run * 32] * inverse).round() as i8 + 1).cast_unsigned();
            bits | code << (run * 2)
        });
    }
}

/// The step with the least error weighted by the square of each value.
fn level_step(values: &[f32]) -> f32 {
    let peak = signed_peak(values);
    if peak.abs() < VALUE_MIN {
        return 0.0;
    }
    let inverse = 1.0 / peak;
    let mut best = Best::default();
    // The farthest value meets the long, negative end of the levels, or the short one.
    for end in [LEVELS[0], LEVELS[15]] {
        for group in 0..2 {
            let first = f32::from(end) - 8.0 + (group * LANES) as f32;
            let sizes: Lanes = std::array::from_fn(|lane| first + lane as f32);
            let (mut cross, mut squared) = ([0.0; LANES], [0.0; LANES]);
            for value in values {
                let value = value * inverse;
                for lane in 0..LANES {
                    let level = nearest_level(value * sizes[lane]);
                    let weighted = value * value * level;
                    cross[lane] += weighted * value;
                    squared[lane] += weighted * level;
                }
            }
            best.take(&cross, &squared);
        }
    }
    best.step * peak
}

/// The level that is nearest to `value`.
#[inline(always)]
fn nearest_level(value: f32) -> f32 {
    let mut level = f32::from(LEVELS[0]);
    for pair in LEVELS.windows(2) {
        let [below, above] = [f32::from(pair[0]), f32::from(pair[1])];
        level = if value > (below + above) * 0.5 { above } else { level };
    }
    level
}

/// The index of the level that is nearest to `value`.
fn nearest_level_index(value: f32) -> u8 {
    LEVELS.windows(2).fold(0, |index, pair| {
        let middle = (f32::from(pair[0]) + f32::from(pair[1])) * 0.5;
        index + u8::from(value > middle)
    })
}

fn put_level_codes(values: &[f32], step: f32, bytes: &mut [u8]) {
    let inverse = inverse_or_zero(step);
    for (index, pair) in bytes.iter_mut().enumerate() {
        let [low, high] =
            [values[index], values[index + 16]].map(|v| nearest_level_index(v * inverse));
        *pair = low | high << 4;
    }
}
