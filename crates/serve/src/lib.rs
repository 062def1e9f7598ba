//! The HTTP API.
//!
//! **Owns:** routes, the conversion between the wire and the engine, server-sent events,
//! admission, the thread that the engine runs on, and how everything ends: errors, disconnects,
//! shutdown. **Does not know:** keys, quota, money, weights, where a model comes from.
//!
//! **Start at** [`Server`], then `chat` (one request from body to answer) and `engine_thread`
//! (the only thing that touches the engine). Another dialect is another module beside `chat`; it
//! makes the same engine requests and reads the same updates.
//!
//! Logs tell ids, routes, states and times; never what a prompt or an answer says.

#![forbid(unsafe_code)]

mod api_error;
mod body;
mod chat;
mod engine_thread;
mod health;
mod ids;
mod limits;
mod models;
mod response_headers;
mod router;
mod server;
mod serving;
mod sse;
mod usage;

pub use engine_thread::{EngineHandle, EngineState};
pub use limits::Limits;
pub use router::router;
pub use server::{Cors, ServedModel, Server, ServerOptions};
pub use serving::serve;
