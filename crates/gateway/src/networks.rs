//! Addresses: which networks a key may be used from, who a client is behind proxies, which servers
//! may be asked, and TLS by certificate files.
//!
//! **Start at** [`NetworkSet`]; [`Proxies`] finds the client's address, [`AddressPolicy`] says what
//! may be connected to, and [`TlsListener`] accepts connections.

mod addresses;
mod clients;
mod fetch;
mod resolver;
mod sets;
mod tls;

pub use addresses::AddressPolicy;
pub use clients::{ForwardingHeader, Proxies};
pub(crate) use fetch::chain;
pub use fetch::{FetchError, Fetcher};
pub(crate) use resolver::{Connector, check_host, connector};
pub use sets::{InvalidNetwork, NetworkSet};
pub use tls::{Peer, PlainListener, TlsError, TlsFiles, TlsListener};
