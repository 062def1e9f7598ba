//! Chat completions.

pub(crate) mod logprobs;
pub(crate) mod message;
mod prediction;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod tools;
pub(crate) mod unsupported;
