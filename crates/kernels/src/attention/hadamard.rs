//! The Walsh-Hadamard rotation of a head.
//!
//! Queries and keys are both rotated, which leaves their products as they are and spreads a few
//! large elements over all: codes with one scale then lose less (arXiv 2404.00456).

/// Rotates `values` in place, by the largest power of two that divides its length at a time. The
/// rotation is its own inverse.
#[inline(always)]
pub(crate) fn rotate(values: &mut [f32]) {
    let len = 1 << values.len().trailing_zeros();
    let factor = (len as f32).sqrt().recip();
    for values in values.chunks_exact_mut(len) {
        // Small steps within sixteen neighbours, then whole runs of sixteen and more.
        for values in values.chunks_mut(16) {
            let mut step = 1;
            while step < values.len() {
                butterflies(values, step);
                step *= 2;
            }
        }
        let mut step = 16;
        while step < len {
            butterflies(values, step);
            step *= 2;
        }
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

#[inline(always)]
fn butterflies(values: &mut [f32], step: usize) {
    for pair in values.chunks_exact_mut(2 * step) {
        let (low, high) = pair.split_at_mut(step);
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rotate;

    #[test]
    fn twice_is_nothing_and_products_stay() {
        for len in [16, 32, 64, 96, 128, 256] {
            let a: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
            let mut b: Vec<f32> = (0..len).map(|i| (i as f32 * 1.3).cos()).collect();
            b[3] = 40.0;
            let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
            let (mut c, mut d) = (a.clone(), b.clone());
            rotate(&mut c);
            rotate(&mut d);
            assert!((dot(&a, &b) - dot(&c, &d)).abs() < 1e-3, "{len}");
            assert!(d.iter().all(|value| value.abs() < 20.0), "spread over {len}");
            rotate(&mut d);
            assert!(b.iter().zip(&d).all(|(b, d)| (b - d).abs() < 1e-4), "{len}");
        }
    }
}
