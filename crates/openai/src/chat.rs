//! Chat completions.

pub(crate) mod logprobs;
pub(crate) mod message;
pub(crate) mod request;
pub(crate) mod response;
mod unsupported;
