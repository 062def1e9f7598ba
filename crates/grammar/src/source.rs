//! What the library is given.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::Value;

/// The name by which a grammar of calls speaks of the answer beside them.
pub(crate) const ANSWER: &str = "answer";

/// A constraint in a language of the library.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Schema(Value),
    Regex(String),
    Lark(String),
    /// A Lark grammar that refers to another one as [`ANSWER`].
    Beside {
        calls: String,
        answer: Box<Source>,
    },
}

impl Source {
    pub(crate) fn into_grammar(self) -> TopLevelGrammar {
        match self {
            Self::Beside { calls, answer } => {
                let mut grammar = TopLevelGrammar::from_lark(calls);
                let beside = answer.into_grammar().grammars.into_iter();
                let named = |one| GrammarWithLexer { name: Some(ANSWER.to_owned()), ..one };
                grammar.grammars.extend(beside.take(1).map(named));
                grammar
            }
            Self::Schema(schema) => TopLevelGrammar::from_json_schema(schema),
            Self::Regex(pattern) => TopLevelGrammar::from_regex(&pattern),
            Self::Lark(grammar) => TopLevelGrammar::from_lark(grammar),
        }
    }
}
