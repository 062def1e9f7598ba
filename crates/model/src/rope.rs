//! Cosines and sines of the rotary embedding.

use crate::batch::Regime;
use crate::config::{Rope, RopeScaling};

/// Frequencies of both regimes, ready to be turned into angles.
pub(crate) struct Rotary {
    /// `[dims / 2]`, f32 as the reference computes them.
    short: Vec<f32>,
    long: Vec<f32>,
    /// Multiplies cosine and sine.
    factor: f32,
}

impl Rotary {
    pub(crate) fn new(rope: &Rope) -> Self {
        let frequencies = |factors: Option<&[f32]>| -> Vec<f32> {
            let one = |i: usize| {
                let base = f64::from(rope.theta).powf(2.0 * i as f64 / rope.dims as f64);
                let factor = factors.map_or(1.0, |factors| f64::from(factors[i]));
                (1.0 / (factor * base)) as f32
            };
            (0..rope.dims / 2).map(one).collect()
        };
        match &rope.scaling {
            RopeScaling::None => {
                let same = frequencies(None);
                Self { short: same.clone(), long: same, factor: 1.0 }
            }
            RopeScaling::Factors(factors) => {
                let same = frequencies(Some(factors));
                Self { short: same.clone(), long: same, factor: 1.0 }
            }
            RopeScaling::Long { short, long, attention_factor, .. } => Self {
                short: frequencies(Some(short)),
                long: frequencies(Some(long)),
                factor: *attention_factor,
            },
        }
    }

    /// Pairs that rotate.
    pub(crate) fn pairs(&self) -> usize {
        self.short.len()
    }

    /// Cosines and sines at `position`: `out` is `[2, pairs]`. Angles are f32 products, as in the
    /// reference: positions up to 2^24 are exact.
    pub(crate) fn fill(&self, regime: Regime, position: usize, out: &mut [f32]) {
        let frequencies = match regime {
            Regime::Short => &self.short,
            Regime::Long => &self.long,
        };
        let (cos, sin) = out.split_at_mut(self.pairs());
        for ((frequency, cos), sin) in frequencies.iter().zip(cos).zip(sin) {
            let angle = f64::from(position as f32 * frequency);
            let (s, c) = angle.sin_cos();
            (*cos, *sin) = (c as f32 * self.factor, s as f32 * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RopePairs;

    /// Values of the published factors: cosine and sine times the attention factor at three
    /// positions (torch, float32).
    #[test]
    fn published_factors_give_the_published_values() {
        let long: Vec<f32> = std::iter::once(1.0)
            .chain(std::iter::once(1.118_320_7))
            .chain((2..24).map(|i| 32.03_f32.powf(i as f32 / 31.0)))
            .chain(std::iter::once(14.641_732))
            .chain((25..47).map(|_| 33.0))
            .chain(std::iter::once(47.77))
            .collect();
        let rotary = Rotary::new(&Rope {
            dims: 96,
            theta: 10_000.0,
            pairs: RopePairs::Halves,
            scaling: RopeScaling::Long {
                short: vec![1.0; 48],
                long,
                original_context: 4096,
                attention_factor: 1.190_238,
            },
        });
        let mut out = [0.0; 96];
        let expected = [
            (1, 0, 0.643_088_5, 1.001_550_8),
            (1, 1, 0.880_497, 0.800_869_4),
            (4096, 1, 0.700_376_4, 0.962_361_5),
            (4096, 24, -1.120_462, 0.401_536_9),
            (4096, 47, 1.190_173_9, 0.012_364_1),
            (131_071, 47, 1.125_079_8, 0.388_41),
        ];
        for (position, pair, cos, sin) in expected {
            rotary.fill(Regime::Long, position, &mut out);
            assert!((out[pair] - cos).abs() < 4e-4, "{position} {pair} {} {cos}", out[pair]);
            assert!((out[48 + pair] - sin).abs() < 4e-4, "{position} {pair}");
        }
        rotary.fill(Regime::Short, 1, &mut out);
        assert!((out[1] / 1.190_238 - 0.825_404_17_f32.cos()).abs() < 1e-6);
    }
}
