//! The management API (`/api/…`), which the console and scripts use.

pub mod wire;
