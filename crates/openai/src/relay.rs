//! What a relay reads and changes of requests and answers that others wrote and others answer.
//! Only the outermost members are looked at; all else goes through as it is, byte for byte.

pub mod answer;
mod members;
pub mod request;
