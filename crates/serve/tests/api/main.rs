//! The API as clients see it, over a model that says what it is told to.

mod batches;
mod billed;
mod client;
mod completions;
mod constrained;
mod embeddings;
mod errors;
mod external;
mod fake;
mod formats;
mod lifecycle;
mod messages;
mod metrics;
mod observed;
mod openapi;
mod plain;
mod responses;
mod streamed;
mod timeouts;
mod tokens;
mod tools;
