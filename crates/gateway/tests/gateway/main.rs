//! The gateway over a stub, on both databases.

mod books;
mod crash;
mod description;
mod fields;
mod maintenance;
mod money;
mod nodes;
mod postgres;
mod security;
mod service;
mod stub;
