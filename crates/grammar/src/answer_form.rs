//! What a whole answer must be.

use serde_json::Value;

/// What a whole answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerForm {
    /// As [`GrammarCompiler::json_object`](crate::GrammarCompiler::json_object).
    JsonObject,
    /// As [`GrammarCompiler::json_schema`](crate::GrammarCompiler::json_schema).
    JsonSchema(Value),
    /// As [`GrammarCompiler::regex`](crate::GrammarCompiler::regex).
    Regex(String),
    /// As [`GrammarCompiler::choice`](crate::GrammarCompiler::choice).
    Choice(Vec<String>),
    /// As [`GrammarCompiler::lark`](crate::GrammarCompiler::lark).
    Lark(String),
}
