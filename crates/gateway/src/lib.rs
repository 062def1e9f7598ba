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

mod accounts;
mod admission;
mod audit;
mod clock;
mod gateway;
mod keys;
mod ledger;
mod maintenance;
mod management;
mod options;
mod parts;
mod refusal;
mod secrets;
mod settings;
mod storage;
mod upstream;
pub mod wire;

pub use admission::ClientAddress;
pub use futures_util::future::BoxFuture;
pub use gateway::Gateway;
pub use maintenance::{Maintenance, restore};
pub use refusal::{Refusal, RefusalError};
pub use settings::Settings;
pub use storage::StorageError;
pub use upstream::{Demand, Upstream};
