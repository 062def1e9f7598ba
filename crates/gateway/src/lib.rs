//! Accounts, keys, quota and a ledger in front of servers of the public API.
//!
//! **Owns:** who may ask for what, what it costs, and that every token is paid for once: accounts,
//! keys and their limits, the ledger, admission, the management API. **Does not know:** engines,
//! models, tokenizers; it sees requests and answers of the public API, and an
//! [`Upstream`] that counts and answers them.
//!
//! [`upstreams`] makes one upstream of many servers, [`networks`] says who asks and who may be asked,
//! [`openid`] signs people in.
//!
//! **Start at** [`Upstream`], then `admission` (a request from its key to its settlement) and
//! `ledger` (the only thing that moves money).

#![forbid(unsafe_code)]

mod accounts;
mod admission;
mod audit;
mod channel_store;
mod clock;
mod configuration;
pub mod console;
mod gateway;
mod keys;
mod ledger;
mod listening;
mod maintenance;
mod management;
pub mod networks;
mod object;
pub mod openid;
mod options;
mod origins;
mod parts;
mod private_file;
mod refusal;
mod sealing;
mod secrets;
mod settings;
mod standalone;
mod storage;
mod upstream;
pub mod upstreams;
pub mod wire;

pub use admission::ClientAddress;
pub use configuration::{Configuration, PriceTable, TlsTable};
pub use futures_util::future::BoxFuture;
pub use gateway::Gateway;
pub use listening::Listening;
pub use maintenance::{Maintenance, restore};
pub use refusal::{Refusal, RefusalError};
pub use settings::{Apart, Settings};
pub use standalone::{Standalone, Urls};
pub use storage::StorageError;
pub use upstream::{Demand, Upstream};
