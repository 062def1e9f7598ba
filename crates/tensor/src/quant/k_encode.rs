//! Encoding of the formats with 256 elements; `k_decode` has their layouts.
//!
//! All go the same way: a scale for each sub-block by search, the scales as codes of one f16, then
//! the codes of the elements against the scales as a reader will see them.

use super::search::{Affine, Tries, affine, nearest, signed_scale_codes, symmetric};
use super::{inverse_or_zero, put_half};

const LEN: usize = 256;

pub(super) fn encode_q2_k(values: &[f32], block: &mut [u8]) {
    let plan = Tries { code_max: 3.0, slack_min: -0.5, groups: 2 };
    let sub_blocks = values.as_chunks::<16>().0;
    let grids: [Affine; 16] = std::array::from_fn(|index| {
        let sub_block = &sub_blocks[index];
        affine(sub_block, &sub_block.map(f32::abs), &plan)
    });
    let (scale, scale_codes) = unsigned_scale_codes(&grids.map(|grid| grid.step), 15.0);
    let (offset, offset_codes) = unsigned_scale_codes(&grids.map(|grid| grid.offset), 15.0);
    let (scale, offset) = (put_half(block, 80, scale), put_half(block, 82, offset));
    let mut codes = [0; LEN];
    for (index, sub_block) in sub_blocks.iter().enumerate() {
        block[index] = scale_codes[index] | offset_codes[index] << 4;
        let grid = Affine {
            step: scale * f32::from(scale_codes[index]),
            offset: offset * f32::from(offset_codes[index]),
        };
        put_affine_codes(sub_block, grid, plan.code_max, &mut codes[index * 16..][..16]);
    }
    put_two_bit_codes(&mut block[16..80], &codes);
}

pub(super) fn encode_q3_k(values: &[f32], block: &mut [u8]) {
    let sub_blocks = values.as_chunks::<16>().0;
    let steps: [f32; 16] = std::array::from_fn(|index| symmetric(&sub_blocks[index], 4.0));
    let (scale, scale_codes) = signed_scale_codes(&steps, 32.0);
    let scale = put_half(block, 108, scale);
    let (third_bits, rest) = block.split_at_mut(32);
    third_bits.fill(0);
    let mut codes = [0; LEN];
    for (index, sub_block) in sub_blocks.iter().enumerate() {
        let step = scale * f32::from(scale_codes[index]);
        put_signed_codes(sub_block, step, 4.0, &mut codes[index * 16..][..16]);
    }
    for (index, code) in codes.iter_mut().enumerate() {
        third_bits[index % 32] |= (*code >> 2) << (index / 32);
        *code &= 3;
    }
    put_two_bit_codes(&mut rest[..64], &codes);
    let scale_bytes = &mut rest[64..76];
    scale_bytes.fill(0);
    for (index, code) in scale_codes.iter().enumerate() {
        let code = (code + 32).cast_unsigned();
        scale_bytes[index % 8] |= (code & 15) << (index / 8 * 4);
        scale_bytes[8 + index % 4] |= (code >> 4) << (index / 4 * 2);
    }
}

pub(super) fn encode_q4_k(values: &[f32], block: &mut [u8]) {
    let plan = Tries { code_max: 15.0, slack_min: -1.0, groups: 3 };
    let codes = encode_six_bit_pairs(values, &plan, block);
    put_low_halves(&mut block[16..144], &codes);
}

pub(super) fn encode_q5_k(values: &[f32], block: &mut [u8]) {
    let plan = Tries { code_max: 31.0, slack_min: -0.5, groups: 2 };
    let codes = encode_six_bit_pairs(values, &plan, block);
    let fifth_bits = &mut block[16..48];
    fifth_bits.fill(0);
    for (index, code) in codes.iter().enumerate() {
        fifth_bits[index % 32] |= (code >> 4) << (index / 32);
    }
    put_low_halves(&mut block[48..176], &codes);
}

