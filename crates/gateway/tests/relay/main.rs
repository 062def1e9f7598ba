//! Channels against servers that answer, fail, dawdle, break off and lie.

mod failing;
mod metering;
mod passing;
mod stub;
