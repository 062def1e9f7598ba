//! Log-probabilities of a row of logits.

use phial_grammar::Mask;
use phial_model::TokenId;

use crate::event::{TokenLogprob, TokenLogprobs};
use crate::sampler::{forbid_others, highest, most_probable};

/// Like [`token_logprobs`], of the distribution over allowed tokens; `None` allows all.
pub(crate) fn allowed_logprobs(
    row: &[f32],
    allowed: Option<&Mask>,
    chosen: TokenId,
    top: usize,
) -> TokenLogprobs {
    let Some(allowed) = allowed else { return token_logprobs(row, chosen, top) };
    let mut row = row.to_vec();
    forbid_others(&mut row, allowed);
    token_logprobs(&row, chosen, top)
}

/// Of a token without an alternative.
pub(crate) fn certain(token: TokenId, top: usize) -> TokenLogprobs {
    let only = TokenLogprob { token, logprob: 0.0 };
    TokenLogprobs { chosen: only, top: vec![only; top.min(1)] }
}

/// The log-softmax of the raw row, for `chosen` and for the `top` most probable tokens. NaN counts
/// as impossible.
pub(crate) fn token_logprobs(row: &[f32], chosen: TokenId, top: usize) -> TokenLogprobs {
    let mut best = Vec::new();
    most_probable(row, top, &mut best);
    let log_sum = log_sum_exp(row);
    let of = |token: TokenId, logit: f32| TokenLogprob {
        token,
        logprob: if logit.is_nan() || !log_sum.is_finite() {
            f32::NEG_INFINITY
        } else {
            // Rounding must not make a probability exceed 1.
            ((f64::from(logit.min(f32::MAX)) - log_sum) as f32).min(0.0)
        },
    };
    let chosen_logit = row.get(chosen as usize).copied().unwrap_or(f32::NEG_INFINITY);
    TokenLogprobs {
        chosen: of(chosen, chosen_logit),
        top: best.iter().map(|candidate| of(candidate.token, candidate.logit)).collect(),
    }
}

/// Logarithm of the sum of exponentials, summed in `f64`: 200,000 small terms in `f32` lose the
/// digits that clients compare. `-inf` if nothing is possible.
fn log_sum_exp(row: &[f32]) -> f64 {
    let clean = |logit: f32| f64::from(logit.min(f32::MAX));
    let highest = highest(row);
    if highest == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let highest = clean(highest);
    let sum: f64 = row
        .iter()
        .filter(|logit| !logit.is_nan())
        .map(|&logit| (clean(logit) - highest).exp())
        .sum();
    highest + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_softmax_of_a_small_row() {
        let row = [0.0f32, 2.0, f32::NAN, 1.0, 2.0];
        let total = 1.0 + 2.0 * 2.0f64.exp() + 1.0f64.exp();
        let logprobs = token_logprobs(&row, 3, 3);
        assert_eq!(logprobs.chosen.token, 3);
        assert!((f64::from(logprobs.chosen.logprob) - (1.0 - total.ln())).abs() < 1e-6);
        let top: Vec<TokenId> = logprobs.top.iter().map(|entry| entry.token).collect();
        assert_eq!(top, [1, 4, 3]);
        assert!((f64::from(logprobs.top[0].logprob) - (2.0 - total.ln())).abs() < 1e-6);
    }

    #[test]
    fn extreme_rows_do_not_panic() {
        for row in [
            vec![f32::NAN; 4],
            vec![f32::NEG_INFINITY; 4],
            vec![f32::INFINITY, 0.0, f32::INFINITY, f32::NAN],
            vec![f32::MAX, f32::MIN, 0.0, 0.0],
        ] {
            let logprobs = token_logprobs(&row, 0, 20);
            assert!(logprobs.top.len() <= 4);
            for entry in logprobs.top.iter().chain([&logprobs.chosen]) {
                assert!(entry.logprob <= 0.0, "{row:?}: {logprobs:?}");
            }
        }
    }

    #[test]
    fn probabilities_of_a_whole_row_sum_to_one() {
        let row: Vec<f32> = (0..200_064).map(|index| (index % 977) as f32 * 0.01).collect();
        let log_sum = log_sum_exp(&row);
        let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - log_sum).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
