//! How keys and values lie in a block, written one position at a time.
//!
//! ```text
//! block of one head = keys, then values                       (32 positions)
//! float keys   = 2 panels [dimension][16 positions]: a lane is a position, queries are broadcast
//! float values = [position][dimension]: a lane is a dimension
//! int8 keys    = 2 panels: codes [dimension / 4][16 positions][4 dimensions] of rotated keys,
//!                then f16 scales [16 positions]
//! int8 values  = codes [position / 4][dimension][4 positions], then f16 scales [32 positions]
//! ```
//! A code is `value / scale + 128`.

use half::f16;

use super::{BLOCK, Element, Geometry, HEAD_DIM_MAX, PANEL, rotate};
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

#[inline(always)]
fn store_key_codes<L: Lanes>(lanes: L, panel: &mut [u8], lane: usize, key: &[f32]) {
    let (codes, scales) = panel.split_at_mut(PANEL * key.len());
    let mut rotated = [0.0; HEAD_DIM_MAX];
    let rotated = &mut rotated[..key.len()];
    rotated.copy_from_slice(key);
    rotate(rotated);
    let mut signed = [0; HEAD_DIM_MAX];
    let scale = code(lanes, rotated, &mut signed);
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

fn offset_codes(codes: [i8; 4]) -> [u8; 4] {
    (u32::from_le_bytes(codes.map(|code| code as u8)) ^ 0x8080_8080).to_le_bytes()
}

/// Element `d` of the (for int8: rotated) key or of the value at `offset` of a head's block, as it
/// is stored: the plain form of what the kernels read.
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
    }
}
