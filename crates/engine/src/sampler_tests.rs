use proptest::prelude::*;

use super::*;

fn options(change: impl FnOnce(&mut SamplingOptions)) -> SamplingOptions {
    let mut options = SamplingOptions::default();
    change(&mut options);
    options
}

fn state(options: SamplingOptions, prompt: &[TokenId]) -> SamplerState {
    SamplerState::new(Sampling::new(options).unwrap(), 42, prompt)
}

/// The definition, by sorting everything: token and probability of all that may be drawn.
fn naive(row: &[f32], options: &SamplingOptions) -> Vec<(TokenId, f64)> {
    let mut all: Vec<(TokenId, f32)> = (0..).zip(row.iter().copied()).collect();
    all.retain(|(_, logit)| *logit > f32::NEG_INFINITY);
    all.sort_by(|one, two| two.1.partial_cmp(&one.1).unwrap().then(one.0.cmp(&two.0)));
    if options.top_k > 0 {
        all.truncate(options.top_k);
    }
    let temperature = f64::from(options.temperature);
    let best = f64::from(all[0].1);
    let mut all: Vec<(TokenId, f64)> = all
        .into_iter()
        .map(|(token, logit)| (token, ((f64::from(logit) - best) / temperature).exp()))
        .collect();
    normalise(&mut all);
    if options.top_p < 1.0 {
        let mut reached = 0.0;
        let keep = all.iter().position(|(_, probability)| {
            reached += probability;
            // The crumb absorbs the rounding of dividing by the total.
            reached >= f64::from(options.top_p) - 1e-12
        });
        all.truncate(keep.map_or(all.len(), |index| index + 1));
    }
    let highest = all[0].1;
    all.retain(|(_, probability)| *probability / highest >= f64::from(options.min_p) - 1e-12);
    normalise(&mut all);
    all
}

fn normalise(all: &mut [(TokenId, f64)]) {
    let total: f64 = all.iter().map(|(_, probability)| probability).sum();
    for (_, probability) in all {
        *probability /= total;
    }
}

/// What the sampler would draw from, in order of probability.
fn candidates(row: &[f32], options: &SamplingOptions) -> Vec<TokenId> {
    let best = argmax(row).unwrap();
    let mut sampler = Sampler::new(Vec::new());
    sampler.logits.extend_from_slice(row);
    sampler.collect_candidates(best, options);
    truncate(&mut sampler.candidates, best, options);
    sampler.candidates.sort_unstable_by(Candidate::order);
    sampler.candidates.iter().map(|one| one.token).collect()
}

proptest! {
    #[test]
    fn kept_tokens_are_those_of_the_naive_definition(
        // Few distinct values, so that there are many ties; some tokens impossible.
        row in prop::collection::vec(
            prop_oneof![9 => (-12i8..12).prop_map(|n| f32::from(n) * 0.37), 1 => Just(f32::NEG_INFINITY)],
            1..1500,
        ),
        top_k in prop_oneof![Just(0usize), 1usize..40, 1usize..2000],
        top_p in prop_oneof![Just(1.0f32), 0.0f32..1.0],
        min_p in prop_oneof![Just(0.0f32), 0.0f32..1.0],
        temperature in 0.1f32..3.0,
    ) {
        prop_assume!(row.iter().any(|logit| logit.is_finite()));
        let options = options(|options| {
            (options.top_k, options.top_p, options.min_p) = (top_k, top_p, min_p);
            options.temperature = temperature;
        });
        let expected: Vec<TokenId> = naive(&row, &options).into_iter().map(|one| one.0).collect();
        prop_assert_eq!(candidates(&row, &options), expected);
    }

    #[test]
    fn the_most_probable_are_those_of_a_full_sort(
        row in prop::collection::vec(
            prop_oneof![8 => (-9i8..9).prop_map(f32::from), 1 => Just(f32::NAN), 1 => -1f32..1.0],
            0..300,
        ),
        count in 0usize..50,
    ) {
        let mut expected: Vec<Candidate> = possible(&row).collect();
        expected.sort_by(Candidate::order);
        expected.truncate(count);
        let mut best = Vec::new();
        most_probable(&row, count, &mut best);
        prop_assert_eq!(&best, &expected);
        if count > 0 {
            prop_assert_eq!(argmax(&row), expected.first().copied());
        }
    }

    #[test]
    fn any_row_gives_an_allowed_token(
        row in prop::collection::vec(
            prop_oneof![
                Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(f32::MAX),
                Just(f32::MIN), Just(0.0), any::<f32>(),
            ],
            2..60,
        ),
        temperature in prop_oneof![Just(0.0f32), Just(1e-30f32), Just(1.0f32), Just(100.0f32)],
        top_p in prop_oneof![Just(0.0f32), Just(0.5f32), Just(1.0f32)],
        top_k in 0usize..4,
        draw in any::<u64>(),
    ) {
        let state = state(options(|options| {
            (options.temperature, options.top_p, options.top_k) = (temperature, top_p, top_k);
            (options.repetition_penalty, options.frequency_penalty) = (1.5, 1.0);
            options.logit_bias = vec![(1, 100.0)];
        }), &[0, 1]);
        let mut sampler = Sampler::new(vec![0]);
        let token = sampler.sample(&row, &state, draw);
        prop_assert!(token >= 1 && (token as usize) < row.len());
    }
}

