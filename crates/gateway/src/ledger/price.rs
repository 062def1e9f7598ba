//! What tokens cost, exactly.

use phial_openai::metering::TokenCounts;

use crate::upstream::Demand;

/// Tokens that a price is for.
const TOKENS_PER_PRICE: i128 = 1_000_000;

/// What a million tokens of a model may cost at most: beyond it sums could leave 64 bit.
pub(crate) const PRICE_MAX: i64 = 1_000_000_000_000;

/// More tokens than any request has; counts beyond are taken for as many.
pub(crate) const TOKENS_MAX: u64 = 1_000_000_000;

/// What a model costs: millionths of the currency per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Price {
    pub input: i64,
    pub cached_input: i64,
    pub output: i64,
}

impl Price {
    /// What was used costs so much: the exact sum, rounded up to a whole unit once.
    pub fn cost(self, counts: TokenCounts) -> i64 {
        let prompt = counts.prompt_tokens.min(TOKENS_MAX);
        let cached = counts.cached_tokens.min(prompt);
        let completion = counts.completion_tokens.min(TOKENS_MAX);
        let parts =
            [(prompt - cached, self.input), (cached, self.cached_input), (completion, self.output)];
        let sum: i128 =
            parts.iter().map(|&(tokens, price)| i128::from(tokens) * i128::from(price)).sum();
        let cost = (sum + TOKENS_PER_PRICE - 1).div_euclid(TOKENS_PER_PRICE);
        i64::try_from(cost).unwrap_or(i64::MAX)
    }

    /// The most that a request of this demand can cost, however much of it a cache has.
    pub fn cost_max(self, demand: Demand) -> i64 {
        let dearer = Self { input: self.input.max(self.cached_input), ..self };
        dearer.cost(TokenCounts {
            prompt_tokens: demand.prompt_tokens,
            cached_tokens: 0,
            completion_tokens: demand.completion_tokens_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: Price = Price { input: 150_000, cached_input: 75_000, output: 600_000 };

    fn counts(prompt: u64, cached: u64, completion: u64) -> TokenCounts {
        TokenCounts { prompt_tokens: prompt, cached_tokens: cached, completion_tokens: completion }
    }

    #[test]
    fn costs_are_exact_and_rounded_up_once() {
        assert_eq!(PRICE.cost(counts(0, 0, 0)), 0);
        assert_eq!(PRICE.cost(counts(1_000_000, 0, 1_000_000)), 750_000);
        assert_eq!(PRICE.cost(counts(1_000_000, 1_000_000, 0)), 75_000);
        // 0.15 + 0.6 = 0.75 units, not one and one.
        assert_eq!(PRICE.cost(counts(1, 0, 1)), 1);
        assert_eq!(PRICE.cost(counts(20, 0, 0)), 3);
        assert_eq!(PRICE.cost(counts(21, 0, 0)), 4);
        assert_eq!(Price::default().cost(counts(9, 0, 9)), 0);
    }

    #[test]
    fn the_largest_numbers_stay_within_64_bit() {
        let dearest = Price { input: PRICE_MAX, cached_input: PRICE_MAX, output: PRICE_MAX };
        assert_eq!(dearest.cost(counts(u64::MAX, 0, u64::MAX)), 2_000_000_000_000_000);
    }

    proptest! {
        #[test]
        fn no_use_within_a_demand_costs_more_than_was_set_aside(
            input in 0..=PRICE_MAX, cached_input in 0..=PRICE_MAX, output in 0..=PRICE_MAX,
            prompt in 0u64..200_000, completion in 0u64..200_000, cached in 0u64..200_000,
            used in 0u64..200_000,
        ) {
            let price = Price { input, cached_input, output };
            let demand = Demand { prompt_tokens: prompt, completion_tokens_max: completion };
            let used = counts(prompt, cached.min(prompt), used.min(completion));
            prop_assert!(price.cost(used) <= price.cost_max(demand));
        }
    }
}
