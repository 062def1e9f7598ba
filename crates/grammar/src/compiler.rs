//! From constraints to grammars.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{ParserFactory, TokenParser};
use phial_text::{TokenId, Tokenizer};
use serde_json::Value;

use crate::answer_form::AnswerForm;
use crate::grammar::Grammar;
use crate::limits::{
    AUTOMATON_STATES_MAX, CHOICES_BYTES_MAX, CHOICES_MAX, COMPILE_FUEL, COMPILE_STACK_BYTES,
    GRAMMAR_SYMBOLS_MAX, LARK_BYTES_MAX, MASK_FUEL, MASK_ITEMS_MAX, REGEX_BYTES_MAX, ROW_ITEMS_MAX,
};
use crate::refused::{InvalidVocabulary, Refused};
use crate::schema::{self, Unsaid, Whitespace};
use crate::source::Source;
use crate::tool_calls::{self, ToolCalls};
use crate::vocabulary;

/// Compiles constraints for one tokenizer. Takes some tenths of a second to make: make it once and
/// share it.
pub struct GrammarCompiler {
    tokenizer: Arc<Tokenizer>,
    factory: ParserFactory,
}

impl GrammarCompiler {
    /// For texts of `tokenizer` that end with one of `stop_tokens`.
    ///
    /// # Errors
    /// If no stop token is a token, or the vocabulary is beyond what a trie can hold.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        stop_tokens: &[TokenId],
    ) -> Result<Self, InvalidVocabulary> {
        let unsupported = |error: &dyn fmt::Display| {
            InvalidVocabulary::Unsupported(first_line(&error.to_string()))
        };
        let environment: TokEnv = vocabulary::environment(Arc::clone(&tokenizer), stop_tokens)?;
        let capabilities = InferenceCapabilities { ff_tokens: true, ..Default::default() };
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, capabilities, &slices)
            .map_err(|error| unsupported(&error))?;
        factory.quiet();
        *factory.limits_mut() = ParserLimits {
            max_items_in_row: ROW_ITEMS_MAX,
            initial_lexer_fuel: COMPILE_FUEL,
            step_lexer_fuel: MASK_FUEL,
            step_max_items: MASK_ITEMS_MAX,
            max_lexer_states: AUTOMATON_STATES_MAX,
            max_grammar_size: GRAMMAR_SYMBOLS_MAX,
            precompute_large_lexemes: true,
            verbose_errors: false,
        };
        Ok(Self { tokenizer, factory })
    }

    /// JSON text that is valid against `schema` (JSON Schema, draft 4 to 2020-12). Keys come in
    /// the order of the schema; `, ` and `: ` are the only white space. Numbers stay between -2^53
    /// and 2^53, where every reader takes them exactly.
    ///
    /// # Errors
    /// The first keyword that is not enforced, with its place.
    pub fn json_schema(&self, schema: &Value) -> Result<Grammar, Refused> {
        self.schema_source(schema).map(|(_, parser)| Grammar::new(parser, None, Vec::new()))
    }

    /// Any JSON object, with white space as writers of JSON use it. Numbers are as in
    /// [`Self::json_schema`].
    ///
    /// # Errors
    /// Only if the vocabulary cannot write JSON.
    pub fn json_object(&self) -> Result<Grammar, Refused> {
        self.answer(&AnswerForm::JsonObject)
    }

    /// Text that matches `pattern` as a whole, in the syntax of Rust's `regex` without anchors
    /// inside and without look-around.
    ///
    /// # Errors
    /// If the pattern cannot be compiled.
    pub fn regex(&self, pattern: &str) -> Result<Grammar, Refused> {
        self.answer(&AnswerForm::Regex(pattern.to_owned()))
    }

    /// Text of the rule `start` of a grammar in llguidance's variant of Lark.
    ///
    /// # Errors
    /// If the grammar cannot be compiled, or holds a schema or options: those would escape the
    /// checks of [`Self::json_schema`].
    pub fn lark(&self, grammar: &str) -> Result<Grammar, Refused> {
        self.answer(&AnswerForm::Lark(grammar.to_owned()))
    }

    /// Exactly one of these texts.
    ///
    /// # Errors
    /// If there are none, too many, or an empty one.
    pub fn choice(&self, choices: &[String]) -> Result<Grammar, Refused> {
        self.answer(&AnswerForm::Choice(choices.to_vec()))
    }

    /// Text of this form.
    ///
    /// # Errors
    /// What cannot be enforced of it.
    pub fn answer(&self, form: &AnswerForm) -> Result<Grammar, Refused> {
        let (_, parser) = self.answer_source(form)?;
        Ok(Grammar::new(parser, None, Vec::new()))
    }

    /// Calls of tools, as a dialect writes them.
    ///
    /// # Errors
    /// The first tool whose parameters must be enforced and are not, or a mistake in the request.
    pub fn tool_calls(&self, calls: &ToolCalls) -> Result<Grammar, Refused> {
        let compile = |source| self.compile(source);
        let prepared = tool_calls::prepare(calls, false, &self.tokenizer, &compile)?;
        let parser = self.compile(Source::Lark(prepared.lark))?;
        Ok(Grammar::new(parser, prepared.trigger, prepared.left_open))
    }

    /// Either text of this form, or calls of tools that the model is free to make: nothing else,
    /// and not both.
    ///
    /// # Errors
    /// As [`Self::answer`] and [`Self::tool_calls`]; the former name no tool.
    pub fn answer_or_calls(
        &self,
        form: &AnswerForm,
        calls: &ToolCalls,
    ) -> Result<Grammar, Refused> {
        let (answer, _) = self.answer_source(form)?;
        let compile = |source| self.compile(source);
        let prepared = tool_calls::prepare(calls, true, &self.tokenizer, &compile)?;
        let answer = Box::new(answer);
        let parser = self.compile(Source::Beside { calls: prepared.lark, answer })?;
        Ok(Grammar::new(parser, None, prepared.left_open))
    }

    /// What the library is given for a form, and what it makes of that.
    fn answer_source(&self, form: &AnswerForm) -> Result<(Source, TokenParser), Refused> {
        let source = match form {
            AnswerForm::JsonSchema(schema) => return self.schema_source(schema),
            AnswerForm::JsonObject => {
                let any = serde_json::json!({"type": "object"});
                Source::Schema(schema::enforced(&any, Whitespace::Indented, Unsaid::Bounded)?)
            }
            AnswerForm::Regex(pattern) => {
                within("a regular expression", pattern.len(), REGEX_BYTES_MAX)?;
                Source::Regex(pattern.clone())
            }
            AnswerForm::Choice(choices) => Source::Regex(choice_pattern(choices)?),
            AnswerForm::Lark(grammar) => {
                check_lark(grammar)?;
                Source::Lark(grammar.clone())
            }
        };
        let parser = self.compile(source.clone())?;
        Ok((source, parser))
    }

    fn schema_source(&self, schema: &Value) -> Result<(Source, TokenParser), Refused> {
        let mut refused = None;
        for unsaid in [Unsaid::Bounded, Unsaid::Open] {
            let source = Source::Schema(schema::enforced(schema, Whitespace::Fixed, unsaid)?);
            match self.compile(source.clone()) {
                Ok(parser) => return Ok((source, parser)),
                Err(error) => refused = Some(error),
            }
        }
        let refused = refused.unwrap_or_else(|| Refused::new("it cannot be compiled"));
        Err(schema::explain(schema, refused, &|part| self.compile(part).err()))
    }

    /// Runs the library, on a stack that what is allowed in cannot exhaust.
    fn compile(&self, source: Source) -> Result<TokenParser, Refused> {
        let grammar = source.into_grammar();
        let run = || self.compile_here(grammar);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(COMPILE_STACK_BYTES);
            let thread = thread
                .spawn_scoped(scope, run)
                .map_err(|error| Refused::new(format!("no thread to compile it: {error}")))?;
            let broken = |_| Err(Refused::new("the compiler broke off; please report it"));
            thread.join().unwrap_or_else(broken)
        })
    }

    fn compile_here(&self, grammar: TopLevelGrammar) -> Result<TokenParser, Refused> {
        let refused = |error: &dyn fmt::Display| Refused::new(first_line(&error.to_string()));
        let mut parser = self.factory.create_parser(grammar).map_err(|error| refused(&error))?;
        if let Some(warning) = parser.grammar_warnings().first() {
            return Err(Refused::new(first_line(warning)));
        }
        parser.start_without_prompt();
        // A grammar that allows nothing at all is found out here, not in the middle of an answer.
        let first = llguidance::panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| {
            parser.compute_mask()
        }));
        first.map_err(|_| Refused::new("no text satisfies it, or it is too complex"))?;
        Ok(parser)
    }
}

