//! Grammars of calls, compiled when they are first asked for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use phial_grammar::{Grammar, GrammarCompiler, Refused, ToolCalls};
use phial_text::{TokenId, Tokenizer};

use crate::api_error::ApiError;

/// Grammars that are kept. Conversations go on with the tools that they began with, and to compile
/// those of a large one takes longer than a step of the engine.
const KEPT_MAX: usize = 32;

/// The compiler for the served model's tokenizer, and what it made last.
#[derive(Default)]
pub(crate) struct Grammars {
    compiler: OnceLock<Option<Arc<GrammarCompiler>>>,
    /// Used last, last.
    kept: Mutex<VecDeque<(ToolCalls, Grammar)>>,
}

impl Grammars {
    /// The grammar of `calls`, for a model with this tokenizer, always the same, and these stop
    /// tokens.
    ///
    /// # Errors
    /// If no grammar can be made for the model's vocabulary; within that, what is wrong with the
    /// tools.
    pub(crate) fn of_calls(
        &self,
        (tokenizer, stop_tokens): (&Arc<Tokenizer>, &[TokenId]),
        calls: ToolCalls,
    ) -> Result<Result<Grammar, Refused>, ApiError> {
        if let Some(grammar) = self.find(&calls) {
            return Ok(Ok(grammar));
        }
        let Some(compiler) = self.compiler(tokenizer, stop_tokens) else {
            return Err(ApiError::internal());
        };
        let grammar = match compiler.tool_calls(&calls) {
            Ok(grammar) => grammar,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((calls, grammar.clone()));
        Ok(Ok(grammar))
    }

    fn find(&self, calls: &ToolCalls) -> Option<Grammar> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == calls)?;
        let found = kept.remove(index)?;
        let grammar = found.1.clone();
        kept.push_back(found);
        Some(grammar)
    }

    fn compiler(
        &self,
        tokenizer: &Arc<Tokenizer>,
        stop_tokens: &[TokenId],
    ) -> Option<Arc<GrammarCompiler>> {
        let make = || {
            let compiler = GrammarCompiler::new(Arc::clone(tokenizer), stop_tokens);
            compiler.inspect_err(|error| tracing::error!(%error, "no grammars")).ok().map(Arc::new)
        };
        self.compiler.get_or_init(make).clone()
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grammars").finish_non_exhaustive()
    }
}
