//! Why a constraint is not taken.

use std::fmt;

use thiserror::Error;

/// A constraint that cannot be enforced, or not within the limits. The display is one line for
/// whoever wrote the constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    tool: Option<String>,
    keyword: Option<String>,
    pointer: Option<String>,
    reason: String,
}

impl Refused {
    /// Of a constraint that is not a JSON Schema.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { tool: None, keyword: None, pointer: None, reason: reason.into() }
    }

    /// Of a keyword at a place in a JSON Schema; an empty keyword stands for the schema itself.
    pub(crate) fn keyword_at(
        keyword: &str,
        pointer: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let keyword = (!keyword.is_empty()).then(|| keyword.to_owned());
        Self { tool: None, keyword, pointer: Some(pointer.into()), reason: reason.into() }
    }

    pub(crate) fn of_tool(self, name: &str) -> Self {
        Self { tool: Some(name.to_owned()), ..self }
    }

    /// The tool whose parameters are meant.
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_deref()
    }

    /// The keyword of JSON Schema that is refused.
    pub fn keyword(&self) -> Option<&str> {
        self.keyword.as_deref()
    }

    /// Where in the schema, as a JSON Pointer (RFC 6901); empty for the root and for constraints
    /// that are no schema.
    pub fn pointer(&self) -> &str {
        self.pointer.as_deref().unwrap_or_default()
    }

    /// What is wrong with it.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tool) = &self.tool {
            write!(formatter, "parameters of the tool {tool:?}: ")?;
        }
        match (&self.keyword, &self.pointer) {
            (Some(keyword), Some(pointer)) => {
                write!(formatter, "{keyword:?} at #{pointer}: ")?;
            }
            (None, Some(pointer)) => write!(formatter, "the schema at #{pointer}: ")?,
            _ => {}
        }
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Refused {}

/// A tokenizer that no grammar can be made for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidVocabulary {
    /// Nothing would end a constrained text.
    #[error("no stop token of the tokenizer is given; constraints need one to end with")]
    NoStopToken,
    /// The trie of the tokens cannot be made.
    #[error("no grammars can be made for the vocabulary: {0}")]
    Unsupported(String),
}
