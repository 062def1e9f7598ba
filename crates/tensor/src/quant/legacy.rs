//! The formats with 32 elements and one scale per block.
//!
//! | type | bytes |
//! |---|---|
//! | `Q4_0` | scale f16, 16 bytes of codes: `scale * (code - 8)` |
//! | `Q4_1` | scale f16, least f16, 16 bytes of codes: `scale * code + least` |
//! | `Q5_0` | scale f16, 4 bytes of fifth bits, 16 bytes of codes: `scale * (code - 16)` |
//! | `Q5_1` | scale f16, least f16, 4 bytes of fifth bits, 16 bytes of codes |
//! | `Q8_0` | scale f16, 32 signed bytes: `scale * code` |
//!
//! Byte `i` of the 4-bit codes holds element `i` in its low and element `i + 16` in its high half.
//! The encoders make the same bytes as ggml's reference quantisers.

use super::{half_at, inverse_or_zero, put_half};

const LEN: usize = 32;

pub(super) fn decode_q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (index, &pair) in block[2..18].iter().enumerate() {
        out[index] = scale * (f32::from(pair & 15) - 8.0);
        out[index + 16] = scale * (f32::from(pair >> 4) - 8.0);
    }
}

pub(super) fn decode_q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (index, &pair) in block[4..20].iter().enumerate() {
        out[index] = scale * f32::from(pair & 15) + least;
        out[index + 16] = scale * f32::from(pair >> 4) + least;
    }
}

pub(super) fn decode_q5_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (value, code) in out.iter_mut().zip(five_bit_codes(&block[2..22])) {
        *value = scale * (f32::from(code) - 16.0);
    }
}

pub(super) fn decode_q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    for (value, code) in out.iter_mut().zip(five_bit_codes(&block[4..24])) {
        *value = scale * f32::from(code) + least;
    }
}

pub(super) fn decode_q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half_at(block, 0);
    for (value, &code) in out.iter_mut().zip(&block[2..34]) {
        *value = scale * f32::from(code.cast_signed());
    }
}

/// The 32 codes of 4 bytes of fifth bits followed by 16 bytes of low halves.
fn five_bit_codes(bytes: &[u8]) -> [u8; LEN] {
    let fifth = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let fifth_of = |index: usize| ((fifth >> index & 1) << 4) as u8;
    let mut codes = [0; LEN];
    for (index, &pair) in bytes[4..20].iter().enumerate() {
        codes[index] = pair & 15 | fifth_of(index);
        codes[index + 16] = pair >> 4 | fifth_of(index + 16);
    }
    codes
}

pub(super) fn encode_q4_0(values: &[f32], block: &mut [u8]) {
    let scale = signed_peak(values) / -8.0;
    put_half(block, 0, scale);
    put_low_halves(&mut block[2..18], &codes(values, 0.0, scale, 8.5, 15));
}

pub(super) fn encode_q5_0(values: &[f32], block: &mut [u8]) {
    let scale = signed_peak(values) / -16.0;
    put_half(block, 0, scale);
    put_five_bit_codes(&mut block[2..22], &codes(values, 0.0, scale, 16.5, 31));
}

pub(super) fn encode_q4_1(values: &[f32], block: &mut [u8]) {
    let (least, greatest) = range(values);
    let scale = (greatest - least) / 15.0;
    put_half(block, 0, scale);
    put_half(block, 2, least);
    put_low_halves(&mut block[4..20], &codes(values, least, scale, 0.5, 15));
}

pub(super) fn encode_q5_1(values: &[f32], block: &mut [u8]) {
    let (least, greatest) = range(values);
    let scale = (greatest - least) / 31.0;
    put_half(block, 0, scale);
    put_half(block, 2, least);
    put_five_bit_codes(&mut block[4..24], &codes(values, least, scale, 0.5, 31));
}

pub(super) fn encode_q8_0(values: &[f32], block: &mut [u8]) {
    let scale = signed_peak(values).abs() / 127.0;
    let inverse = inverse_or_zero(scale);
    put_half(block, 0, scale);
    for (code, value) in block[2..34].iter_mut().zip(values) {
        *code = ((value * inverse).round() as i8).cast_unsigned();
    }
}

/// The value that is farthest from zero, with its sign; the first of equals.
pub(super) fn signed_peak(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |peak: f32, &value| if value.abs() > peak.abs() { value } else { peak })
}

fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), &value| {
        (least.min(value), greatest.max(value))
    })
}

/// `(value - least) / scale + shift`, cut to a whole number up to `code_max`; `shift` holds the
/// half that turns cutting into rounding.
fn codes(values: &[f32], least: f32, scale: f32, shift: f32, code_max: u8) -> [u8; LEN] {
    // The inverse of the unrounded scale, as ggml does: its bytes are reproduced exactly.
    let inverse = inverse_or_zero(scale);
    let mut codes = [0; LEN];
    for (code, value) in codes.iter_mut().zip(values) {
        *code = (((value - least) * inverse + shift) as u8).min(code_max);
    }
    codes
}

fn put_low_halves(bytes: &mut [u8], codes: &[u8; LEN]) {
    for (index, pair) in bytes.iter_mut().enumerate() {
        *pair = codes[index] & 15 | codes[index + 16] << 4;
    }
}

fn put_five_bit_codes(bytes: &mut [u8], codes: &[u8; LEN]) {
    let fifth = (0..LEN).fold(0, |bits: u32, index| bits | u32::from(codes[index] >> 4) << index);
    bytes[..4].copy_from_slice(&fifth.to_le_bytes());
    put_low_halves(&mut bytes[4..20], codes);
}
