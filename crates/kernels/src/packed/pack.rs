//! Moving one row of a file's blocks into its lane of a panel.

use half::f16;
use phial_tensor::{DType, quant};

use crate::packed::Form;

/// Puts `row` (blocks of `dtype`) into lane `lane` of a panel.
pub(super) fn row(dtype: DType, row: &[u8], lane: usize, panel: &mut [u8]) {
    let form = Form::of(dtype);
    let shape = form.block();
    match form {
        Form::Float(DType::F32) => return spread::<4>(row, lane, panel),
        Form::Float(_) => return spread::<2>(row, lane, panel),
        Form::ByteMin => return generic(dtype, row, lane, panel),
        _ => {}
    }
    let blocks = row.chunks_exact(dtype.block_bytes());
    for (block, out) in blocks.zip(panel.chunks_exact_mut(shape.bytes())) {
        let (scales, codes) = out.split_at_mut(shape.scale_bytes);
        match form {
            Form::Nibble => {
                put_f16(scales, lane, &block[..2]);
                nibbles(&block[2..], lane, codes);
            }
            Form::NibbleMin => {
                put_f16(scales, lane, &block[..2]);
                put_f16(scales, 16 + lane, &block[2..4]);
                nibbles(&block[4..], lane, codes);
            }
            Form::NibbleSuper => {
                super_scales(&block[..16], lane, scales);
                for (group, out) in codes.chunks_exact_mut(shape.code_bytes).enumerate() {
                    super_nibbles(&block[16 + group / 2 * 32..][..32], group % 2, lane, out);
                }
            }
            Form::FiveSuper => {
                super_scales(&block[..16], lane, scales);
                five(block, lane, codes);
            }
            Form::SixSuper => six(block, lane, scales, codes),
            _ => {
                put_f16(scales, lane, &block[..2]);
                for (column, code) in block[2..].iter().enumerate() {
                    codes[byte_of(column, lane)] = code ^ 0x80;
                }
            }
        }
    }
}

/// Elements of `SIZE` bytes, one per column.
fn spread<const SIZE: usize>(row: &[u8], lane: usize, codes: &mut [u8]) {
    for (element, out) in row.chunks_exact(SIZE).zip(codes.chunks_exact_mut(16 * SIZE)) {
        out[lane * SIZE..][..SIZE].copy_from_slice(element);
    }
}

/// The byte of an 8-bit group that holds `column` of `lane`.
fn byte_of(column: usize, lane: usize) -> usize {
    column / 4 * 64 + 4 * lane + column % 4
}

/// 16 bytes with columns 0..16 in the low and 16..32 in the high nibbles: already as in a panel.
fn nibbles(block: &[u8], lane: usize, group: &mut [u8]) {
    for (four, out) in block.chunks_exact(4).zip(group.chunks_exact_mut(64)) {
        out[4 * lane..][..4].copy_from_slice(four);
    }
}

fn put_f16(scales: &mut [u8], index: usize, value: &[u8]) {
    scales[2 * index..][..2].copy_from_slice(value);
}

/// Four bytes at a time: masks of the parts of each byte.
const ONE_BIT: u32 = 0x0101_0101;
const TWO_BITS: u32 = 0x0303_0303;
const LOW_NIBBLES: u32 = 0x0f0f_0f0f;

/// Little-endian words, as a lane holds four columns.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn put_word(out: &mut [u8], start: usize, lane: usize, word: u32) {
    out[start + 4 * lane..][..4].copy_from_slice(&word.to_le_bytes());
}

/// One group out of 32 bytes that hold two: the low (`half` 0) or the high (1) nibbles.
fn super_nibbles(bytes: &[u8], half: usize, lane: usize, out: &mut [u8]) {
    let (first, second) = bytes.split_at(16);
    for (vector, (low, high)) in words(first).zip(words(second)).enumerate() {
        let nibbles = |word: u32| word >> (4 * half) & LOW_NIBBLES;
        put_word(out, 64 * vector, lane, nibbles(low) | nibbles(high) << 4);
    }
}

/// Two f16 and eight 6-bit pairs (scale, minimum) in 16 bytes, as `q4_k` and `q5_k` have them.
/// In a panel: `scale[16] minimum[16]` as f16, then per group `scale[16] minimum[16]` as bytes.
fn super_scales(block: &[u8], lane: usize, out: &mut [u8]) {
    put_f16(out, lane, &block[..2]);
    put_f16(out, 16 + lane, &block[2..4]);
    let packed = &block[4..16];
    for group in 0..8 {
        let (scale, minimum) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let high = packed[group + 4];
            ((high & 15) | (packed[group - 4] >> 6) << 4, (high >> 4) | (packed[group] >> 6) << 4)
        };
        out[64 + group * 32 + lane] = scale;
        out[64 + group * 32 + 16 + lane] = minimum;
    }
}

