//! Cached prefixes on disk.
//!
//! **Owns:** the folder in which blocks of keys and values outlive a server: names, the layout of
//! a file, checksums, the size limit, what is removed first, and the thread that writes.
//! **Does not know:** what the bytes of a block mean, models, requests, HTTP.
//!
//! **Start at** [`DiskPrefixes`], then `block_file` (the layout). Whatever is wrong with a file, it
//! is told in one line of the log, removed, and the prefix is read by the model as if it had never
//! been there.

#![forbid(unsafe_code)]

mod block_file;
mod disk;
mod error;
mod writer;

pub use disk::DiskPrefixes;
pub use error::Error;
