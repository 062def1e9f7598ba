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
pub(super) trait GroupForm {
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

    /// What the scales of all groups of a block are multiplied with: scale and minimum.
    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, _scales: &[u8], _lane: usize) -> (L::F, L::F) {
        (lanes.splat(1.0), lanes.splat(1.0))
    }

    /// Vector `index` (0..8) of codes: columns `4 * index..4 * index + 4` of the group.
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B;

    /// The scales of group `group` of a block.
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        block: (L::F, L::F),
        group: usize,
        lane: usize,
    ) -> GroupScales<L>;
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
fn super_block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
    let minimum = lanes.load_f16(&scales[32 + 2 * lane..64]);
    (lanes.load_f16(&scales[2 * lane..32]), lanes.sub(lanes.splat(0.0), minimum))
}

/// Their scale and minimum per group: a byte times the block's.
#[inline(always)]
fn super_scales<L: Lanes>(
    lanes: L,
    scales: &[u8],
    (scale, minimum): (L::F, L::F),
    group: usize,
    lane: usize,
) -> GroupScales<L> {
    let small = &scales[64 + group * 32..][..32];
    let scale = lanes.mul(scale, lanes.load_u8(&small[lane..16]));
    let minimum = lanes.mul(minimum, lanes.load_u8(&small[16 + lane..]));
    GroupScales { low: scale, high: scale, low_minimum: minimum, high_minimum: minimum }
}

pub(super) struct Nibble;

impl GroupForm for Nibble {
    const BLOCK: Block = Form::Nibble.block();
    const ZERO: i32 = 8;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        _block: (L::F, L::F),
        _group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]))
    }
}

pub(super) struct NibbleMin;

impl GroupForm for NibbleMin {
    const BLOCK: Block = Form::NibbleMin.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        _block: (L::F, L::F),
        _group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        let mut out = one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]));
        out.low_minimum = lanes.load_f16(&scales[32 + 2 * lane..64]);
        out
    }
}

pub(super) struct NibbleSuper;

impl GroupForm for NibbleSuper {
    const BLOCK: Block = Form::NibbleSuper.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        super_block_scales(lanes, scales, lane)
    }
    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        nibbles(lanes, group, index, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        block: (L::F, L::F),
        group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        super_scales(lanes, scales, block, group, lane)
    }
}

pub(super) struct FiveSuper;

impl GroupForm for FiveSuper {
    const BLOCK: Block = Form::FiveSuper.block();
    const MINIMUM: bool = true;

    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        super_block_scales(lanes, scales, lane)
    }
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
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        block: (L::F, L::F),
        group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        super_scales(lanes, scales, block, group, lane)
    }
}

pub(super) struct SixSuper;

impl GroupForm for SixSuper {
    const BLOCK: Block = Form::SixSuper.block();
    const SPLIT: bool = true;
    const ZERO: i32 = 32;

    #[inline(always)]
    fn block_scales<L: Lanes>(lanes: L, scales: &[u8], lane: usize) -> (L::F, L::F) {
        (lanes.load_f16(&scales[2 * lane..32]), lanes.splat(0.0))
    }
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
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        block: (L::F, L::F),
        group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        let small = &scales[32 + group * 32..][..32];
        let none = lanes.splat(0.0);
        GroupScales {
            low: lanes.mul(block.0, lanes.load_i8(&small[lane..16])),
            high: lanes.mul(block.0, lanes.load_i8(&small[16 + lane..])),
            low_minimum: none,
            high_minimum: none,
        }
    }
}

pub(super) struct Byte;

impl GroupForm for Byte {
    const BLOCK: Block = Form::Byte.block();
    const WIDE: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        vector(lanes, group, index, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        _block: (L::F, L::F),
        _group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[2 * lane..32]))
    }
}

pub(super) struct ByteMin;

impl GroupForm for ByteMin {
    const BLOCK: Block = Form::ByteMin.block();
    const SPLIT: bool = true;
    const MINIMUM: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    fn code<L: Lanes>(lanes: L, group: &[u8], index: usize, lane: usize) -> L::B {
        vector(lanes, group, index, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(
        lanes: L,
        scales: &[u8],
        _block: (L::F, L::F),
        _group: usize,
        lane: usize,
    ) -> GroupScales<L> {
        GroupScales {
            low: lanes.load_f32_bytes(&scales[4 * lane..64]),
            low_minimum: lanes.load_f32_bytes(&scales[64 + 4 * lane..128]),
            high: lanes.load_f32_bytes(&scales[128 + 4 * lane..192]),
            high_minimum: lanes.load_f32_bytes(&scales[192 + 4 * lane..256]),
        }
    }
}
