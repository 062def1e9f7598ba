//! The decoder: configuration, weights, state.
//!
//! **Owns:** `Config`, the name maps of each file layout, `Linear`, LoRA, RoPE,
//! the one decoder, [`Batch`], [`KvPool`] and [`Forward`]. **Does not know:** users, text,
//! sampling, HTTP.
//!
//! **Start at** [`Forward`], then `decoder`.

pub mod batch;
pub mod kv;

pub use batch::{AdapterId, Batch, Forward, Logits, Outputs, Regime, Scratch, Span, TokenId};
pub use kv::{BlockId, KvElement, KvLayout, KvPool};
