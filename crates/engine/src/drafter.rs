//! Guesses of what comes next, taken from what is there already.
//!
//! A generated text often repeats: the prompt that it quotes or edits, the answer that the client
//! predicts, itself. Where the last tokens stood before, what followed there is likely to follow
//! again. Every guess is compared with the token that is chosen, whether the model was asked to
//! check it or not: how good guesses are is known at no cost.

use std::collections::HashMap;

use phial_model::TokenId;

/// Tokens that must be the same before a continuation is taken for a guess.
const GRAM: usize = 3;

/// How fast the share of right guesses follows what happens.
const LEARNING_RATE: f32 = 1.0 / 8.0;

/// Where a guess comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The request's prediction.
    Prediction,
    /// Prompt and answer.
    Sequence,
}

/// The guesses of one sequence.
#[derive(Debug)]
pub(crate) struct Drafter {
    prediction: Vec<TokenId>,
    in_prediction: GramIndex,
    in_sequence: GramIndex,
    /// The next token is that of this place, if the guess is right.
    next: Option<(Source, usize)>,
    /// Share of guesses that were right, of late.
    right: [f32; 2],
}

impl Drafter {
    pub fn new(prediction: Vec<TokenId>) -> Self {
        let mut in_prediction = GramIndex::default();
        in_prediction.extend(&prediction, prediction.len());
        let next = (!prediction.is_empty()).then_some((Source::Prediction, 0));
        // A prediction is right until it proves wrong; a repetition has to show that it is one.
        let right = [0.9, 0.25];
        Self { prediction, in_prediction, in_sequence: GramIndex::default(), next, right }
    }

    /// What may come after `tokens`, the whole sequence, at least one token: where it is from, with
    /// which probability each is right, and the tokens.
    pub fn guess<'a>(&'a mut self, tokens: &'a [TokenId]) -> Option<(Source, f32, &'a [TokenId])> {
        if self.next.is_none() {
            self.next = self.look_up(tokens);
        }
        let (source, at) = self.next?;
        let rest = match source {
            Source::Prediction => self.prediction.get(at..),
            Source::Sequence => tokens.get(at..),
        };
        let right = self.right[source as usize];
        rest.filter(|rest| !rest.is_empty()).map(|rest| (source, right, rest))
    }

    fn look_up(&mut self, tokens: &[TokenId]) -> Option<(Source, usize)> {
        // Without the last: it would find itself.
        self.in_sequence.extend(tokens, tokens.len().saturating_sub(1));
        let in_prediction = self.in_prediction.after(tokens);
        if let Some(at) = in_prediction.filter(|&at| at < self.prediction.len()) {
            return Some((Source::Prediction, at));
        }
        self.in_sequence.after(tokens).map(|at| (Source::Sequence, at))
    }

    /// `token` was chosen after `tokens`.
    pub fn observe(&mut self, tokens: &[TokenId], token: TokenId) {
        let Some((source, _, guess)) = self.guess(tokens) else { return };
        let is_right = guess[0] == token;
        let right = &mut self.right[source as usize];
        *right += (f32::from(u8::from(is_right)) - *right) * LEARNING_RATE;
        self.next = self.next.filter(|_| is_right).map(|(source, at)| (source, at + 1));
        // At its end it has nothing more to say; perhaps the sequence has.
        self.next.take_if(|&mut next| next == (Source::Prediction, self.prediction.len()));
    }

    #[cfg(test)]
    fn right(&self, source: Source) -> f32 {
        self.right[source as usize]
    }
}

/// Where each run of [`GRAM`] tokens stood last.
#[derive(Debug, Default)]
struct GramIndex {
    /// The position after it.
    places: HashMap<[TokenId; GRAM], u32>,
    /// Positions looked at.
    seen: usize,
}

impl GramIndex {
    /// Takes in the first `end` of `tokens`, of which it knows the beginning.
    fn extend(&mut self, tokens: &[TokenId], end: usize) {
        for place in self.seen.max(GRAM)..=end {
            if let Some(gram) = gram_before(tokens, place) {
                self.places.insert(gram, place as u32);
            }
        }
        self.seen = self.seen.max(end + 1);
    }

    /// Where what the last of `tokens` are stood before: the position after it.
    fn after(&self, tokens: &[TokenId]) -> Option<usize> {
        let gram = gram_before(tokens, tokens.len())?;
        self.places.get(&gram).map(|&place| place as usize)
    }
}

fn gram_before(tokens: &[TokenId], place: usize) -> Option<[TokenId; GRAM]> {
    tokens.get(place.checked_sub(GRAM)?..place)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guess after `tokens`, of which those from `from` on were generated.
    fn guess(prediction: &[TokenId], tokens: &[TokenId], from: usize) -> Option<Vec<TokenId>> {
        let mut drafter = Drafter::new(prediction.to_vec());
        for at in from..tokens.len() {
            drafter.observe(&tokens[..at], tokens[at]);
        }
        drafter.guess(tokens).map(|(_, _, guess)| guess.to_vec())
    }

    #[test]
    fn what_followed_before_follows_again() {
        assert_eq!(guess(&[], &[1, 2, 3, 4, 5, 1, 2, 3], 8), Some(vec![4, 5, 1, 2, 3]));
        assert_eq!(guess(&[], &[1, 2, 3, 4, 5, 1, 2, 3], 5), Some(vec![4, 5, 1, 2, 3]));
        // The place seen last counts.
        let twice = [1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3];
        assert_eq!(guess(&[], &twice, 11), Some(vec![5, 1, 2, 3]));
        assert_eq!(guess(&[], &[7, 7, 7, 7], 1), Some(vec![7]));
        assert_eq!(guess(&[], &[1, 2, 3, 4], 4), None);
        assert_eq!(guess(&[], &[1, 2], 0), None);
    }

    #[test]
    fn a_prediction_is_followed_and_found_again() {
        let prediction = [10, 11, 12, 13, 14, 15, 16];
        assert_eq!(guess(&prediction, &[1], 1), Some(prediction.to_vec()));
        assert_eq!(guess(&prediction, &[1, 10, 11], 1), Some(vec![12, 13, 14, 15, 16]));
        assert_eq!(guess(&prediction, &[1, 10, 99], 1), None);
        let edited = [1, 10, 99, 12, 13, 14];
        assert_eq!(guess(&prediction, &edited, 1), Some(vec![15, 16]));
        let whole = [&[1], &prediction[..]].concat();
        assert_eq!(guess(&prediction, &whole, 1), None);
    }

    #[test]
    fn the_share_of_right_guesses_is_learnt() {
        let mut drafter = Drafter::new(Vec::new());
        let mut tokens: Vec<TokenId> = (0..100).collect();
        let before = drafter.right(Source::Sequence);
        for at in 0..100 {
            drafter.observe(&tokens, at);
            tokens.push(at);
        }
        assert!(drafter.right(Source::Sequence) > 0.99, "{before}");
        for at in 200..300 {
            tokens.extend([50, 51, 52]);
            drafter.observe(&tokens, at);
            tokens.push(at);
        }
        assert!(drafter.right(Source::Sequence) < 0.01);
    }
}
