//! The plain form of every operation: slow, short, and the specification of the fast ones.

use crate::activations::Span;
use crate::attention::{AttentionSpan, Geometry};

/// `out[r][o] = sum over i of weights[o][i] * input[r][i]`, summed in f64.
pub fn matmul(weights: &[f32], input: &[f32], columns: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for x in input.chunks_exact(columns) {
        for w in weights.chunks_exact(columns) {
            let sum: f64 = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            out.push(sum as f32);
        }
    }
    out
}

/// What 8-bit activations stand for: `span` columns rounded to multiples of a 127th of the largest.
pub fn quantize_activations(input: &[f32], span: Span) -> Vec<f32> {
    let mut out = Vec::with_capacity(input.len());
    for group in input.chunks(span.columns()) {
        let largest = group.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        let scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        out.extend(group.iter().map(|v| scale * (v * inverse).round_ties_even()));
    }
    out
}

/// RMSNorm.
pub fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32) -> Vec<f32> {
    let mean = x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64;
    let factor = 1.0 / (mean + f64::from(epsilon)).sqrt();
    x.iter().zip(weight).map(|(x, w)| (f64::from(*x) * factor * f64::from(*w)) as f32).collect()
}

/// SiLU of `gate` times `up`.
pub fn silu_mul(gate: &[f32], up: &[f32]) -> Vec<f32> {
    let silu = |g: f64| g / (1.0 + (-g).exp());
    gate.iter().zip(up).map(|(g, u)| (silu(f64::from(*g)) * f64::from(*u)) as f32).collect()
}

/// Attention of one query head of one row over `keys` and `values` (`[positions][head_dim]`).
pub fn attention(query: &[f32], keys: &[Vec<f32>], values: &[Vec<f32>], scale: f32) -> Vec<f32> {
    let score = |key: &Vec<f32>| -> f64 {
        let dot: f64 = query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
        dot * f64::from(scale)
    };
    let scores: Vec<f64> = keys.iter().map(score).collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    (0..query.len())
        .map(|d| {
            let sum: f64 = weights.iter().zip(values).map(|(w, v)| w * f64::from(v[d])).sum();
            (sum / total) as f32
        })
        .collect()
}

/// Key or value number `position` of a span's key/value head, read back from the cache.
pub fn cached(
    geometry: &Geometry,
    cache: &[u8],
    span: &AttentionSpan<'_>,
    (kv_head, position, is_value): (usize, usize, bool),
) -> Vec<f32> {
    use crate::attention::{BLOCK, cached_element, rotate};
    let block = span.blocks[position / BLOCK] as usize * geometry.block_bytes();
    let head = &cache[block + kv_head * geometry.head_block_bytes()..];
    let head = &head[..geometry.head_block_bytes()];
    let mut row: Vec<_> = (0..geometry.head_dim)
        .map(|d| cached_element(geometry, head, (position % BLOCK, d), is_value))
        .collect();
    let (keys, values) = geometry.element.rotates();
    let is_rotated = if is_value { values } else { keys };
    if is_rotated {
        rotate(&mut row);
    }
    row
}
