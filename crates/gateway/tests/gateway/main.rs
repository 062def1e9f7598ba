//! The gateway over a stub, on both databases.

mod books;
mod fields;
mod money;
mod postgres;
mod service;
mod stub;
