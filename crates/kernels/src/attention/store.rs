//! How keys and values lie in a block, written one position at a time.
//!
//! ```text
//! block of one head = keys, then values                       (32 positions)
//! float keys   = 2 panels [dimension][16 positions]: a lane is a position, queries are broadcast
//! float values = [position][dimension]: a lane is a dimension
//! int8 keys    = 2 panels: codes [dimension / 4][16 positions][4 dimensions] of rotated keys,
//!                then f16 scales [16 positions]
//! int8 values  = codes [position / 4][dimension][4 positions], then f16 scales [32 positions]
//! int4 keys    = 2 panels: codes [group][4][16 positions][4 dimensions, and those 16 behind them],
//!                then f16 scales [group][16 positions]
//! int4 values  = codes [4][dimension][4 positions, and those 16 behind them],
//!                then f16 scales [group][32 positions]
//! ```
//! An int8 code is `value / scale + 128`. An int4 code is `value / scale + 8`; a byte has two, the
//! first in its low half. A group is 32 dimensions; values are rotated as well as keys.

use half::f16;

use super::{BLOCK, Element, Geometry, HEAD_DIM_MAX, PANEL, rotate};
use crate::activations::GROUP;
use crate::cpu::Tier;
use crate::lanes::{Kernel, Lanes};

/// Writes the keys and values of one position: `key` and `value` are `[kv_heads * head_dim]`,
/// `block` the block's bytes, `offset` the position within it.
pub fn store_position(
    tier: Tier,
    geometry: &Geometry,
    block: &mut [u8],
    offset: usize,
    (key, value): (&[f32], &[f32]),
) {
    tier.run(StorePosition { geometry, block, offset, key, value });
}

struct StorePosition<'a> {
    geometry: &'a Geometry,
    block: &'a mut [u8],
    offset: usize,
    key: &'a [f32],
    value: &'a [f32],
}

impl Kernel for StorePosition<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { geometry, block, offset, key, value } = self;
        let dim = geometry.head_dim;
        let heads = key.chunks_exact(dim).zip(value.chunks_exact(dim));
        let key_bytes = geometry.element.block_bytes(dim).0;
        let lane = offset % PANEL;
        for (bytes, (key, value)) in block.chunks_exact_mut(geometry.head_block_bytes()).zip(heads)
        {
            let (keys, values) = bytes.split_at_mut(key_bytes);
            let panel = &mut keys[offset / PANEL * (key_bytes / 2)..][..key_bytes / 2];
            match geometry.element {
                Element::F32 => {
                    let row = &mut values[offset * dim * 4..][..dim * 4];
                    for (d, (k, v)) in key.iter().zip(value).enumerate() {
                        panel[(d * PANEL + lane) * 4..][..4].copy_from_slice(&k.to_le_bytes());
                        row[d * 4..][..4].copy_from_slice(&v.to_le_bytes());
                    }
                }
                Element::F16 => {
                    let row = &mut values[offset * dim * 2..][..dim * 2];
                    store_halves(lanes, value, row);
                    let mut halves = [0; 2 * HEAD_DIM_MAX];
                    store_halves(lanes, key, &mut halves[..2 * dim]);
                    let places = panel.chunks_exact_mut(2 * PANEL);
                    for (half, place) in halves[..2 * dim].chunks_exact(2).zip(places) {
                        place[2 * lane..][..2].copy_from_slice(half);
                    }
                }
                Element::Int8 => {
                    store_key_codes(lanes, panel, lane, key);
                    store_value_codes(lanes, values, offset, value);
                }
                Element::Int4 => {
                    store_key_nibbles(panel, lane, key);
                    store_value_nibbles(values, offset, value);
                }
            }
        }
    }
}

#[inline(always)]
fn store_halves<L: Lanes>(lanes: L, values: &[f32], out: &mut [u8]) {
    let parts = values.chunks_exact(L::COUNT).zip(out.chunks_exact_mut(2 * L::COUNT));
    for (values, out) in parts {
        lanes.store_f16(lanes.load(values), out);
    }
}

