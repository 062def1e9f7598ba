//! Constraints on what a model may write: JSON Schema, JSON, regular expressions, Lark grammars,
//! choices and tool calls, as sets of allowed tokens.
//!
//! **Owns** what is enforced and what is refused, the compiled [`Grammar`], and the [`Matcher`]
//! that follows one text and says which tokens may come next.
//!
//! **Does not know** models, sampling, requests, HTTP; how a request asks for a constraint.
//!
//! **Fails closed**: what cannot be enforced is [`Refused`] with the keyword and its place, never
//! ignored. Everything from outside is bounded by [`limits`].
//!
//! **Start at** [`GrammarCompiler`], made once per tokenizer; [`ToolCalls`] for function calling.
//!
//! ```
//! use std::sync::Arc;
//! use phial_grammar::{Allowed, GrammarCompiler};
//! use phial_text::{SpecialTokens, Tokenizer};
//! use serde_json::json;
//!
//! let tokenizer = Arc::new(Tokenizer::phi4());
//! let compiler = GrammarCompiler::new(Arc::clone(&tokenizer), &tokenizer.end_of_turn_ids())?;
//! let grammar = compiler.json_schema(&json!({
//!     "type": "object",
//!     "properties": {"city": {"type": "string"}},
//!     "required": ["city"],
//!     "additionalProperties": false,
//! }))?;
//!
//! let mut matcher = grammar.matcher();
//! let forced = matcher.forced()?;
//! assert_eq!(tokenizer.decode(&forced, false), "{\"city\":");
//! for token in forced {
//!     matcher.accept(token)?;
//! }
//! let Allowed::Only(mask) = matcher.allowed()? else { panic!("JSON is constrained") };
//! let text = |text| tokenizer.encode(text, SpecialTokens::AsText)[0];
//! assert!(mask.allows(text(" \"")) && !mask.allows(text("7")));
//!
//! let refused = compiler.json_schema(&json!({"properties": {"a": {"not": {}}}})).unwrap_err();
//! assert_eq!((refused.keyword(), refused.pointer()), (Some("not"), "/properties/a/not"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer_form;
mod compiler;
mod grammar;
pub mod limits;
mod mask;
mod matcher;
mod pattern;
mod refused;
mod schema;
mod source;
mod tool_calls;
mod vocabulary;

pub use answer_form::AnswerForm;
pub use compiler::GrammarCompiler;
pub use grammar::Grammar;
pub use mask::{Allowed, Mask};
pub use matcher::{Matcher, MatcherError};
pub use refused::{InvalidVocabulary, Refused};
pub use tool_calls::{CallMode, Tool, ToolCalls, ToolDialect};