/// Draws many times and compares with the naive distribution.
fn check_distribution(row: &[f32], options: &SamplingOptions) {
    const DRAWS: u64 = 40_000;
    let expected = naive(row, options);
    let state = state(options.clone(), &[]);
    let mut sampler = Sampler::new(Vec::new());
    let mut counts = BTreeMap::<TokenId, u64>::new();
    for draw in 0..DRAWS {
        *counts.entry(sampler.sample(row, &state, draw)).or_insert(0) += 1;
    }
    assert!(counts.keys().all(|token| expected.iter().any(|one| one.0 == *token)));
    let mut chi_square = 0.0;
    let mut cells = 0.0f64;
    for (token, probability) in expected {
        let mean = probability * DRAWS as f64;
        if mean >= 10.0 {
            let count = counts.get(&token).copied().unwrap_or(0) as f64;
            chi_square += (count - mean).powi(2) / mean;
            cells += 1.0;
        }
    }
    // Mean plus five standard deviations of the distribution of chi-square.
    assert!(chi_square < cells + 5.0 * (2.0 * cells).sqrt(), "{chi_square} in {cells} cells");
}

#[test]
fn draws_follow_the_distribution() {
    let row: Vec<f32> = (0..40).map(|index| ((index * 7) % 40) as f32 * 0.1).collect();
    check_distribution(&row, &options(|_| {}));
    check_distribution(&row, &options(|options| options.temperature = 0.5));
    check_distribution(&row, &options(|options| options.top_k = 5));
    check_distribution(&row, &options(|options| options.top_p = 0.7));
    check_distribution(&row, &options(|options| options.min_p = 0.3));
    check_distribution(
        &row,
        &options(|options| {
            (options.top_k, options.top_p, options.min_p) = (20, 0.9, 0.1);
            options.temperature = 1.7;
        }),
    );
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    let greedy = SamplerState::new(Sampling::greedy(), 0, &[]);
    let mut sampler = Sampler::new(vec![2]);
    for (row, token) in [
        (vec![1.0, 3.0, 9.0, 3.0], 1),
        (vec![f32::NAN, -1.0, 0.0, -1.0], 1),
        (vec![f32::NAN; 4], 0),
        (vec![0.0, f32::INFINITY, 0.0, f32::INFINITY], 1),
        (vec![-0.0, 0.0, 0.0, 0.0], 0),
    ] {
        assert_eq!(sampler.sample(&row, &greedy, 0), token, "{row:?}");
    }
    assert_eq!(Sampler::new(vec![0, 1]).sample(&[f32::NAN; 4], &greedy, 0), 2);
}

#[test]
fn penalties_follow_their_definitions() {
    let mut state = state(
        options(|options| {
            options.logit_bias = vec![(0, 1.0), (0, 2.0), (4, -100.0)];
            options.repetition_penalty = 2.0;
            options.presence_penalty = 0.5;
            options.frequency_penalty = 0.25;
        }),
        &[0, 1, 1],
    );
    state.record(1);
    state.record(2);
    state.record(2);
    let mut logits = vec![1.0, -1.0, 4.0, 3.0, 5.0];
    state.adjust(&mut logits);
    // 0: in the prompt: (1 + 3) / 2. 1: generated once: -1 * 2 - 0.5 - 0.25.
    // 2: generated twice: 4 / 2 - 0.5 - 2 * 0.25. 3: neither. 4: bias alone.
    assert_eq!(logits, [2.0, -2.75, 1.0, 3.0, -95.0]);
}

#[test]
fn a_full_vocabulary_is_cut_exactly() {
    // Flat enough that the nucleus is larger than what is sorted first.
    let row: Vec<f32> =
        (0..200_064u64).map(|index| ((index * 2_654_435_761) % 1000) as f32 * 0.001).collect();
    for (top_k, top_p) in [(0, 0.02), (0, 0.5), (50, 1.0), (5000, 0.8)] {
        let options = options(|options| (options.top_k, options.top_p) = (top_k, top_p));
        let expected: Vec<TokenId> = naive(&row, &options).into_iter().map(|one| one.0).collect();
        assert_eq!(candidates(&row, &options), expected, "{top_k} {top_p}");
    }
}
