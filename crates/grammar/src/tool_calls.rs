//! Function calling as a constraint: which tools may be called, and how a model writes calls.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use llguidance::TokenParser;
use phial_text::{SpecialTokens, TokenId, Tokenizer};
use serde_json::{Value, json};

use crate::limits::{PARALLEL_CALLS_MAX, TOOL_NAME_BYTES_MAX, TOOLS_MAX};
use crate::refused::Refused;
use crate::schema::{self, Unsaid, Whitespace};
use crate::source::{ANSWER, Source};
use crate::vocabulary::is_added;

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Its name, as the model writes it.
    pub name: String,
    /// JSON Schema of its arguments, which are an object; `None`: it takes none.
    pub parameters: Option<Value>,
    /// Arguments must be valid against `parameters` in every mode. Without it, and where the model
    /// is free to call or not, parameters that cannot be enforced leave the arguments any object.
    pub strict: bool,
}

/// Whether there are calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallMode {
    /// The model decides: anything until a call begins, from then on only calls of the tools.
    Auto,
    /// Nothing but calls, at least one.
    Required,
    /// Exactly one call, of this tool.
    Named(String),
}

/// A constraint to call tools.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCalls {
    /// The tools, with different names.
    pub tools: Vec<Tool>,
    /// Whether there are calls.
    pub mode: CallMode,
    /// Whether there may be several, up to
    /// [`PARALLEL_CALLS_MAX`](crate::limits::PARALLEL_CALLS_MAX).
    pub parallel: bool,
    /// How the model writes them.
    pub dialect: ToolDialect,
}

/// How a model writes calls. Spellings of the tokenizer's added tokens stand for these tokens,
/// all else is text. Names and arguments are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDialect {
    /// What tells a call from an answer; the calls begin with it. Where the model is free to call,
    /// this text commits it.
    pub trigger: String,
    /// Before the first call.
    pub open: String,
    /// Of each call: before the name, between name and arguments, after the arguments.
    pub call: [String; 3],
    /// Between two calls.
    pub separator: String,
    /// After the last call.
    pub close: String,
}

impl ToolDialect {
    /// Phi-4-mini: `<|tool_call|>[{"name": "f", "arguments": {…}}, …]<|/tool_call|>`.
    pub fn phi4() -> Self {
        Self {
            trigger: "<|tool_call|>".to_owned(),
            open: "<|tool_call|>[".to_owned(),
            call: json_call("", ""),
            separator: ", ".to_owned(),
            close: "]<|/tool_call|>".to_owned(),
        }
    }

    /// Hermes, Qwen and SmolLM: each call on lines of its own between `<tool_call>` and
    /// `</tool_call>`.
    pub fn hermes() -> Self {
        Self {
            trigger: "<tool_call>".to_owned(),
            open: String::new(),
            call: json_call("<tool_call>\n", "\n</tool_call>"),
            separator: "\n".to_owned(),
            close: String::new(),
        }
    }
}

fn json_call(before: &str, after: &str) -> [String; 3] {
    [format!("{before}{{\"name\": "), ", \"arguments\": ".to_owned(), format!("}}{after}")]
}

/// A grammar of calls, to be compiled.
pub(crate) struct Prepared {
    pub(crate) lark: String,
    /// The grammar begins behind this token.
    pub(crate) trigger: Option<TokenId>,
    pub(crate) left_open: Vec<Refused>,
}

/// Writes the grammar, which allows an answer beside calls or does not; `compile` tries schemas out.
pub(crate) fn prepare(
    calls: &ToolCalls,
    beside_answer: bool,
    tokenizer: &Tokenizer,
    compile: &dyn Fn(Source) -> Result<TokenParser, Refused>,
) -> Result<Prepared, Refused> {
    let tools = chosen(calls)?;
    let dialect = &calls.dialect;
    let (trigger, open) = opening(calls, beside_answer, tokenizer)?;
    let mut left_open = Vec::new();
    let (mut first, mut next, mut rules) = (Vec::new(), Vec::new(), String::new());
    for (index, tool) in tools.iter().enumerate() {
        let arguments = match arguments(tool, compile) {
            Ok(schema) => schema,
            Err(refused) if calls.mode == CallMode::Auto && !tool.strict => {
                left_open.push(refused);
                let any = json!({"type": "object"});
                schema::enforced(&any, Whitespace::Fixed, Unsaid::Bounded)?
            }
            Err(refused) => return Err(refused),
        };
        let [before, between, after] = &dialect.call;
        // A name is text, whatever it spells; the trigger may reach into the first call.
        let name = Value::from(Value::from(tool.name.as_str()).to_string());
        let first_before = sequence(&format!("{open}{before}")[trigger.skipped()..], tokenizer);
        let before = sequence(before, tokenizer);
        let rest = format!(
            "{name} {} arguments_{index} {}",
            sequence(between, tokenizer),
            sequence(after, tokenizer)
        );
        let _ = writeln!(rules, "arguments_{index}: %json {arguments}");
        let _ = writeln!(rules, "first_{index}: {first_before} {rest}");
        let _ = writeln!(rules, "next_{index}: {before} {rest}");
        first.push(format!("first_{index}"));
        next.push(format!("next_{index}"));
    }
    let more = if calls.parallel && !matches!(calls.mode, CallMode::Named(_)) {
        let separator = sequence(&dialect.separator, tokenizer);
        format!("({separator} ({})){{0,{}}}", next.join(" | "), PARALLEL_CALLS_MAX - 1)
    } else {
        String::new()
    };
    let close = sequence(&dialect.close, tokenizer);
    let _ = writeln!(rules, "calls: ({}) {more} {close}", first.join(" | "));
    rules.push_str(&trigger.start_rule());
    Ok(Prepared { lark: rules, trigger: trigger.token(), left_open })
}

