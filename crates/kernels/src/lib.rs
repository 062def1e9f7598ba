//! CPU kernels: what a decoder computes, as fast as this CPU allows.
//!
//! **Owns:** detection of CPU features and the choice of a tier ([`Tier`]), the thread pool
//! ([`Pool`]), the packed layout of weights ([`PackedMatrix`]), 8-bit activations, and the
//! operations: matrix product, attention, normalisation, rotary embedding, SiLU.
//!
//! **Does not know:** layers, tokens, files, requests.
//!
//! **Start at** [`Lanes`]: every fast kernel is one body, written over its few vector operations;
//! a tier is an implementation of it. Then [`packed`] for the layout and [`matmul`] for the
//! product. [`mod@reference`] holds the plain form of every operation: it is the specification, and
//! the tests hold each tier against it.

pub mod activations;
#[cfg(target_arch = "aarch64")]
mod arm;
pub mod attention;
mod buffer;
pub mod cpu;
mod disjoint;
mod dot;
pub mod elementwise;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod features;
pub mod lanes;
pub mod matmul;
pub mod matrix;
pub mod packed;
pub mod pool;
pub mod probe;
pub mod reference;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Counts the ways of rounding that there were: what was computed under another number, and kept,
/// differs from what would be computed now. Whoever changes what is rounded, or the order of a float
/// sum, raises it.
pub const ARITHMETIC_VERSION: u32 = 2;

pub use activations::{Activations, Codes, Span};
pub use buffer::Buffer;
pub use cpu::Tier;
pub use disjoint::DisjointRows;
pub use lanes::{Kernel, Lanes};
pub use packed::PackedMatrix;
pub use pool::Pool;
