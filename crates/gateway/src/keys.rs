//! Keys of the public API: how they are spelt, found, checked and changed.

mod cache;
mod format;
mod rules;
mod store;

pub(crate) use rules::{Modalities, Rules, Use};
pub(crate) use store::{Key, KeyChange, Keys, Remaining};

/// What is wrong with what a key is to be. For a person; names the field.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidRule(pub String);