/// A rotated copy, with zeros behind it.
#[inline(always)]
fn rotated(values: &[f32]) -> [f32; HEAD_DIM_MAX] {
    let mut rotated = [0.0; HEAD_DIM_MAX];
    rotated[..values.len()].copy_from_slice(values);
    rotate(&mut rotated[..values.len()]);
    rotated
}

#[inline(always)]
fn store_key_codes<L: Lanes>(lanes: L, panel: &mut [u8], lane: usize, key: &[f32]) {
    let (codes, scales) = panel.split_at_mut(PANEL * key.len());
    let mut signed = [0; HEAD_DIM_MAX];
    let scale = code(lanes, &rotated(key)[..key.len()], &mut signed);
    scales[2 * lane..][..2].copy_from_slice(&scale.to_le_bytes());
    for (four, codes) in signed.as_chunks().0.iter().zip(codes.chunks_exact_mut(4 * PANEL)) {
        codes[4 * lane..][..4].copy_from_slice(&offset_codes(*four));
    }
}

#[inline(always)]
fn store_value_codes<L: Lanes>(lanes: L, values: &mut [u8], offset: usize, value: &[f32]) {
    let (codes, scales) = values.split_at_mut(BLOCK * value.len());
    let mut signed = [0; HEAD_DIM_MAX];
    let scale = code(lanes, value, &mut signed);
    scales[2 * offset..][..2].copy_from_slice(&scale.to_le_bytes());
    let codes = &mut codes[offset / 4 * 4 * value.len()..][..4 * value.len()];
    for (four, codes) in signed.as_chunks().0.iter().zip(codes.chunks_exact_mut(16)) {
        for (code, codes) in offset_codes(*four).into_iter().zip(codes.chunks_exact_mut(4)) {
            codes[offset % 4] = code;
        }
    }
}

/// Codes of `values`, and the scale that maps the largest magnitude to 127, as it is stored.
#[inline(always)]
fn code<L: Lanes>(lanes: L, values: &[f32], codes: &mut [i8]) -> f16 {
    let mut largest = lanes.splat(0.0);
    for part in values.chunks_exact(L::COUNT) {
        largest = lanes.max(lanes.abs(lanes.load(part)), largest);
    }
    let scale = (lanes.largest(largest) / 127.0).min(f16::MAX.to_f32());
    let stored = f16::from_f32(scale);
    let scale = stored.to_f32();
    let inverse = lanes.splat(if scale > 0.0 { 1.0 / scale } else { 0.0 });
    for (part, codes) in values.chunks_exact(L::COUNT).zip(codes.chunks_exact_mut(L::COUNT)) {
        lanes.store_i8(lanes.mul(lanes.load(part), inverse), codes);
    }
    stored
}

/// What stands for zero in four bits.
pub(super) const NIBBLE_ZERO: i32 = 8;

#[inline(always)]
fn store_key_nibbles(panel: &mut [u8], lane: usize, key: &[f32]) {
    let (codes, scales) = panel.split_at_mut(PANEL * key.len() / 2);
    let places = codes.chunks_exact_mut(PANEL * GROUP / 2).zip(scales.chunks_exact_mut(2 * PANEL));
    for (values, (codes, scales)) in rotated(key).chunks_exact(GROUP).zip(places) {
        let (group, scale) = nibbles(values);
        scales[2 * lane..][..2].copy_from_slice(&scale.to_le_bytes());
        for (d, low) in group[..GROUP / 2].iter().enumerate() {
            let high = group[GROUP / 2 + d];
            codes[4 * (d / 4 * PANEL + lane) + d % 4] = low | (high << 4);
        }
    }
}

#[inline(always)]
fn store_value_nibbles(values: &mut [u8], offset: usize, value: &[f32]) {
    let dim = value.len();
    let (codes, scales) = values.split_at_mut(BLOCK * dim / 2);
    let (place, shift) = (offset % 16, offset / 16 * 4);
    let codes = &mut codes[4 * (place / 4 * dim)..][..4 * dim];
    let places = codes.chunks_exact_mut(4 * GROUP).zip(scales.chunks_exact_mut(2 * BLOCK));
    for (values, (codes, scales)) in rotated(value).chunks_exact(GROUP).zip(places) {
        let (group, scale) = nibbles(values);
        scales[2 * offset..][..2].copy_from_slice(&scale.to_le_bytes());
        for (code, bytes) in group.into_iter().zip(codes.chunks_exact_mut(4)) {
            // The other half is another position's.
            let byte = &mut bytes[place % 4];
            *byte = (*byte & !(15 << shift)) | (code << shift);
        }
    }
}

