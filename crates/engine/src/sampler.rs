//! From a row of logits to a token.
//!
//! In this order: logit bias, repetition penalty, presence and frequency penalties, temperature,
//! top-k, top-p, min-p, draw. A vocabulary has 200,000 entries, so nothing here sorts one: the
//! candidates that can matter are selected first, then sorted.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use phial_grammar::Mask;
use phial_model::TokenId;

use crate::random::Draws;
use crate::sampling::{Sampling, SamplingOptions};

/// A token that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Never NaN, never `-inf`.
    pub logit: f32,
    pub token: TokenId,
}

impl Candidate {
    /// Most probable first, the lowest id of equals first: a total order, so that every selection
    /// is exact and reproducible.
    fn order(&self, other: &Self) -> Ordering {
        let by_logit = other.logit.partial_cmp(&self.logit).unwrap_or(Ordering::Equal);
        by_logit.then(self.token.cmp(&other.token))
    }
}

/// Working memory for choosing tokens, shared by all sequences, and the tokens that none may use.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Ids that stand for nothing, such as the rows that pad an embedding.
    banned: Vec<TokenId>,
    /// `[vocabulary]`
    logits: Vec<f32>,
    /// `[<= vocabulary]`
    candidates: Vec<Candidate>,
}

/// What sampling needs to know of one sequence: its parameters and the tokens they look at.
#[derive(Debug)]
pub(crate) struct SamplerState {
    sampling: Sampling,
    draws: Draws,
    /// Tokens of prompt and output; kept only for the repetition penalty.
    present: BTreeSet<TokenId>,
    /// Times that each token was generated; kept only for presence and frequency penalties.
    generated: BTreeMap<TokenId, u32>,
}

impl SamplerState {
    pub fn new(sampling: Sampling, seed: u64, prompt: &[TokenId]) -> Self {
        let penalised = sampling.options().repetition_penalty != 1.0;
        let present = if penalised { prompt.iter().copied().collect() } else { BTreeSet::new() };
        Self { sampling, draws: Draws::new(seed), present, generated: BTreeMap::new() }
    }

    /// Takes note of a generated token.
    pub fn record(&mut self, token: TokenId) {
        let options = self.sampling.options();
        if options.repetition_penalty != 1.0 {
            self.present.insert(token);
        }
        if options.presence_penalty != 0.0 || options.frequency_penalty != 0.0 {
            *self.generated.entry(token).or_insert(0) += 1;
        }
    }

    /// Applies bias and penalties to a row.
    fn adjust(&self, logits: &mut [f32]) {
        let options = self.sampling.options();
        for &(token, bias) in &options.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        for &token in &self.present {
            if let Some(logit) = logits.get_mut(token as usize) {
                let penalty = options.repetition_penalty;
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        for (&token, &count) in &self.generated {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= options.presence_penalty + options.frequency_penalty * count as f32;
            }
        }
    }
}

impl Sampler {
    /// Never chooses one of `banned`.
    pub fn new(banned: Vec<TokenId>) -> Self {
        Self { banned, logits: Vec::new(), candidates: Vec::new() }
    }

    /// As [`Self::sample_among`] all tokens.
    #[cfg(test)]
    pub fn sample(&mut self, row: &[f32], state: &SamplerState, draw: u64) -> TokenId {
        self.sample_among(row, None, state, draw)
    }

