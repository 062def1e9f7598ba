//! Accounts, keys, quota and a ledger in front of servers of the public API.
//!
//! **Owns:** who may ask for what, what it costs, and that every token is paid for once: accounts,
//! keys and their limits, the ledger, admission, the management API. **Does not know:** engines,
//! models, tokenizers; it sees requests and answers of the public API, and an
//! [`Upstream`] that counts and answers them.
//!
//! **Start at** [`Upstream`], then `admission` (a request from its key to its settlement) and
//! `ledger` (the only thing that moves money).

#![forbid(unsafe_code)]

pub mod management;
mod refusal;
mod upstream;

pub use refusal::{Refusal, RefusalError};
pub use upstream::{Demand, Upstream};
