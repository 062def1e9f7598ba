//! The dialect of `/v1/messages`, which clients made for Anthropic's API speak.

mod content;
pub(crate) mod request;
pub(crate) mod response;
