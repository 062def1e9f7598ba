//! Names for requests and answers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes names that do not repeat, between processes either. They are names and no secrets.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    // The standard library seeds these from the system's entropy.
    high: RandomState,
    low: RandomState,
    count: AtomicU64,
}

impl Ids {
    /// `prefix` and 32 hexadecimal digits.
    pub(crate) fn next(&self, prefix: &str) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{prefix}{:016x}{:016x}", self.high.hash_one(count), self.low.hash_one(count))
    }
}
