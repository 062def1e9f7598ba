//! Random numbers without state.

/// Numbers that are a function of a seed and an index: the same draw of the same request is the
/// same number, whatever ran before, beside, or was repeated after a preemption.
///
/// Number `index` is output `index` of the SplitMix64 generator (Steele, Lea and Flood, 2014)
/// whose state starts at the mixed seed. The seed is mixed because streams of seeds that differ by
/// a multiple of the increment would otherwise be the same stream, shifted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    state: u64,
}

/// The increment of SplitMix64: the odd number nearest to 2^64 divided by the golden ratio.
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    pub fn bits(&self, index: u64) -> u64 {
        mix(self.state.wrapping_add(INCREMENT.wrapping_mul(index.wrapping_add(1))))
    }

    /// In `0.0..1.0`, a multiple of 2^-53.
    pub fn unit(&self, index: u64) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.bits(index) >> 11) as f64 * STEP
    }
}

/// The output function of SplitMix64: a bijection in which each input bit changes half of the
/// output bits.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_splitmix64() {
        // `mix(0) == 0`, so seed 0 starts at state 0; first outputs of the reference code.
        let draws = Draws::new(0);
        assert_eq!(draws.bits(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(draws.bits(1), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(draws.bits(2), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn units_are_even() {
        let draws = Draws::new(7);
        let mut counts = [0usize; 10];
        for index in 0..100_000 {
            counts[(draws.unit(index) * 10.0) as usize] += 1;
        }
        let chi_square: f64 =
            counts.iter().map(|&count| (count as f64 - 10_000.0).powi(2) / 10_000.0).sum();
        // 99.9th percentile for 9 degrees of freedom.
        assert!(chi_square < 27.9, "{counts:?}");
    }

    #[test]
    fn neighbouring_seeds_share_nothing() {
        let (one, two) = (Draws::new(1), Draws::new(1u64.wrapping_add(INCREMENT)));
        for index in 0..1000 {
            assert_ne!(one.bits(index + 1), two.bits(index));
            assert_ne!(one.bits(index), two.bits(index));
        }
    }
}
