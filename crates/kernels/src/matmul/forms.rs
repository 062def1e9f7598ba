//! How each packed form is unpacked into registers.

use crate::lanes::Lanes;
use crate::packed::{Block, Form};

/// Scales and minimums of a group of 32 columns, one lane per weight row. Forms with one scale
/// per group use `low` alone.
pub(super) struct GroupScales<L: Lanes> {
    pub low: L::F,
    pub high: L::F,
    pub low_minimum: L::F,
    pub high_minimum: L::F,
}

/// A packed form, at compile time.
pub(super) trait PackedForm {
    /// How its panels are cut.
    const BLOCK: Block;
    /// A scale per 16 columns rather than per 32.
    const SPLIT: bool = false;
    /// Whether values are `scale * code + minimum`.
    const MINIMUM: bool = false;
    /// Codes fill a byte.
    const WIDE: bool = false;
    /// The code that stands for zero (of codes below 128).
    const ZERO: i32 = 0;

    /// Vector `index` (0..8) of codes: columns `4 * index..4 * index + 4` of the group.
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B;
}

/// A form with float scales: a block is one group.
pub(super) trait GroupForm: PackedForm {
    /// The scales of a block.
    fn scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> GroupScales<L>;
}

/// A form with integer scales under one float: a block is a super-block.
pub(super) trait SuperForm: PackedForm {
    /// What products with the integer scales, and with the (negated) integer minimums, are
    /// multiplied with.
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F);

    /// The integer scales of both halves of group `group`; forms that are not
    /// [`PackedForm::SPLIT`] have one for both.
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> [L::I; 2];

    /// The bytes of the integer minimums of a group, unsigned, below 64.
    #[inline(always)]
    fn minimums(scales: &[u8], _group: usize) -> &[u8] {
        scales
    }
}

#[inline(always)]
fn one_scale<L: Lanes>(lanes: L, low: L::F) -> GroupScales<L> {
    let none = lanes.splat(0.0);
    GroupScales { low, high: none, low_minimum: none, high_minimum: none }
}

/// The vector `index` of a group.
#[inline(always)]
fn vector<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
    lanes.load_bytes(&group[64 * index + 4 * lane..64 * index + 64])
}

/// Vectors 4 to 8 are the high nibbles of vectors 0 to 4.
#[inline(always)]
fn nibbles<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
    let both = vector(lanes, group, index % 4, lane);
    if index < 4 { lanes.low_nibbles(both) } else { lanes.high_nibbles(both) }
}

/// The f16 scale and (negated) minimum of a block of `q4_k` and `q5_k`.
#[inline(always)]
fn scale_and_minimum<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
    let minimum = lanes.load_f16(&scales[32 + 2 * lane..64]);
    (lanes.load_f16(&scales[2 * lane..32]), lanes.sub(lanes.splat(0.0), minimum))
}

/// Their integer scales and minimums of a group: 16 bytes each.
#[inline(always)]
fn small_scales(scales: &[u8], group: usize) -> (&[u8], &[u8]) {
    scales[64 + group * 32..][..32].split_at(16)
}

pub(super) struct Nibble;

impl PackedForm for Nibble {
    const BLOCK: Block = Form::Nibble.block();
    const ZERO: i32 = 8;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
}

impl GroupForm for Nibble {
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]))
    }
}

pub(super) struct NibbleMin;

impl PackedForm for NibbleMin {
    const BLOCK: Block = Form::NibbleMin.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
}

impl GroupForm for NibbleMin {
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> GroupScales<L> {
        let mut out = one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]));
        out.low_minimum = lanes.load_f16(&scales[32 + 2 * lane..64]);
        out
    }
}

pub(super) struct NibbleSuper;

impl PackedForm for NibbleSuper {
    const BLOCK: Block = Form::NibbleSuper.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
}

impl SuperForm for NibbleSuper {
    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        scale_and_minimum(lanes, scales, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> [L::I; 2] {
        let scale = lanes.load_u8_int(&small_scales(scales, group).0[lane..]);
        [scale, scale]
    }
    #[inline(always)]
    fn minimums(scales: &[u8], group: usize) -> &[u8] {
        small_scales(scales, group).1
    }
}

pub(super) struct FiveSuper;

impl PackedForm for FiveSuper {
    const BLOCK: Block = Form::FiveSuper.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        let low = nibbles(lanes, &group[..256], index, lane);
        let high = lanes.load_bytes(&group[256 + 4 * lane..]);
        match index {
            0 => lanes.add_high_bits::<0, 1>(low, high),
            1 => lanes.add_high_bits::<1, 1>(low, high),
            2 => lanes.add_high_bits::<2, 1>(low, high),
            3 => lanes.add_high_bits::<3, 1>(low, high),
            4 => lanes.add_high_bits::<4, 1>(low, high),
            5 => lanes.add_high_bits::<5, 1>(low, high),
            6 => lanes.add_high_bits::<6, 1>(low, high),
            _ => lanes.add_high_bits::<7, 1>(low, high),
        }
    }
}

impl SuperForm for FiveSuper {
    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        scale_and_minimum(lanes, scales, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> [L::I; 2] {
        let scale = lanes.load_u8_int(&small_scales(scales, group).0[lane..]);
        [scale, scale]
    }
    #[inline(always)]
    fn minimums(scales: &[u8], group: usize) -> &[u8] {
        small_scales(scales, group).1
    }
}

pub(super) struct SixSuper;

impl PackedForm for SixSuper {
    const BLOCK: Block = Form::SixSuper.block();
    const SPLIT: bool = true;
    const ZERO: i32 = 32;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        let low = nibbles(lanes, &group[..256], index, lane);
        let high = lanes.load_bytes(&group[256 + 64 * (index / 4) + 4 * lane..]);
        match index % 4 {
            0 => lanes.add_high_bits::<0, 3>(low, high),
            1 => lanes.add_high_bits::<2, 3>(low, high),
            2 => lanes.add_high_bits::<4, 3>(low, high),
            _ => lanes.add_high_bits::<6, 3>(low, high),
        }
    }
}

impl SuperForm for SixSuper {
    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        (lanes.load_f16(&scales[2 * lane..32]), lanes.splat(0.0))
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> [L::I; 2] {
        let small = &scales[32 + group * 32..][..32];
        [lanes.load_i8_int(&small[lane..16]), lanes.load_i8_int(&small[16 + lane..])]
    }
}

pub(super) struct Byte;

impl PackedForm for Byte {
    const BLOCK: Block = Form::Byte.block();
    const WIDE: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        vector(lanes, group, index, lane)
    }
}

impl GroupForm for Byte {
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]))
    }
}

pub(super) struct ByteMin;

impl PackedForm for ByteMin {
    const BLOCK: Block = Form::ByteMin.block();
    const SPLIT: bool = true;
    const MINIMUM: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        vector(lanes, group, index, lane)
    }
}

impl GroupForm for ByteMin {
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> GroupScales<L> {
        GroupScales {
            low: lanes.load_f32_bytes(&scales[4 * lane..64]),
            low_minimum: lanes.load_f32_bytes(&scales[64 + 4 * lane..128]),
            high: lanes.load_f32_bytes(&scales[128 + 4 * lane..192]),
            high_minimum: lanes.load_f32_bytes(&scales[192 + 4 * lane..256]),
        }
    }
}
