//! What the library is given.

use serde_json::Value;

/// A constraint in a language of the library.
pub(crate) enum Source {
    Schema(Value),
    Regex(String),
    Lark(String),
}
