//! Where prefixes may be kept beyond the pool: the contract.

use phial_model::{Regime, TokenId};

/// Names what a full block holds, with all that comes before it. Whoever makes it sees to it that
/// nobody can make two that are equal: a cryptographic hash.
pub type BlockName = [u8; 32];

/// What comes before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before<'a> {
    /// Nothing: it is the first of sequences of this kind.
    Nothing {
        /// With which its keys were made.
        regime: Regime,
        /// [`Request::prefix_salt`](crate::Request::prefix_salt).
        salt: Option<&'a [u8; 32]>,
    },
    /// The block of this name.
    Block(BlockName),
}

/// Keeps blocks of keys and values for longer than the pool does. The engine calls it between
/// steps, so what takes long belongs on another thread. It answers for what it gives back: bytes
/// that were damaged meanwhile are not given at all.
///
/// Sequences with an adapter are not kept: its number means nothing to another engine.
pub trait PrefixStore: Send {
    /// Names the block of `tokens` after `before`.
    fn name(&self, before: Before<'_>, tokens: &[TokenId]) -> BlockName;

    /// Whether it seems to be there. Called often.
    fn contains(&self, name: &BlockName) -> bool;

    /// Appends the bytes of a block to `bytes`, which is empty. False if it is not there, is not
    /// of `tokens`, or is damaged; then [`PrefixStore::contains`] is false from now on.
    fn load(&mut self, name: &BlockName, tokens: &[TokenId], bytes: &mut Vec<u8>) -> bool;

    /// Takes the bytes of a block that is not there. False if it cannot now; it may be offered
    /// again.
    fn save(&mut self, name: &BlockName, tokens: &[TokenId], bytes: Vec<u8>) -> bool;

    /// The block was of use. Of a chain the last block is told first, so that those before it are
    /// the more recently used.
    fn touch(&mut self, name: &BlockName);
}
