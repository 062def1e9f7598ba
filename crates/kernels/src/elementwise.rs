//! Operations on one row: normalisation, rotary embedding, SiLU.

use crate::cpu::Tier;
use crate::lanes::{Kernel, Lanes};

/// `out[i] = weight[i] * x[i] / sqrt(mean(x²) + epsilon)` (RMSNorm, arXiv 1910.07467).
pub fn rms_norm(tier: Tier, x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    assert!(x.len() == weight.len() && x.len() == out.len());
    tier.run(RmsNorm { x, weight, epsilon, out });
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let mut squares = [lanes.splat(0.0); 4];
        let mut chunks = self.x.chunks_exact(L::COUNT);
        for (index, chunk) in (&mut chunks).enumerate() {
            let value = lanes.load(chunk);
            squares[index % 4] = lanes.fma(value, value, squares[index % 4]);
        }
        let pairs = (lanes.add(squares[0], squares[1]), lanes.add(squares[2], squares[3]));
        let tail: f32 = chunks.remainder().iter().map(|v| v * v).sum();
        let total = lanes.sum(lanes.add(pairs.0, pairs.1)) + tail;
        let factor = 1.0 / (total / self.x.len() as f32 + self.epsilon).sqrt();
        let factor_lanes = lanes.splat(factor);
        let whole = self.x.len() / L::COUNT * L::COUNT;
        for start in (0..whole).step_by(L::COUNT) {
            let value = lanes.mul(lanes.load(&self.x[start..]), factor_lanes);
            let value = lanes.mul(value, lanes.load(&self.weight[start..]));
            lanes.store(value, &mut self.out[start..]);
        }
        for i in whole..self.x.len() {
            self.out[i] = self.x[i] * factor * self.weight[i];
        }
    }
}

/// `out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]`
pub fn silu_mul(tier: Tier, gate: &[f32], up: &[f32], out: &mut [f32]) {
    assert!(gate.len() == up.len() && gate.len() == out.len());
    tier.run(SiluMul { gate, up, out });
}

struct SiluMul<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

/// SiLU of `gate` times `up`. exp(-|g|) is in (0, 1], so both branches of the sigmoid come from it
/// without overflow.
#[inline(always)]
fn silu_mul_lanes<L: Lanes>(lanes: L, gate: L::F, up: L::F) -> L::F {
    let zero = lanes.splat(0.0);
    let one = lanes.splat(1.0);
    let small = lanes.exp(lanes.sub(zero, lanes.abs(gate)));
    let numerator = lanes.add(lanes.zero_below(lanes.sub(one, small), gate, zero), small);
    lanes.mul(lanes.mul(gate, lanes.div(numerator, lanes.add(one, small))), up)
}

impl Kernel for SiluMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let whole = self.gate.len() / L::COUNT * L::COUNT;
        for start in (0..whole).step_by(L::COUNT) {
            let value = silu_mul_lanes(
                lanes,
                lanes.load(&self.gate[start..]),
                lanes.load(&self.up[start..]),
            );
            lanes.store(value, &mut self.out[start..]);
        }
        for i in whole..self.gate.len() {
            self.out[i] = self.gate[i] / (1.0 + (-self.gate[i]).exp()) * self.up[i];
        }
    }
}

/// Rotates the first `2 * cos.len()` elements of `head` in place: pair `i` is `(i, i + n)` with
/// `n = cos.len()` (the half-split layout of Hugging Face models); the rest is untouched.
pub fn rotate_halves(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let n = cos.len();
    let (first, rest) = head.split_at_mut(n);
    for (((a, b), c), s) in first.iter_mut().zip(rest).zip(cos).zip(sin) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

/// As [`rotate_halves`] with pair `i` being `(2i, 2i + 1)`, as `llama` GGUF files are permuted for.
pub fn rotate_pairs(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
        (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[1] * c + pair[0] * s);
    }
}

/// `out += factor * x`
pub fn add_scaled(out: &mut [f32], factor: f32, x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += factor * x;
    }
}
