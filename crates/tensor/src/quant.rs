//! Decode and encode of every block format, element by element, as ggml defines them.
//!
//! Each function in the sub-modules handles one block; [`decode`] and [`encode`] walk the blocks.
//! The modules are `legacy` (32 elements, one scale), `k_decode` and `k_encode` (256 elements,
//! scales of scales), `table` (codes that index a table of levels, and ternary) and `search` (how a
//! scale is chosen).

mod k_decode;
mod k_encode;
mod legacy;
mod search;
mod table;

use half::{bf16, f16};

use crate::DType;

/// The largest magnitude that a quantiser looks at: more than any block format can hold, and
/// small enough that sums of fourth powers stay finite in f64 and squares in f32.
const MAGNITUDE_MAX: f32 = 3.0e8;

/// Blocks have at most this many elements.
const BLOCK_LEN_MAX: usize = 256;

/// Decodes whole blocks into `out`.
///
/// # Panics
/// When `bytes` does not hold exactly `out.len()` elements of `dtype`.
pub fn decode(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(
        dtype.row_bytes(out.len()),
        Some(bytes.len()),
        "{} values of {} need another number of bytes",
        out.len(),
        dtype.name()
    );
    let decode_block: fn(&[u8], &mut [f32]) = match dtype {
        DType::F32 => return decode_each(bytes, out, f32::from_le_bytes),
        DType::F16 => {
            return decode_each(bytes, out, |pair| f16::from_le_bytes(pair).to_f32());
        }
        DType::BF16 => return decode_each(bytes, out, decode_bf16),
        DType::Q4_0 => legacy::decode_q4_0,
        DType::Q4_1 => legacy::decode_q4_1,
        DType::Q5_0 => legacy::decode_q5_0,
        DType::Q5_1 => legacy::decode_q5_1,
        DType::Q8_0 => legacy::decode_q8_0,
        DType::Q2_K => k_decode::decode_q2_k,
        DType::Q3_K => k_decode::decode_q3_k,
        DType::Q4_K => k_decode::decode_q4_k,
        DType::Q5_K => k_decode::decode_q5_k,
        DType::Q6_K => k_decode::decode_q6_k,
        DType::IQ4_NL => table::decode_iq4_nl,
        DType::IQ4_XS => table::decode_iq4_xs,
        DType::TQ2_0 => table::decode_tq2_0,
    };
    let blocks = bytes.chunks_exact(dtype.block_bytes());
    for (block, values) in blocks.zip(out.chunks_exact_mut(dtype.block_len())) {
        decode_block(block, values);
    }
}

/// Whether [`encode`] can write `dtype`. Every type of [`DType`] can be written today; callers
/// ask all the same, because a type that can be read need not be.
pub const fn can_encode(dtype: DType) -> bool {
    let _ = dtype;
    true
}

/// Encodes `values` as whole blocks of `dtype`; deterministic, row by row independent.
///
/// `F16` and `BF16` round to nearest even and keep infinities and NaN. The block formats have
/// neither: there NaN becomes zero and an infinity the largest value that the block can hold.
///
/// # Panics
/// When `out` is not exactly as long as `values.len()` elements of `dtype` need.
pub fn encode(dtype: DType, values: &[f32], out: &mut [u8]) {
    assert_eq!(
        dtype.row_bytes(values.len()),
        Some(out.len()),
        "{} values of {} need another number of bytes",
        values.len(),
        dtype.name()
    );
    let encode_block: fn(&[f32], &mut [u8]) = match dtype {
        DType::F32 => return encode_each(values, out, f32::to_le_bytes),
        DType::F16 => return encode_each(values, out, |value| f16::from_f32(value).to_le_bytes()),
        DType::BF16 => {
            return encode_each(values, out, |value| bf16::from_f32(value).to_le_bytes());
        }
        DType::Q4_0 => legacy::encode_q4_0,
        DType::Q4_1 => legacy::encode_q4_1,
        DType::Q5_0 => legacy::encode_q5_0,
        DType::Q5_1 => legacy::encode_q5_1,
        DType::Q8_0 => legacy::encode_q8_0,
        DType::Q2_K => k_encode::encode_q2_k,
        DType::Q3_K => k_encode::encode_q3_k,
        DType::Q4_K => k_encode::encode_q4_k,
        DType::Q5_K => k_encode::encode_q5_k,
        DType::Q6_K => k_encode::encode_q6_k,
        DType::IQ4_NL => table::encode_iq4_nl,
        DType::IQ4_XS => table::encode_iq4_xs,
        DType::TQ2_0 => table::encode_tq2_0,
    };
    let blocks = out.chunks_exact_mut(dtype.block_bytes());
    for (block, values) in blocks.zip(values.chunks_exact(dtype.block_len())) {
        if values.iter().all(|value| value.abs() <= MAGNITUDE_MAX) {
            encode_block(values, block);
        } else {
            let mut tamed = [0.0; BLOCK_LEN_MAX];
            for (tame, &value) in tamed.iter_mut().zip(values) {
                let number = if value.is_nan() { 0.0 } else { value };
                *tame = number.clamp(-MAGNITUDE_MAX, MAGNITUDE_MAX);
            }
            encode_block(&tamed[..values.len()], block);
        }
    }
}

fn decode_each<const N: usize>(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; N]) -> f32) {
    for (element, value) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *value = decode(*element);
    }
}

fn encode_each<const N: usize>(values: &[f32], out: &mut [u8], encode: impl Fn(f32) -> [u8; N]) {
    for (&value, element) in values.iter().zip(out.as_chunks_mut::<N>().0) {
        *element = encode(value);
    }
}

fn decode_bf16(pair: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(pair)) << 16)
}

/// The f16 at byte `at` of a block.
fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Stores `value` as f16 at byte `at`, kept finite, and returns what a reader will see there.
fn put_half(block: &mut [u8], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// `1 / value`, or 0 for 0 and for anything so small that its inverse is not finite.
fn inverse_or_zero(value: f32) -> f32 {
    let inverse = 1.0 / value;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests;
