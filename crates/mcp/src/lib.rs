//! Tools of servers that speak the Model Context Protocol.
//!
//! **Owns** the configuration of such servers, starting those that are programs, the connections,
//! and turning results into text. **Does not know** who asks for tools, models, prompts, HTTP
//! routes, or how often a model may call.
//!
//! **Start at** [`Config::parse`], then [`Servers`], which is an
//! [`ExternalTools`](phial_serve::ExternalTools).
//!
//! ```
//! let config = phial_mcp::Config::parse(
//!     r#"
//!     [mcp.shop]
//!     command = ["python3", "sqlite_server.py", "shop.db"]
//!
//!     [mcp.weather]
//!     url = "https://weather.example/mcp"
//!     token_variable = "WEATHER_TOKEN"
//!     "#,
//! )?;
//! assert_eq!(config.labels().collect::<Vec<_>>(), ["shop", "weather"]);
//! # Ok::<(), phial_mcp::InvalidConfig>(())
//! ```

#![forbid(unsafe_code)]

mod config;
mod connection;
mod servers;

pub use config::{Config, InvalidConfig};
pub use servers::Servers;
