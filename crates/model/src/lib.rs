//! The decoder: configuration, weights, state.
//!
//! **Owns:** [`Config`], the name maps of each file layout, [`Linear`] (any encoding, fused or in
//! parts), LoRA, rotary embedding, the one decoder, [`Batch`], [`KvPool`] and [`Forward`].
//!
//! **Does not know:** users, text, sampling, HTTP; nothing of a request outlives a call.
//!
//! **Start at** [`Forward`], then `decoder`.

pub mod batch;
mod config;
mod decoder;
mod error;
pub mod head;
mod kv;
mod linear;
mod load;
mod lora;
mod pack_cache;
mod packs;
mod rope;
mod scratch;
mod weights;

pub use batch::{AdapterId, AllowedTokens, Batch, Forward, Logits, Outputs, Regime, Span, TokenId};
pub use config::{Config, Layout, Rope, RopePairs, RopeScaling};
pub use error::Error;
pub use kv::{BlockId, F16_CACHE_BYTES_MAX, KvElement, KvLayout, KvPool};
pub use linear::{Compute, Linear};
pub use load::{LoadOptions, Model, folder_of, read_config};
pub use pack_cache::PackReport;
pub use scratch::Scratch;
pub use weights::{Layer, Precision, Weights};
