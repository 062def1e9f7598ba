//! Model downloads and the local model store.
//!
//! **Owns:** the names a model can be asked for by, the layout of the store, the hub's protocol,
//! checksums, resumed downloads, and the starter model out of its Python package.
//!
//! **Does not know:** tensors, tokenizers, quantisation: what is inside a file. The binary converts
//! what arrives here before it is published to the store.
//!
//! **Start at** [`resolve`] (a name becomes a [`Source`]), then [`Hub`] (files of a repository onto
//! the disk, one at a time) and [`Store`] (what is here already; a [`Draft`] becomes a [`Model`]).
//!
//! A pull, in the order of its calls:
//!
//! ```no_run
//! # fn main() -> phial_hub::Result<()> {
//! use phial_hub::{Hub, RepositoryId, Store, resolve};
//!
//! let store = Store::open()?;
//! let source = resolve("owner/name")?;
//! let draft = store.begin(&source.store_name())?;
//! let hub = Hub::from_environment(false)?;
//! let snapshot = hub.files(&RepositoryId::parse("owner/name")?, "main")?;
//! let mut names = Vec::new();
//! for file in snapshot.model_files()? {
//!     hub.fetch(file, draft.folder(), &mut |progress| println!("{}", progress.bytes_done))?;
//!     names.push(file.path());
//! }
//! draft.publish(&source.to_string(), &names)?;
//! # Ok(())
//! # }
//! ```

mod digest;
mod download;
mod error;
mod http;
mod hub;
mod limits;
mod listing;
mod name;
mod options;
mod progress;
mod resolve;
mod space;
pub mod starter;
mod store;
mod wheel;

pub use download::Fetched;
pub use error::{Error, ErrorKind, Result};
pub use hub::Hub;
pub use limits::Limits;
pub use listing::{RemoteFile, Snapshot};
pub use name::{ModelName, RepositoryId};
pub use options::HubOptions;
pub use progress::Progress;
pub use resolve::{KNOWN_NAMES, KnownName, Source, resolve};
pub use store::{Draft, Manifest, Model, Store, StoredFile};
