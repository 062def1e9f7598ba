//! The API as clients see it, over a model that says what it is told to.

mod client;
mod errors;
mod external;
mod fake;
mod lifecycle;
mod metrics;
mod plain;
mod streamed;
mod tokens;
mod tools;
