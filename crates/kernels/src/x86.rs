//! The x86-64 tiers: lanes of two widths, each with several ways to multiply bytes.

pub mod amx;
pub mod avx2;
pub mod avx512;
pub mod byte_dot;