/// `q5_k`: 16 bytes of scales, 32 of fifth bits, 128 of nibbles.
fn five(block: &[u8], lane: usize, codes: &mut [u8]) {
    for (group, out) in codes.chunks_exact_mut(320).enumerate() {
        super_nibbles(&block[48 + group / 2 * 32..][..32], group % 2, lane, out);
        let fifth = |high: u32, vector: usize| (high >> group & ONE_BIT) << vector;
        let words = words(&block[16..48]).enumerate();
        let bits = words.fold(0, |bits, (vector, high)| bits | fifth(high, vector));
        put_word(out, 256, lane, bits);
    }
}

/// `q6_k`: 128 bytes of low nibbles, 64 of high pairs, 16 scales, one f16.
fn six(block: &[u8], lane: usize, scales: &mut [u8], codes: &mut [u8]) {
    let (low, high, small, scale) =
        (&block[..128], &block[128..192], &block[192..208], &block[208..210]);
    for (group, out) in codes.chunks_exact_mut(384).enumerate() {
        let (half, quarter) = (group / 4, group % 4);
        let low = &low[64 * half + 32 * (quarter % 2)..][..32];
        super_nibbles(low, quarter / 2, lane, out);
        let mut pairs = [0; 2];
        for (vector, high) in words(&high[32 * half..][..32]).enumerate() {
            pairs[vector / 4] |= (high >> (2 * quarter) & TWO_BITS) << (2 * (vector % 4));
        }
        put_word(out, 256, lane, pairs[0]);
        put_word(out, 320, lane, pairs[1]);
    }
    put_f16(scales, lane, scale);
    for (sixteen, value) in small.iter().enumerate() {
        scales[32 + 16 * sixteen + lane] = *value;
    }
}

/// Any type whose values within 16 columns are `scale * code + minimum`: the scale and minimum are
/// found from the decoded values, which are exact multiples.
fn generic(dtype: DType, row: &[u8], lane: usize, panel: &mut [u8]) {
    let columns = row.len() / dtype.block_bytes() * dtype.block_len();
    let mut values = vec![0.0; columns];
    quant::decode(dtype, row, &mut values);
    let shape = Form::ByteMin.block();
    for (sixteen, values) in values.chunks_exact(16).enumerate() {
        let (scale, minimum, small) = affine(dtype, row, sixteen, values);
        let block = &mut panel[sixteen / 2 * shape.bytes()..][..shape.bytes()];
        let (scales, codes) = block.split_at_mut(shape.scale_bytes);
        for (column, code) in small.into_iter().enumerate() {
            codes[byte_of(16 * (sixteen % 2) + column, lane)] = (code as u8) ^ 0x80;
        }
        let out = &mut scales[sixteen % 2 * 128..][..128];
        out[4 * lane..][..4].copy_from_slice(&scale.to_le_bytes());
        out[64 + 4 * lane..][..4].copy_from_slice(&minimum.to_le_bytes());
    }
}

/// Scale, minimum and signed codes of 16 columns.
fn affine(dtype: DType, row: &[u8], sixteen: usize, values: &[f32]) -> (f32, f32, [i8; 16]) {
    let block_len = dtype.block_len();
    let block = &row[sixteen * 16 / block_len * dtype.block_bytes()..][..dtype.block_bytes()];
    let within = sixteen * 16 % block_len / 16;
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let (scale, minimum) = match dtype {
        DType::Q5_0 | DType::IQ4_NL => (half(0), 0.0),
        DType::Q5_1 => (half(0), half(2)),
        DType::Q2_K => {
            let pair = block[within];
            (half(80) * f32::from(pair & 15), -half(82) * f32::from(pair >> 4))
        }
        DType::Q3_K => (half(108) * f32::from(three_bit_scale(&block[96..108], within)), 0.0),
        DType::IQ4_XS => {
            let group = within / 2;
            let high = u16::from_le_bytes([block[2], block[3]]) >> (2 * group) & 3;
            let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
            (half(0) * f32::from((low as i8 | (high as i8) << 4) - 32), 0.0)
        }
        DType::TQ2_0 => (half(64), 0.0),
        _ => unreachable!("{} has a form of its own", dtype.name()),
    };
    let mut codes = [0; 16];
    for (code, value) in codes.iter_mut().zip(values) {
        let exact = if scale == 0.0 { 0.0 } else { (value - minimum) / scale };
        *code = exact.round() as i8;
    }
    (scale, minimum, codes)
}

/// The 6-bit scale of 16 columns of `q3_k`, less 32.
fn three_bit_scale(packed: &[u8], index: usize) -> i8 {
    let low = if index < 8 { packed[index] & 15 } else { packed[index - 8] >> 4 };
    let high = packed[8 + index % 4] >> (2 * (index / 4)) & 3;
    (low | high << 4) as i8 - 32
}