/// An expression for exactly these texts.
fn choice_pattern(choices: &[String]) -> Result<String, Refused> {
    within("a choice", choices.len(), CHOICES_MAX)?;
    within("a choice", choices.iter().map(String::len).sum(), CHOICES_BYTES_MAX)?;
    if choices.is_empty() || choices.iter().any(String::is_empty) {
        return Err(Refused::new("a choice needs texts to choose from, none of them empty"));
    }
    let mut pattern = String::new();
    for choice in choices {
        let separator = if pattern.is_empty() { "" } else { "|" };
        let _ = write!(pattern, "{separator}{}", regex_syntax::escape(choice));
    }
    Ok(format!("(?:{pattern})"))
}

/// Refuses what would escape the checks of schemas, or change more than the text.
fn check_lark(grammar: &str) -> Result<(), Refused> {
    within("a grammar", grammar.len(), LARK_BYTES_MAX)?;
    for directive in ["%json", "%llguidance", "temperature=", "max_tokens="] {
        if grammar.split_whitespace().collect::<String>().contains(directive) {
            return Err(Refused::new(format!("{directive:?} is not allowed in a grammar")));
        }
    }
    Ok(())
}

fn within(what: &str, size: usize, limit: usize) -> Result<(), Refused> {
    if size > limit {
        return Err(Refused::new(format!("{what} of {size}; the limit is {limit}")));
    }
    Ok(())
}

/// What an error says; the lines that follow are the state of the parser.
fn first_line(error: &str) -> String {
    // The library turns its own broken assumptions into errors.
    if error.contains("panic") {
        return "it is beyond what can be compiled".to_owned();
    }
    error.lines().next().unwrap_or_default().trim().to_owned()
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GrammarCompiler")
            .field("tokenizer", &self.tokenizer)
            .finish_non_exhaustive()
    }
}
