//! The currency of this crate.

/// Id of a token: its row in the embedding of the model.
pub type TokenId = u32;
