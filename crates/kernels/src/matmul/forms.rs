//! How each packed form is unpacked into registers.

use crate::lanes::Lanes;

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
    /// Bytes of codes per group.
    const CODE_BYTES: usize;
    /// A scale per 16 columns rather than per 32.
    const SPLIT: bool = false;
    /// Whether values are `scale * code + minimum`.
    const MINIMUM: bool = false;
    /// Codes fill a byte.
    const WIDE: bool = false;
    /// The code that stands for zero (of codes below 128).
    const ZERO: i32 = 0;

    /// Eight vectors of codes: vector `i` holds columns `4i..4i+4`.
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8];

    /// The group's scales.
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L>;
}

#[inline(always)]
fn one_scale<L: Lanes>(lanes: L, low: L::F) -> GroupScales<L> {
    let none = lanes.splat(0.0);
    GroupScales { low, high: none, low_minimum: none, high_minimum: none }
}

#[inline(always)]
fn nibble_codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
    let pairs: [L::B; 4] =
        std::array::from_fn(|vector| lanes.load_bytes(&group[64 * vector + 4 * lane..]));
    [
        lanes.low_nibbles(pairs[0]),
        lanes.low_nibbles(pairs[1]),
        lanes.low_nibbles(pairs[2]),
        lanes.low_nibbles(pairs[3]),
        lanes.high_nibbles(pairs[0]),
        lanes.high_nibbles(pairs[1]),
        lanes.high_nibbles(pairs[2]),
        lanes.high_nibbles(pairs[3]),
    ]
}

#[inline(always)]
fn byte_codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
    std::array::from_fn(|vector| lanes.load_bytes(&group[64 * vector + 4 * lane..]))
}

/// Scale and minimum of `q4_k` and `q5_k`: f16 per 256 columns times a byte per group.
#[inline(always)]
fn super_scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
    let block = &scales[group / 8 * (64 + 8 * 32)..][..64 + 8 * 32];
    let small = &block[64 + group % 8 * 32..][..32];
    let scale = lanes.mul(lanes.load_f16(&block[2 * lane..]), lanes.load_u8(&small[lane..]));
    let large = lanes.sub(lanes.splat(0.0), lanes.load_f16(&block[32 + 2 * lane..]));
    let minimum = lanes.mul(large, lanes.load_u8(&small[16 + lane..]));
    GroupScales { low: scale, high: scale, low_minimum: minimum, high_minimum: minimum }
}

pub(super) struct Nibble;

impl GroupForm for Nibble {
    const CODE_BYTES: usize = 256;
    const ZERO: i32 = 8;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        nibble_codes(lanes, group, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[group * 32 + 2 * lane..]))
    }
}

pub(super) struct NibbleMin;

impl GroupForm for NibbleMin {
    const CODE_BYTES: usize = 256;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        nibble_codes(lanes, group, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        let block = &scales[group * 64..][..64];
        let mut out = one_scale(lanes, lanes.load_f16(&block[2 * lane..]));
        out.low_minimum = lanes.load_f16(&block[32 + 2 * lane..]);
        out
    }
}

pub(super) struct NibbleSuper;

impl GroupForm for NibbleSuper {
    const CODE_BYTES: usize = 256;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        nibble_codes(lanes, group, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        super_scales(lanes, scales, group, lane)
    }
}

pub(super) struct FiveSuper;

impl GroupForm for FiveSuper {
    const CODE_BYTES: usize = 320;
    const MINIMUM: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        let low = nibble_codes(lanes, &group[..256], lane);
        let high = lanes.load_bytes(&group[256 + 4 * lane..]);
        [
            lanes.add_high_bits::<0, 1>(low[0], high),
            lanes.add_high_bits::<1, 1>(low[1], high),
            lanes.add_high_bits::<2, 1>(low[2], high),
            lanes.add_high_bits::<3, 1>(low[3], high),
            lanes.add_high_bits::<4, 1>(low[4], high),
            lanes.add_high_bits::<5, 1>(low[5], high),
            lanes.add_high_bits::<6, 1>(low[6], high),
            lanes.add_high_bits::<7, 1>(low[7], high),
        ]
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        super_scales(lanes, scales, group, lane)
    }
}

pub(super) struct SixSuper;

impl GroupForm for SixSuper {
    const CODE_BYTES: usize = 384;
    const SPLIT: bool = true;
    const ZERO: i32 = 32;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        let low = nibble_codes(lanes, &group[..256], lane);
        let first = lanes.load_bytes(&group[256 + 4 * lane..320]);
        let second = lanes.load_bytes(&group[320 + 4 * lane..384]);
        [
            lanes.add_high_bits::<0, 3>(low[0], first),
            lanes.add_high_bits::<2, 3>(low[1], first),
            lanes.add_high_bits::<4, 3>(low[2], first),
            lanes.add_high_bits::<6, 3>(low[3], first),
            lanes.add_high_bits::<0, 3>(low[4], second),
            lanes.add_high_bits::<2, 3>(low[5], second),
            lanes.add_high_bits::<4, 3>(low[6], second),
            lanes.add_high_bits::<6, 3>(low[7], second),
        ]
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        let block = &scales[group / 8 * (32 + 8 * 32)..][..32 + 8 * 32];
        let small = &block[32 + group % 8 * 32..][..32];
        let large = lanes.load_f16(&block[2 * lane..]);
        let none = lanes.splat(0.0);
        GroupScales {
            low: lanes.mul(large, lanes.load_i8(&small[lane..])),
            high: lanes.mul(large, lanes.load_i8(&small[16 + lane..])),
            low_minimum: none,
            high_minimum: none,
        }
    }
}

pub(super) struct Byte;

impl GroupForm for Byte {
    const CODE_BYTES: usize = 512;
    const WIDE: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        byte_codes(lanes, group, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        one_scale(lanes, lanes.load_f16(&scales[group * 32 + 2 * lane..]))
    }
}

pub(super) struct ByteMin;

impl GroupForm for ByteMin {
    const CODE_BYTES: usize = 512;
    const SPLIT: bool = true;
    const MINIMUM: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    fn codes<L: Lanes>(lanes: L, group: &[u8], lane: usize) -> [L::B; 8] {
        byte_codes(lanes, group, lane)
    }
    #[inline(always)]
    fn scales<L: Lanes>(lanes: L, scales: &[u8], group: usize, lane: usize) -> GroupScales<L> {
        let block = &scales[group * 256..][..256];
        GroupScales {
            low: lanes.load_f32_bytes(&block[4 * lane..64]),
            low_minimum: lanes.load_f32_bytes(&block[64 + 4 * lane..128]),
            high: lanes.load_f32_bytes(&block[128 + 4 * lane..192]),
            high_minimum: lanes.load_f32_bytes(&block[192 + 4 * lane..]),
        }
    }
}
