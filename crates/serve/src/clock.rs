//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch. A clock before the epoch is no reason to refuse work.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
