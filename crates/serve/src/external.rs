//! Tools that the server runs itself, wherever they come from.

use std::fmt;
use std::pin::Pin;

use serde_json::{Map, Value};

/// What a source of tools answers with, some time.
pub type ExternalFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, ExternalError>> + Send + 'a>>;

/// A source of tools that the server runs for requests that ask for them: several servers of tools,
/// each with a label. Futures may be dropped before they are ready.
pub trait ExternalTools: fmt::Debug + Send + Sync {
    /// The labels of all servers.
    fn servers(&self) -> Vec<String>;

    /// The tools of a server.
    fn tools<'a>(&'a self, server: &'a str) -> ExternalFuture<'a, Vec<ExternalTool>>;

    /// Runs a tool; gives its result as text.
    fn call<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
        arguments: Map<String, Value>,
    ) -> ExternalFuture<'a, String>;
}

/// A tool of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalTool {
    /// By which the server knows it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Value,
}

/// Why a server or one of its tools gave nothing: one line, which the model and the client read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalError(pub String);

impl fmt::Display for ExternalError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ExternalError {}
