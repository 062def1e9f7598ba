//! Traces of requests, for collectors of OpenTelemetry.
//!
//! **Owns** where traces go, the words of the conventions for generative AI, the context that a
//! request brings along, and sending in the background. **Does not know** routes, the engine, or
//! models: it is told of requests that are over.
//!
//! **Start at** [`Traces`], which is an [`Observer`](phial_serve::Observer), then `attributes` for
//! what a trace says. What people ask and are told is in it only where
//! [`Options::content`] says so.

#![forbid(unsafe_code)]

mod attributes;
mod client;
mod destination;
mod traces;

pub use destination::Destination;
pub use traces::{Options, Traces};

use thiserror::Error;

/// Why there will be no traces. The display is one line for the operator.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// An address that is none.
    #[error("'{0}' is no address of a collector; it begins with http:// or https://")]
    Address(String),
    /// A variable asks for what there is not.
    #[error("{variable} is '{value}'; here it can only be {known}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        known: &'static str,
    },
    /// The exporter cannot be made.
    #[error("traces cannot be sent: {0}")]
    Exporter(String),
}
