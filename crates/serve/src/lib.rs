//! The HTTP API.
//!
//! **Owns:** routes, the conversion between the wire and the engine, server-sent events,
//! admission, the thread that the engine runs on, and how everything ends: errors, disconnects,
//! shutdown. **Does not know:** keys, quota, money, weights, where a model comes from.
//!
//! **Start at** [`Server`], then `chat` (one request from body to answer), `answer` (what all
//! dialects share: from an ask to the events of an answer) and `engine_thread` (the only thing
//! that touches the engine). Another dialect is another module beside `chat`.
//!
//! Logs tell ids, routes, states and times; never what a prompt or an answer says. An [`Observer`]
//! hears of every request, and of what was said only when it asks for it.

#![forbid(unsafe_code)]

mod answer;
mod api_error;
mod batches;
mod body;
mod chat;
mod clock;
mod completions;
mod embeddings;
mod engine_thread;
mod exchange;
mod external;
mod files;
mod grammars;
mod health;
mod ids;
mod limits;
mod lists;
mod measure;
mod measuring;
mod messages;
mod metrics;
mod models;
mod observer;
mod prompt_input;
mod response_headers;
mod response_store;
mod responses;
mod router;
mod sampling;
mod scrape;
mod server;
mod serving;
mod sse;
mod storage;
mod tally;
mod tokens;
mod usage;

pub use engine_thread::{EngineHandle, EngineState};
pub use external::{ExternalError, ExternalFuture, ExternalTool, ExternalTools};
pub use limits::Limits;
pub use measure::Measure;
pub use observer::{Content, FinishedRequest, Generation, Observer, Outcome};
pub use router::{router, routes};
pub use server::{Cors, ServedModel, Server, ServerOptions};
pub use serving::{Stopping, serve, serve_behind};
pub use storage::{Storage, StorageLimits};