/// Steps of which the one that loses least is taken: the element of largest magnitude becomes so
/// many of them. A step of either sign uses all sixteen codes, as in `Q4_0`.
const LARGEST_IN_STEPS: [f32; 3] = [-8.0, -8.5, -7.5];

/// Codes of 32 values, and their scale.
#[inline(always)]
fn nibbles(values: &[f32]) -> ([u8; GROUP], f16) {
    let mut extreme = 0.0_f32;
    for &value in values {
        extreme = if value.abs() > extreme.abs() { value } else { extreme };
    }
    let limit = f16::MAX.to_f32();
    let mut best = ([NIBBLE_ZERO as u8; GROUP], f16::ZERO);
    let mut least = f32::INFINITY;
    for steps in LARGEST_IN_STEPS {
        let stored = f16::from_f32((extreme / steps).clamp(-limit, limit));
        let scale = stored.to_f32();
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let mut codes = [0; GROUP];
        // Sixteen sums, added up in order: every tier gets the same.
        let mut sums = [0.0; 16];
        for (index, (&value, out)) in values.iter().zip(&mut codes).enumerate() {
            let code = (value * inverse).round_ties_even().clamp(-8.0, 7.0);
            let error = value - code * scale;
            sums[index % 16] += error * error;
            *out = (code as i32 + NIBBLE_ZERO) as u8;
        }
        let sum = sums.iter().sum::<f32>();
        if sum < least {
            (best, least) = ((codes, stored), sum);
        }
    }
    best
}

fn offset_codes(codes: [i8; 4]) -> [u8; 4] {
    (u32::from_le_bytes(codes.map(|code| code as u8)) ^ 0x8080_8080).to_le_bytes()
}

/// Element `d` of the key or value at `offset` of a head's block as it is stored (rotated, where the
/// element type says so): the plain form of what the kernels read.
pub(crate) fn cached_element(
    geometry: &Geometry,
    head: &[u8],
    (offset, d): (usize, usize),
    is_value: bool,
) -> f32 {
    let dim = geometry.head_dim;
    let key_bytes = geometry.element.block_bytes(dim).0;
    let (keys, values) = head.split_at(key_bytes);
    let panel = &keys[offset / PANEL * (key_bytes / 2)..][..key_bytes / 2];
    let lane = offset % PANEL;
    let half =
        |bytes: &[u8], at: usize| f16::from_le_bytes([bytes[2 * at], bytes[2 * at + 1]]).to_f32();
    let index = if is_value { offset * dim + d } else { d * PANEL + lane };
    let bytes = if is_value { values } else { panel };
    match geometry.element {
        Element::F32 => {
            let at = 4 * index;
            f32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        }
        Element::F16 => half(bytes, index),
        Element::Int8 => {
            let (code, scale) = if is_value {
                (offset / 4 * 4 * dim + 4 * d + offset % 4, half(&bytes[BLOCK * dim..], offset))
            } else {
                (d / 4 * 4 * PANEL + 4 * lane + d % 4, half(&bytes[PANEL * dim..], lane))
            };
            (f32::from(bytes[code]) - 128.0) * scale
        }
        Element::Int4 => {
            let group = d / GROUP;
            let (code, high, scale) = if is_value {
                let place = offset % 16;
                let at = 4 * (place / 4 * dim + d) + place % 4;
                let scale = half(&bytes[BLOCK * dim / 2..], group * BLOCK + offset);
                (at, offset >= 16, scale)
            } else {
                let place = d % 16;
                let at = group * PANEL * GROUP / 2 + 4 * (place / 4 * PANEL + lane) + place % 4;
                let scale = half(&bytes[PANEL * dim / 2..], group * PANEL + lane);
                (at, d % GROUP >= 16, scale)
            };
            let code = if high { bytes[code] >> 4 } else { bytes[code] & 15 };
            (f32::from(code) - NIBBLE_ZERO as f32) * scale
        }
    }
}