/// What comes before a call that the model is free to make.
enum Trigger {
    /// The calls are all there is.
    None,
    /// The calls, or an answer that a grammar of its own describes.
    Answer,
    /// A token, and the bytes of its spelling.
    Token(TokenId, usize),
    /// Text.
    Text(String),
}

impl Trigger {
    /// Bytes at the beginning of the calls that were written before the grammar of calls begins.
    fn skipped(&self) -> usize {
        match self {
            Self::None | Self::Answer => 0,
            Self::Token(_, bytes) => *bytes,
            Self::Text(text) => text.len(),
        }
    }

    fn token(&self) -> Option<TokenId> {
        match self {
            Self::Token(token, _) => Some(*token),
            _ => None,
        }
    }

    fn start_rule(&self) -> String {
        match self {
            Self::Answer => format!("start: calls | @{ANSWER}\n"),
            Self::None | Self::Token(..) => "start: calls\n".to_owned(),
            // Lazy: the head ends where the trigger first does, and no text goes on from there.
            Self::Text(text) => {
                let text = Value::from(text.as_str());
                format!("start: head calls | PLAIN\nhead[lazy]: PLAIN {text}\nPLAIN: /(?s:.*)/\n")
            }
        }
    }
}

/// The trigger, and what is before the first call, the trigger included.
fn opening<'c>(
    calls: &'c ToolCalls,
    beside_answer: bool,
    tokenizer: &Tokenizer,
) -> Result<(Trigger, &'c str), Refused> {
    let ToolDialect { trigger, open, call, .. } = &calls.dialect;
    if trigger.is_empty() || !format!("{open}{}", call[0]).starts_with(trigger.as_str()) {
        return Err(Refused::new(format!("calls do not begin with the trigger {trigger:?}")));
    }
    let trigger = match (&calls.mode, tokenizer.token_id(trigger)) {
        _ if beside_answer => Trigger::Answer,
        (CallMode::Required | CallMode::Named(_), _) => Trigger::None,
        (CallMode::Auto, Some(token)) => Trigger::Token(token, trigger.len()),
        (CallMode::Auto, None) => Trigger::Text(trigger.clone()),
    };
    Ok((trigger, open))
}

/// The tools that may be called; at least one.
fn chosen(calls: &ToolCalls) -> Result<Vec<&Tool>, Refused> {
    let mut names = BTreeSet::new();
    if calls.tools.len() > TOOLS_MAX {
        let count = calls.tools.len();
        return Err(Refused::new(format!("{count} tools; the limit is {TOOLS_MAX}")));
    }
    for Tool { name, .. } in &calls.tools {
        if name.is_empty() || name.len() > TOOL_NAME_BYTES_MAX || name.chars().any(char::is_control)
        {
            return Err(Refused::new(format!(
                "the name of a tool is {name:?}; it must have 1 to {TOOL_NAME_BYTES_MAX} bytes \
                 and no control characters"
            )));
        }
        if !names.insert(name) {
            return Err(Refused::new(format!("two tools are named {name:?}")));
        }
    }
    let tools: Vec<&Tool> = match &calls.mode {
        CallMode::Auto | CallMode::Required => calls.tools.iter().collect(),
        CallMode::Named(wanted) => calls.tools.iter().filter(|one| one.name == *wanted).collect(),
    };
    match (&calls.mode, tools.is_empty()) {
        (_, false) => Ok(tools),
        (CallMode::Named(wanted), true) => {
            Err(Refused::new(format!("no tool is named {wanted:?}")))
        }
        (_, true) => Err(Refused::new("there are no tools to call")),
    }
}

/// The schema of a tool's arguments as the library enforces it, tried out.
fn arguments(
    tool: &Tool,
    compile: &dyn Fn(Source) -> Result<TokenParser, Refused>,
) -> Result<Value, Refused> {
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let parameters = tool.parameters.as_ref().unwrap_or(&nothing);
    let attempt = || {
        let mut refused = None;
        for unsaid in [Unsaid::Bounded, Unsaid::Open] {
            let enforced = schema::enforced_object(parameters, unsaid)?;
            match compile(Source::Schema(enforced.clone())) {
                Ok(_) => return Ok(enforced),
                Err(error) => refused = Some(error),
            }
        }
        let refused = refused.unwrap_or_else(|| Refused::new("they cannot be compiled"));
        Err(schema::explain(parameters, refused, &|source| compile(source).err()))
    };
    attempt().map_err(|refused: Refused| refused.of_tool(&tool.name))
}

/// Text of a dialect as a sequence of the grammar: spellings of added tokens are those tokens.
fn sequence(text: &str, tokenizer: &Tokenizer) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut plain = Vec::new();
    let flush = |plain: &mut Vec<TokenId>, parts: &mut Vec<String>| {
        if !plain.is_empty() {
            let text = tokenizer.decode(plain, false);
            parts.push(Value::from(text).to_string());
            plain.clear();
        }
    };
    for token in tokenizer.encode(text, SpecialTokens::Recognise) {
        if is_added(tokenizer, token) {
            flush(&mut plain, &mut parts);
            parts.push(format!("<[{token}]>"));
        } else {
            plain.push(token);
        }
    }
    flush(&mut plain, &mut parts);
    parts.join(" ")
}
