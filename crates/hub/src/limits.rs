//! Upper bounds on what a server may make us do.

use std::time::Duration;

/// Limits and patience of one [`Hub`](crate::Hub).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a repository's listing. Real ones are below 1 MiB.
    pub listing_bytes_max: u64,
    /// Files of a repository.
    pub files_max: usize,
    /// Bytes of one file. The hub itself stores at most 500 GB per file.
    pub file_bytes_max: u64,
    /// Bytes asked for by [`Hub::fetch_head`](crate::Hub::fetch_head).
    pub head_bytes_max: u64,
    /// Attempts without progress before a transient failure is final.
    pub attempts_max: u32,
    /// Bytes that an attempt must bring before the count of attempts starts anew.
    pub progress_bytes: u64,
    /// Wait before the second attempt; doubles with each further one.
    pub backoff: Duration,
    /// Longest wait between two attempts, whatever the server asks for.
    pub backoff_max: Duration,
    /// Patience for a connection.
    pub connect_timeout: Duration,
    /// Patience for the answer's first byte, and for each read of its body.
    pub read_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            listing_bytes_max: 16 << 20,
            files_max: 20_000,
            file_bytes_max: 500 << 30,
            head_bytes_max: 256 << 20,
            attempts_max: 5,
            progress_bytes: 1 << 20,
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(20),
            read_timeout: Duration::from_secs(60),
        }
    }
}
