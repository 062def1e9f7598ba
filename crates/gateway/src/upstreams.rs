//! Channels: the places that answer requests, one of which may be the engine of this process, the
//! others any server of the public API.
//!
//! A request goes to the channels that have its model, those of the highest priority first, by
//! weight among equals. Until the first byte of an answer is there, another channel takes over from
//! one that fails; from then on bytes go through as they come. What an answer took is read from it
//! and told to the meter before the client can see it.
//!
//! **Start at** [`Channels`]; [`ChannelSettings`] is all that a channel is made of.

mod address;
mod answer;
mod attempt;
mod breaker;
mod channel;
mod channels;
mod events;
mod failure;
mod headers;
mod health;
mod listing;
mod metrics;
mod selection;
mod settings;
mod stream;
mod table;
mod tally;

pub use channel::ChannelHealth;
pub use channels::Channels;
pub use health::HealthState;
pub use settings::{
    ChannelKey, ChannelKind, ChannelSettings, InvalidChannel, Patience, WithoutUsage,
};
pub use table::UpstreamTable;
