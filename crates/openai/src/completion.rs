//! Completions of plain text, the older API.

pub(crate) mod request;
pub(crate) mod response;
