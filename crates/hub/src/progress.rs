//! What a long operation tells its caller.

/// A step of a download or an extraction. Reported at the start, after each buffer and at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file at work, as its source names it.
    pub file: &'a str,
    /// Bytes on disk, those of an earlier, interrupted attempt included.
    pub bytes_done: u64,
    /// Bytes of the whole file, when the source tells.
    pub bytes_total: Option<u64>,
}