    /// Chooses the token after `draw` generated ones, among those allowed; `None` allows all. NaN
    /// counts as impossible; if nothing is possible the lowest id that is neither banned nor
    /// forbidden is chosen.
    pub fn sample_among(
        &mut self,
        row: &[f32],
        allowed: Option<&Mask>,
        state: &SamplerState,
        draw: u64,
    ) -> TokenId {
        self.logits.clear();
        self.logits.extend_from_slice(row);
        state.adjust(&mut self.logits);
        for &token in &self.banned {
            if let Some(logit) = self.logits.get_mut(token as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if let Some(allowed) = allowed {
            forbid_others(&mut self.logits, allowed);
        }
        let Some(best) = argmax(&self.logits) else { return self.lowest_allowed(allowed) };
        let options = state.sampling.options();
        if options.temperature == 0.0 {
            return best.token;
        }
        self.collect_candidates(best, options);
        truncate(&mut self.candidates, best, options);
        self.draw(best, options.temperature, state.draws.unit(draw))
    }

    /// Everything possible, but with top-k only the `top_k` best.
    fn collect_candidates(&mut self, best: Candidate, options: &SamplingOptions) {
        if options.top_k > 0 {
            most_probable(&self.logits, options.top_k, &mut self.candidates);
            return;
        }
        // What is this far below the best has a weight that is zero in f64: skipping it changes
        // no sum.
        const NEGLIGIBLE: f32 = 750.0;
        let floor = (best.logit - NEGLIGIBLE * options.temperature).max(f32::MIN);
        self.candidates.clear();
        self.candidates.extend(possible(&self.logits).filter(|one| one.logit >= floor));
    }

    fn draw(&self, best: Candidate, temperature: f32, unit: f64) -> TokenId {
        let total: f64 =
            self.candidates.iter().map(|one| weight(one.logit, best.logit, temperature)).sum();
        let mut rest = unit * total;
        let mut last = best.token;
        for one in &self.candidates {
            let weight = weight(one.logit, best.logit, temperature);
            if weight > 0.0 {
                last = one.token;
                rest -= weight;
                if rest < 0.0 {
                    break;
                }
            }
        }
        // After the loop: rounding left a crumb; it belongs to the last possible token.
        last
    }

    fn lowest_allowed(&self, allowed: Option<&Mask>) -> TokenId {
        if let Some(allowed) = allowed {
            return allowed.tokens().next().unwrap_or(0);
        }
        (0..self.logits.len() as TokenId)
            .find(|token| self.banned.binary_search(token).is_err())
            .unwrap_or(0)
    }
}

/// Makes all that is not allowed impossible.
pub(crate) fn forbid_others(logits: &mut [f32], allowed: &Mask) {
    let words = allowed.words();
    for (index, chunk) in logits.chunks_mut(32).enumerate() {
        match words.get(index).copied().unwrap_or(0) {
            u32::MAX => {}
            0 => chunk.fill(f32::NEG_INFINITY),
            word => {
                for (bit, logit) in chunk.iter_mut().enumerate() {
                    if word >> bit & 1 == 0 {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// Probability relative to the most probable token's.
fn weight(logit: f32, best: f32, temperature: f32) -> f64 {
    ((f64::from(logit) - f64::from(best)) / f64::from(temperature)).exp()
}

/// Cuts the candidates down by top-p, then min-p. Both keep a prefix of the candidates in order
/// of probability, never an empty one.
fn truncate(candidates: &mut Vec<Candidate>, best: Candidate, options: &SamplingOptions) {
    let weight_of = |one: &Candidate| weight(one.logit, best.logit, options.temperature);
    if options.top_p < 1.0 {
        let total: f64 = candidates.iter().map(weight_of).sum();
        keep_top_p(candidates, f64::from(options.top_p) * total, weight_of);
    }
    if options.min_p > 0.0 {
        candidates.retain(|one| weight_of(one) >= f64::from(options.min_p));
    }
}

/// Keeps the fewest best candidates whose weights reach `mass`, at least one.
fn keep_top_p(candidates: &mut Vec<Candidate>, mass: f64, weight_of: impl Fn(&Candidate) -> f64) {
    // The nucleus is nearly always small: sort a few, and more only if they do not suffice.
    const FIRST_SORTED: usize = 256;
    const GROWTH: usize = 8;
    let mut sorted = 0;
    let mut reached = 0.0;
    let mut wanted = FIRST_SORTED;
    loop {
        let end = wanted.min(candidates.len());
        let rest = &mut candidates[sorted..];
        if end - sorted < rest.len() {
            rest.select_nth_unstable_by(end - sorted, Candidate::order);
        }
        candidates[sorted..end].sort_unstable_by(Candidate::order);
        for index in sorted..end {
            reached += weight_of(&candidates[index]);
            if reached >= mass {
                candidates.truncate(index + 1);
                return;
            }
        }
        if end == candidates.len() {
            return;
        }
        sorted = end;
        wanted = end * GROWTH;
    }
}

/// The entries of a row that can be chosen at all.
fn possible(row: &[f32]) -> impl Iterator<Item = Candidate> + '_ {
    row.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY).map(
        // `min`: an infinite logit would make the sums NaN.
        |(index, logit)| Candidate { logit: logit.min(f32::MAX), token: index as TokenId },
    )
}

/// The most probable entry, the lowest id of equals; `None` if all are NaN or `-inf`.
fn argmax(row: &[f32]) -> Option<Candidate> {
    let highest = highest(row);
    if highest == f32::NEG_INFINITY {
        return None;
    }
    let index = row.iter().position(|&logit| logit == highest)?;
    Some(Candidate { logit: highest.min(f32::MAX), token: index as TokenId })
}

/// The highest entry of a row; `-inf` if all are NaN. Folded in lanes, a form that the compiler
/// vectorises.
pub(crate) fn highest(row: &[f32]) -> f32 {
    const LANES: usize = 16;
    // False for NaN.
    let higher = |high: f32, value: f32| if value > high { value } else { high };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, higher);
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = higher(*lane, value);
        }
    }
    lanes.into_iter().fold(rest, higher)
}

/// Fills `best` with the `count` most probable entries of a row, in order.
pub(crate) fn most_probable(row: &[f32], count: usize, best: &mut Vec<Candidate>) {
    best.clear();
    if count == 0 {
        return;
    }
    // Kept at no more than twice the count, so that a small count never copies the row. Once it
    // was cut, only entries that beat the worst kept one can matter; an equal one has a higher id.
    let bound = count.saturating_mul(2);
    let mut floor = f32::NEG_INFINITY;
    for one in possible(row) {
        if one.logit <= floor {
            continue;
        }
        best.push(one);
        if best.len() == bound {
            best.select_nth_unstable_by(count - 1, Candidate::order);
            best.truncate(count);
            floor = best[count - 1].logit;
        }
    }
    if best.len() > count {
        best.select_nth_unstable_by(count - 1, Candidate::order);
        best.truncate(count);
    }
    best.sort_unstable_by(Candidate::order);
}

#[cfg(test)]
#[path = "sampler_tests.rs"]
mod tests;
