//! Sets of tokens.

use llguidance::toktrie::SimpleVob;
use phial_text::TokenId;

/// What may come next.
#[derive(Clone, Debug)]
pub enum Allowed {
    /// Everything, stop tokens included: the constraint has not begun.
    Any,
    /// These tokens. Stop tokens are among them only where the text may end.
    Only(Mask),
}

/// A set of tokens of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    bits: SimpleVob,
}

impl Mask {
    pub(crate) fn new(bits: SimpleVob) -> Self {
        Self { bits }
    }

    /// No token at all, of a vocabulary of `size` ids.
    pub fn none(size: usize) -> Self {
        Self { bits: SimpleVob::alloc(size) }
    }

    /// Ids that the mask has an opinion about; others are not allowed.
    pub fn vocabulary_size(&self) -> usize {
        self.bits.len()
    }

    /// Whether the token is in the set.
    pub fn allows(&self, token: TokenId) -> bool {
        (token as usize) < self.bits.len() && self.bits.is_allowed(token)
    }

    /// Adds a token; ids beyond the vocabulary are ignored.
    pub fn allow(&mut self, token: TokenId) {
        if (token as usize) < self.bits.len() {
            self.bits.allow_token(token);
        }
    }

    /// Takes a token out; ids beyond the vocabulary are ignored.
    pub fn forbid(&mut self, token: TokenId) {
        if (token as usize) < self.bits.len() {
            self.bits.disallow_token(token);
        }
    }

    /// How many tokens are in the set.
    pub fn count(&self) -> usize {
        self.bits.num_set()
    }

    /// The tokens in the set, lowest first.
    pub fn tokens(&self) -> impl Iterator<Item = TokenId> + '_ {
        self.bits.iter()
    }

    /// The set as bits, 32 tokens a word, lowest first. Bits beyond the vocabulary are 0.
    pub fn words(&self) -> &[u32] {
        self.bits.as_slice()
    }
}
