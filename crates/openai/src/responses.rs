//! The dialect of `/v1/responses`.

pub(crate) mod event;
pub(crate) mod item;
pub(crate) mod mcp;
pub(crate) mod object;
pub(crate) mod request;
mod tools;
