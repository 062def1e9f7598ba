//! Batches: many requests in a file, answered when there is time.

pub(crate) mod line;
pub(crate) mod object;
pub(crate) mod request;