pub(super) fn encode_q6_k(values: &[f32], block: &mut [u8]) {
    let sub_blocks = values.as_chunks::<16>().0;
    let steps: [f32; 16] = std::array::from_fn(|index| symmetric(&sub_blocks[index], 32.0));
    let (scale, scale_codes) = signed_scale_codes(&steps, 128.0);
    let scale = put_half(block, 208, scale);
    let mut codes = [0; LEN];
    for (index, sub_block) in sub_blocks.iter().enumerate() {
        block[192 + index] = scale_codes[index].cast_unsigned();
        let step = scale * f32::from(scale_codes[index]);
        put_signed_codes(sub_block, step, 32.0, &mut codes[index * 16..][..16]);
    }
    for (half, codes) in codes.as_chunks::<128>().0.iter().enumerate() {
        for lane in 0..32 {
            let [a, b, c, d] = [0, 32, 64, 96].map(|run| codes[run + lane]);
            block[half * 64 + lane] = a & 15 | c << 4;
            block[half * 64 + 32 + lane] = b & 15 | d << 4;
            block[128 + half * 32 + lane] = a >> 4 | b >> 4 << 2 | c >> 4 << 4 | d >> 4 << 6;
        }
    }
}

/// The header that `Q4_K` and `Q5_K` share (two f16, 12 bytes of scale codes), written into
/// `block`; returns the codes of the elements.
fn encode_six_bit_pairs(values: &[f32], plan: &Tries, block: &mut [u8]) -> [u8; LEN] {
    let sub_blocks = values.as_chunks::<32>().0;
    let grids: [Affine; 8] = std::array::from_fn(|index| {
        affine(&sub_blocks[index], &weights_by_size(&sub_blocks[index]), plan)
    });
    let (scale, scale_codes) = unsigned_scale_codes(&grids.map(|grid| grid.step), 63.0);
    let (offset, offset_codes) = unsigned_scale_codes(&grids.map(|grid| grid.offset), 63.0);
    let (scale, offset) = (put_half(block, 0, scale), put_half(block, 2, offset));
    for index in 0..4 {
        let (scale, offset) = (scale_codes[index + 4], offset_codes[index + 4]);
        block[4 + index] = scale_codes[index] | scale >> 4 << 6;
        block[8 + index] = offset_codes[index] | offset >> 4 << 6;
        block[12 + index] = scale & 15 | offset << 4;
    }
    let mut codes = [0; LEN];
    for (index, sub_block) in sub_blocks.iter().enumerate() {
        let grid = Affine {
            step: scale * f32::from(scale_codes[index]),
            offset: offset * f32::from(offset_codes[index]),
        };
        put_affine_codes(sub_block, grid, plan.code_max, &mut codes[index * 32..][..32]);
    }
    codes
}

/// How much an error at each element counts: its magnitude above a floor of the block's root mean
/// square, as in ggml.
fn weights_by_size(values: &[f32; 32]) -> [f32; 32] {
    let squares: f32 = values.iter().map(|value| value * value).sum();
    let floor = (squares / 32.0).sqrt();
    values.map(|value| floor + value.abs())
}

/// Scales (none negative) as codes from 0 to `code_max` of one common scale, which is returned
/// before its rounding to f16.
fn unsigned_scale_codes<const N: usize>(steps: &[f32; N], code_max: f32) -> (f32, [u8; N]) {
    let most = steps.iter().fold(0.0_f32, |most, &step| most.max(step));
    let inverse = code_max * inverse_or_zero(most);
    let codes = steps.map(|step| nearest(inverse * step).clamp(0.0, code_max) as u8);
    (most / code_max, codes)
}

fn put_affine_codes(values: &[f32], grid: Affine, code_max: f32, codes: &mut [u8]) {
    let inverse = inverse_or_zero(grid.step);
    for (code, value) in codes.iter_mut().zip(values) {
        *code = nearest((value + grid.offset) * inverse).clamp(0.0, code_max) as u8;
    }
}

/// Codes from `-limit` to `limit - 1`, stored with `limit` added.
fn put_signed_codes(values: &[f32], step: f32, limit: f32, codes: &mut [u8]) {
    let inverse = inverse_or_zero(step);
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (nearest(value * inverse).clamp(-limit, limit - 1.0) + limit) as u8;
    }
}

/// Element `index` goes to byte `index % 32` of its half of 128.
fn put_two_bit_codes(bytes: &mut [u8], codes: &[u8; LEN]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let first = index / 32 * 128 + index % 32;
        *byte =
            codes[first] | codes[first + 32] << 2 | codes[first + 64] << 4 | codes[first + 96] << 6;
    }
}

/// Elements of an even run of 32 go to the low, those of the next run to the high halves.
fn put_low_halves(bytes: &mut [u8], codes: &[u8; LEN]) {
    for (index, byte) in bytes.iter_mut().enumerate() {
        let first = index / 32 * 64 + index % 32;
        *byte = codes[first] & 15 | codes[first + 32] << 4;
    }
}
