//! The 64-bit Arm tiers: NEON's four lanes, with several ways to multiply bytes.

pub mod byte_dot;
pub mod neon;
