//! How keys and values lie in a block, written one position at a time.
//!
//! ```text
//! block of one head = keys, then values                       (32 positions)
//! float keys   = 2 panels [dimension][16 positions]: a lane is a position, queries are broadcast
//! float values = [position][dimension]: a lane is a dimension
//! int8 keys    = 2 panels: codes [dimension / 4][16 positions][4 dimensions],
//!                then f16 scales [dimension / 32][16 positions]
//! int8 values  = codes [position / 4][dimension][4 positions], then f16 scales [32 positions]
//! ```
//! A code is `value / scale + 128`.

use half::f16;

use super::{BLOCK, Element, Geometry, PANEL};

/// Dimensions of a key that share a scale.
pub(super) const KEY_GROUP: usize = 32;

/// Writes the keys and values of one position: `key` and `value` are `[kv_heads * head_dim]`,
/// `block` the block's bytes, `offset` the position within it.
pub fn store_position(
    geometry: &Geometry,
    block: &mut [u8],
    offset: usize,
    key: &[f32],
    value: &[f32],
) {
    let dim = geometry.head_dim;
    let heads = key.chunks_exact(dim).zip(value.chunks_exact(dim));
    let key_bytes = geometry.element.block_bytes(dim).0;
    for (bytes, (key, value)) in block.chunks_exact_mut(geometry.head_block_bytes()).zip(heads) {
        let (keys, values) = bytes.split_at_mut(key_bytes);
        let panel = &mut keys[offset / PANEL * (key_bytes / 2)..][..key_bytes / 2];
        let lane = offset % PANEL;
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
                for (d, (k, v)) in key.iter().zip(value).enumerate() {
                    let (k, v) = (f16::from_f32(*k), f16::from_f32(*v));
                    panel[(d * PANEL + lane) * 2..][..2].copy_from_slice(&k.to_le_bytes());
                    row[d * 2..][..2].copy_from_slice(&v.to_le_bytes());
                }
            }
            Element::Int8 => {
                store_key_codes(panel, lane, key);
                store_value_codes(values, offset, value);
            }
        }
    }
}

fn store_key_codes(panel: &mut [u8], lane: usize, key: &[f32]) {
    let (codes, scales) = panel.split_at_mut(PANEL * key.len());
    for (group, values) in key.chunks_exact(KEY_GROUP).enumerate() {
        let scale = code_scale(values);
        scales[(group * PANEL + lane) * 2..][..2].copy_from_slice(&scale.to_le_bytes());
        let codes = &mut codes[group * PANEL * KEY_GROUP..][..PANEL * KEY_GROUP];
        for (values, codes) in values.chunks_exact(4).zip(codes.chunks_exact_mut(4 * PANEL)) {
            for (value, code) in values.iter().zip(&mut codes[4 * lane..]) {
                *code = code_of(*value, scale);
            }
        }
    }
}

fn store_value_codes(values: &mut [u8], offset: usize, value: &[f32]) {
    let (codes, scales) = values.split_at_mut(BLOCK * value.len());
    let scale = code_scale(value);
    scales[2 * offset..][..2].copy_from_slice(&scale.to_le_bytes());
    let codes = &mut codes[offset / 4 * 4 * value.len()..][..4 * value.len()];
    for (value, codes) in value.iter().zip(codes.chunks_exact_mut(4)) {
        codes[offset % 4] = code_of(*value, scale);
    }
}

/// The scale that maps the largest magnitude to 127, as it is stored.
fn code_scale(values: &[f32]) -> f16 {
    let largest = values.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    f16::from_f32((largest / 127.0).min(f16::MAX.to_f32()))
}

fn code_of(value: f32, scale: f16) -> u8 {
    let scale = scale.to_f32();
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let code = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i32;
    (code + 128) as u8
}

/// Element `d` of the key or value at `offset` of a head's block, as it is stored: the plain form
/// of what the kernels read.
pub(crate) fn cached_bytes(
    geometry: &Geometry,
    head: &[u8],
    (offset, d): (usize, usize),
    is_value: bool,
) -> f32 {
    let dim = geometry.head_dim;
    let key_bytes = geometry.element.block_bytes(dim).0;
    let (keys, values) = head.split_at(key_bytes);
    let panel = &keys[offset / PANEL * (key_bytes / 2)..];
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
                let code = bytes[offset / 4 * 4 * dim + 4 * d + offset % 4];
                (code, half(&bytes[BLOCK * dim..], offset))
            } else {
                let code = bytes[d / 4 * 4 * PANEL + 4 * lane + d % 4];
                (code, half(&bytes[PANEL * dim..], d / KEY_GROUP * PANEL + lane))
            };
            (f32::from(code) - 128.0) * scale
        }
    }
}
