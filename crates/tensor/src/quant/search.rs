//! How a scale is chosen: try several grids, fit each to the codes that it gives, keep the best.
//!
//! Eight grids are tried at once, one per lane of small arrays: sums of floats may not be reordered
//! by the compiler, but with a sum per grid it can use vector instructions as they are.
//! Values are brought to about one first, so that f32 holds all sums.

use super::legacy::signed_peak;

/// Grids tried at once.
pub(super) const LANES: usize = 8;

/// One number for each grid.
pub(super) type Lanes = [f32; LANES];

/// Below this a block counts as zero: its f16 scale would be.
pub(super) const VALUE_MIN: f32 = 1.0e-15;

/// `1.5 * 2^23`: adding and subtracting it rounds a small f32 to the nearest whole number (even
/// on ties) with two plain instructions.
const ROUNDING: f32 = 12_582_912.0;

/// The nearest whole number; exact for magnitudes up to 2^22.
#[inline(always)]
pub(super) fn nearest(value: f32) -> f32 {
    (value + ROUNDING) - ROUNDING
}

/// The smaller number, without the care for NaN that `f32::min` takes.
#[inline(always)]
fn least_of(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// A grid `step * code - offset`, `code` from 0, `offset` never negative.
#[derive(Clone, Copy, Default)]
pub(super) struct Affine {
    pub step: f32,
    pub offset: f32,
}

/// Which grids [`affine`] tries: the range of the values is cut into `code_max + slack` steps for
/// `8 * groups` values of `slack` from `slack_min`, 0.1 apart.
pub(super) struct Tries {
    pub code_max: f32,
    pub slack_min: f32,
    pub groups: usize,
}

/// The number of steps that each lane of a group tries.
pub(super) fn steps_tried(first: f32, group: usize) -> Lanes {
    std::array::from_fn(|lane| first + 0.1 * (group * LANES + lane) as f32)
}

/// The grid with the least weighted squared error among those tried.
pub(super) fn affine<const N: usize>(
    values: &[f32; N],
    weights: &[f32; N],
    plan: &Tries,
) -> Affine {
    let least = values.iter().fold(0.0, |least, &value| least_of(value, least));
    let greatest = -values.iter().fold(f32::MAX, |least, &value| least_of(-value, least));
    let width = greatest - least;
    if width < VALUE_MIN {
        return Affine { step: 0.0, offset: -least };
    }
    let inverse_width = 1.0 / width;
    let lifted: [f32; N] = values.map(|value| (value - least) * inverse_width);
    let zero = -least * inverse_width;
    let fixed = Fixed::of(&lifted, weights);
    let mut best = Fit { error: f32::INFINITY, step: 0.0, bottom: 0.0 };
    for group in 0..plan.groups {
        let steps = steps_tried(plan.code_max + plan.slack_min, group);
        let sums = affine_sums(&lifted, weights, &steps, plan.code_max);
        let fits: [Fit; LANES] = std::array::from_fn(|lane| fixed.fit(&sums, lane, zero));
        for fit in fits {
            if fit.error < best.error {
                best = fit;
            }
        }
    }
    Affine { step: best.step * width, offset: (zero - best.bottom) * width }
}

/// Weighted sums that do not depend on the codes. Lifted values are values from the least, which
/// becomes 0, to the greatest, which becomes 1.
struct Fixed {
    weight: f32,
    lifted: f32,
    lifted_squared: f32,
}

/// A grid for lifted values, `step * code + bottom`.
#[derive(Clone, Copy)]
struct Fit {
    error: f32,
    step: f32,
    bottom: f32,
}

/// Weighted sums of code, code² and code × lifted value, for each grid.
struct CodeSums {
    code: Lanes,
    code_squared: Lanes,
    code_lifted: Lanes,
}

impl Fixed {
    fn of<const N: usize>(lifted: &[f32; N], weights: &[f32; N]) -> Self {
        let mut sums = Self { weight: 0.0, lifted: 0.0, lifted_squared: 0.0 };
        for (&value, &weight) in lifted.iter().zip(weights) {
            sums.weight += weight;
            sums.lifted += weight * value;
            sums.lifted_squared += weight * value * value;
        }
        sums
    }

    /// The least-squares grid for the codes of one lane and its error; `zero` is where the value
    /// zero lies.
    #[inline(always)]
    fn fit(&self, sums: &CodeSums, lane: usize, zero: f32) -> Fit {
        let (first, second) = (sums.code[lane], sums.code_squared[lane]);
        let cross = sums.code_lifted[lane];
        let determinant = self.weight * second - first * first;
        let inverse = 1.0 / determinant;
        let bottom = (second * self.lifted - first * cross) * inverse;
        // All codes equal (no determinant) or a bottom above zero, which cannot be stored.
        let from_zero = !(determinant > 0.0 && bottom <= zero);
        let free_step = (self.weight * cross - self.lifted * first) * inverse;
        let zero_step = (cross - zero * first) / second;
        let step = if from_zero { zero_step } else { free_step };
        let bottom = if from_zero { zero } else { bottom };
        let error = self.lifted_squared - 2.0 * (step * cross + bottom * self.lifted)
            + step * step * second
            + 2.0 * step * bottom * first
            + bottom * bottom * self.weight;
        Fit { error, step, bottom }
    }
}

fn affine_sums<const N: usize>(
    lifted: &[f32; N],
    weights: &[f32; N],
    steps: &Lanes,
    code_max: f32,
) -> CodeSums {
    let (mut first, mut second, mut cross) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (&value, &weight) in lifted.iter().zip(weights) {
        for lane in 0..LANES {
            let code = least_of(nearest(value * steps[lane]), code_max);
            let weighted = weight * code;
            first[lane] += weighted;
            second[lane] += weighted * code;
            cross[lane] += weighted * value;
        }
    }
    CodeSums { code: first, code_squared: second, code_lifted: cross }
}

/// The step of the grid `step * code`, `code` from `-code_limit` to `code_limit - 1`, with the
/// least error weighted by the square of each value, which protects the large ones. The step has
/// a sign: the farthest value is to meet the longer, negative side.
pub(super) fn symmetric<const N: usize>(values: &[f32; N], code_limit: f32) -> f32 {
    let peak = signed_peak(values);
    if peak.abs() < VALUE_MIN {
        return 0.0;
    }
    // With the peak at minus one, the grid's step is positive.
    let inverse = -1.0 / peak;
    let scaled = values.map(|value| value * inverse);
    let mut best = Best::default();
    for group in 0..3 {
        let steps = steps_tried(code_limit - 1.2, group);
        let (mut cross, mut squared) = ([0.0; LANES], [0.0; LANES]);
        for &value in &scaled {
            for lane in 0..LANES {
                let code = least_of(nearest(value * steps[lane]), code_limit - 1.0);
                let code = -least_of(-code, code_limit);
                let weighted = value * value * code;
                cross[lane] += weighted * value;
                squared[lane] += weighted * code;
            }
        }
        best.take(&cross, &squared);
    }
    best.step * -peak
}

/// The best step so far of a grid through zero.
#[derive(Default)]
pub(super) struct Best {
    pub step: f32,
    /// By how much the error is below that of coding all values as zero.
    gain: f32,
}

impl Best {
    /// Looks at eight grids: weighted sums of code × value and of code².
    pub(super) fn take(&mut self, cross: &Lanes, squared: &Lanes) {
        for (&cross, &squared) in cross.iter().zip(squared) {
            let step = cross / squared;
            if cross * step > self.gain {
                *self = Self { step, gain: cross * step };
            }
        }
    }
}

/// Scales as codes from `-limit` to `limit - 1` of one common scale: the farthest becomes `-limit`.
/// Returns that scale, not yet rounded to f16, and the codes.
pub(super) fn signed_scale_codes<const N: usize>(steps: &[f32; N], limit: f32) -> (f32, [i8; N]) {
    let peak = signed_peak(steps);
    if peak.abs() < VALUE_MIN {
        return (0.0, [0; N]);
    }
    let inverse = -limit / peak;
    let codes = steps.map(|step| nearest(inverse * step).clamp(-limit, limit - 1.0) as i8);
    (peak / -limit, codes)
}
