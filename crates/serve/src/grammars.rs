//! Grammars of answers and calls, compiled when they are first asked for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use phial_grammar::{AnswerForm, Grammar, GrammarCompiler, Refused, ToolCalls};
use phial_text::{TokenId, Tokenizer};

use crate::api_error::ApiError;

/// Grammars that are kept. Conversations go on with the tools that they began with, many requests
/// ask for the same form, and to compile a large one takes longer than a step of the engine.
const KEPT_MAX: usize = 32;

/// What an answer must follow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Follows {
    /// Calls.
    Calls(ToolCalls),
    /// A form.
    Form(AnswerForm),
    /// A form, unless it is calls.
    FormOrCalls(AnswerForm, ToolCalls),
}

/// The compiler for the served model's tokenizer, and what it made last.
#[derive(Default)]
pub(crate) struct Grammars {
    compiler: OnceLock<Option<Arc<GrammarCompiler>>>,
    /// Used last, last.
    kept: Mutex<VecDeque<(Follows, Grammar)>>,
}

impl Grammars {
    /// The grammar of what an answer follows, for a model with this tokenizer, always the same, and
    /// these stop tokens.
    ///
    /// # Errors
    /// If no grammar can be made for the model's vocabulary; within that, what is wrong with the
    /// form or the tools.
    pub(crate) fn get(
        &self,
        (tokenizer, stop_tokens): (&Arc<Tokenizer>, &[TokenId]),
        follows: Follows,
    ) -> Result<Result<Grammar, Refused>, ApiError> {
        if let Some(grammar) = self.find(&follows) {
            return Ok(Ok(grammar));
        }
        let Some(compiler) = self.compiler(tokenizer, stop_tokens) else {
            return Err(ApiError::internal());
        };
        let compiled = match &follows {
            Follows::Calls(calls) => compiler.tool_calls(calls),
            Follows::Form(form) => compiler.answer(form),
            Follows::FormOrCalls(form, calls) => compiler.answer_or_calls(form, calls),
        };
        let grammar = match compiled {
            Ok(grammar) => grammar,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((follows, grammar.clone()));
        Ok(Ok(grammar))
    }

    fn find(&self, follows: &Follows) -> Option<Grammar> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let index = kept.iter().position(|(known, _)| known == follows)?;
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
