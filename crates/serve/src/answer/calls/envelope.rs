//! One object that may be a call, read character by character.
//!
//! `{"name": …, "arguments": {…}}`, its keys in any order; `parameters` instead of `arguments`;
//! arguments as a string that holds JSON; all of it within `"function"`, as the API writes calls.

use serde_json::Value;

use super::Callable;
use super::lenient::{self, Bracket, Malformed, Scanner, Token, Writer};

/// What becomes known of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// It is one, of this function.
    Begin(String),
    /// Its arguments go on.
    Arguments(String),
}

/// What a character, or the end of the text, led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The object goes on.
    More,
    /// The object has ended, and was a call.
    Complete,
    /// The call ended before this character, although its object is not closed.
    CompleteBefore,
    /// It is no call.
    Refuted,
    /// It is a call whose rest makes no sense.
    Broken,
}

/// What an object must be to count as a call.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// What may be called.
    pub callable: &'a [Callable],
    /// Whether the model said by a marker that it calls: then other keys may stand beside the
    /// known ones, and arguments may be missing.
    pub marked: bool,
}

#[derive(Debug)]
pub(super) struct Envelope {
    scanner: Scanner,
    tokens: Vec<Token>,
    depth: usize,
    /// Depth at which the keys of the call are: 1, or 2 within `function`.
    level: usize,
    field: Field,
    /// A string at that level, as far as it has come.
    string: Option<String>,
    name: Option<String>,
    arguments: Arguments,
    /// Whether they are called `parameters`, as in the description of a function.
    parameters: bool,
    /// Whether a description was among the keys.
    described: bool,
    begun: bool,
}

/// What the value that comes next is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Function,
    Other,
}

#[derive(Debug)]
enum Arguments {
    Missing,
    /// An object at this depth is being read; the text is what was not given yet.
    Open {
        depth: usize,
        writer: Writer,
        text: String,
    },
    /// All there, not given yet.
    Held(String),
    Given,
}

impl Envelope {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            tokens: Vec::new(),
            depth: 0,
            level: 1,
            field: Field::Other,
            string: None,
            name: None,
            arguments: Arguments::Missing,
            parameters: false,
            described: false,
            begun: false,
        }
    }

    /// Brackets that are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Whether it is known to be a call.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Reads a character, the first of which is `{`.
    pub(super) fn push(&mut self, c: char, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> Step {
        let mut tokens = std::mem::take(&mut self.tokens);
        let read = self.scanner.push(c, &mut tokens);
        let step = self.take_all(&mut tokens, rules, pieces);
        self.tokens = tokens;
        match (step, read) {
            (Step::More, Err(Malformed)) => {
                let closes = matches!(c, ']' | ')' | '}' | '<');
                self.end_early(closes, rules, pieces)
            }
            (step, _) => step,
        }
    }

    /// The text ends, or a marker says that the call does.
    pub(super) fn finish(&mut self, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> Step {
        let mut tokens = std::mem::take(&mut self.tokens);
        let read = self.scanner.end_word(&mut tokens);
        match self.take_all(&mut tokens, rules, pieces) {
            Step::More => self.end_early(read.is_ok(), rules, pieces),
            step => step,
        }
    }

    /// Nothing more can be read. With `closes`, brackets that are open may be taken as closed.
    fn end_early(&mut self, closes: bool, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> Step {
        if closes
            && self.scanner.is_closable()
            && let Arguments::Open { writer, text, .. } = &mut self.arguments
        {
            writer.close_all(text);
            self.arguments_ended(pieces);
        }
        let all_there = matches!(self.arguments, Arguments::Held(_) | Arguments::Given);
        match () {
            () if all_there && self.complete(rules, pieces) => Step::CompleteBefore,
            () if self.begun => Step::Broken,
            () => Step::Refuted,
        }
    }

    fn take_all(
        &mut self,
        tokens: &mut Vec<Token>,
        rules: Rules<'_>,
        pieces: &mut Vec<Piece>,
    ) -> Step {
        for token in tokens.drain(..) {
            let step = self.take(&token, rules, pieces);
            if step != Step::More {
                return step;
            }
        }
        if self.begun
            && let Arguments::Open { text, .. } = &mut self.arguments
            && !text.is_empty()
        {
            pieces.push(Piece::Arguments(std::mem::take(text)));
        }
        Step::More
    }

    fn take(&mut self, token: &Token, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> Step {
        let depth = self.depth;
        match token {
            Token::Open(_) => self.depth += 1,
            Token::Close => self.depth -= 1,
            _ => {}
        }
        if let Arguments::Open { depth: opened, writer, text } = &mut self.arguments {
            writer.write(token, text);
            if self.depth < *opened {
                self.arguments_ended(pieces);
            }
            return Step::More;
        }
        let accepted = match token {
            Token::Close if self.depth == 0 => {
                return match self.complete(rules, pieces) {
                    true => Step::Complete,
                    false => Step::Refuted,
                };
            }
            Token::Close => {
                self.level = self.level.min(self.depth);
                true
            }
            Token::Open(bracket) => {
                depth == 0 || depth != self.level || self.open(*bracket, pieces)
            }
            Token::Key(key) => depth != self.level || self.key(key, rules),
            Token::Scalar(scalar) => depth != self.level || self.scalar(scalar),
            Token::StringBegin => {
                self.string = (depth == self.level).then(String::new);
                true
            }
            Token::Char(c) => {
                self.string.iter_mut().for_each(|string| string.push(*c));
                true
            }
            Token::StringEnd => match self.string.take() {
                Some(string) => self.string(string, rules, pieces),
                None => true,
            },
        };
        // Once it is known to be a call, nothing more is asked of it.
        if accepted || self.begun { Step::More } else { Step::Refuted }
    }

    fn key(&mut self, key: &str, rules: Rules<'_>) -> bool {
        self.field = match key {
            "name" => Field::Name,
            "arguments" | "parameters" => {
                self.parameters = key == "parameters";
                Field::Arguments
            }
            "function" => Field::Function,
            "description" => {
                self.described = true;
                Field::Other
            }
            "type" | "id" | "strict" => Field::Other,
            _ if rules.marked => Field::Other,
            _ => return false,
        };
        true
    }

    fn open(&mut self, bracket: Bracket, pieces: &mut Vec<Piece>) -> bool {
        match (self.field, bracket) {
            (Field::Arguments, Bracket::Object) => {
                if !matches!(self.arguments, Arguments::Missing) {
                    return true;
                }
                let mut writer = Writer::default();
                let mut text = String::new();
                writer.write(&Token::Open(bracket), &mut text);
                self.arguments = Arguments::Open { depth: self.depth, writer, text };
                self.begin_early(pieces);
                true
            }
            (Field::Function, Bracket::Object) if self.level == 1 => {
                self.level = 2;
                true
            }
            (Field::Other, _) => true,
            _ => false,
        }
    }

    fn scalar(&mut self, scalar: &str) -> bool {
        match self.field {
            Field::Other => true,
            Field::Arguments if scalar == "null" => {
                self.hold_arguments("{}".to_owned());
                true
            }
            _ => false,
        }
    }

    fn string(&mut self, string: String, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> bool {
        match self.field {
            Field::Other => true,
            Field::Arguments if string.trim().is_empty() => {
                self.hold_arguments("{}".to_owned());
                true
            }
            Field::Arguments => match lenient::object(&string) {
                Some(object) => {
                    self.hold_arguments(object);
                    true
                }
                None => false,
            },
            Field::Name | Field::Function => {
                let known = rules.callable.iter().any(|callable| callable.name == string);
                if known && self.name.is_none() {
                    self.name = Some(string);
                    self.begin_early(pieces);
                }
                known
            }
        }
    }

    fn hold_arguments(&mut self, object: String) {
        if matches!(self.arguments, Arguments::Missing) {
            self.arguments = Arguments::Held(object);
        }
    }

    fn arguments_ended(&mut self, pieces: &mut Vec<Piece>) {
        let Arguments::Open { text, .. } = &mut self.arguments else { return };
        let text = std::mem::take(text);
        self.arguments = if self.begun {
            pieces.push(Piece::Arguments(text));
            Arguments::Given
        } else {
            Arguments::Held(text)
        };
    }

    /// Begins the call as soon as nothing that may follow can make it none.
    fn begin_early(&mut self, pieces: &mut Vec<Piece>) {
        let has_arguments = matches!(self.arguments, Arguments::Open { .. });
        if let Some(name) = &self.name
            && has_arguments
            && !self.parameters
            && !self.begun
        {
            self.begun = true;
            pieces.push(Piece::Begin(name.clone()));
        }
    }

    /// The object is at its end; whether it was a call.
    fn complete(&mut self, rules: Rules<'_>, pieces: &mut Vec<Piece>) -> bool {
        if self.begun {
            return matches!(self.arguments, Arguments::Given) || self.give_held(pieces);
        }
        let Some(name) = &self.name else { return false };
        let Some(callable) = rules.callable.iter().find(|callable| callable.name == *name) else {
            return false;
        };
        match &self.arguments {
            Arguments::Missing if rules.marked && !self.described => {
                self.arguments = Arguments::Held("{}".to_owned());
            }
            Arguments::Held(text) if self.parameters => {
                if self.described || is_schema(text, callable) {
                    return false;
                }
            }
            Arguments::Held(_) => {}
            _ => return false,
        }
        self.begun = true;
        pieces.push(Piece::Begin(name.clone()));
        self.give_held(pieces)
    }

    fn give_held(&mut self, pieces: &mut Vec<Piece>) -> bool {
        let Arguments::Held(text) = &mut self.arguments else { return false };
        pieces.push(Piece::Arguments(std::mem::take(text)));
        self.arguments = Arguments::Given;
        true
    }
}

/// Whether a model repeats the description of a function instead of calling it.
fn is_schema(arguments: &str, callable: &Callable) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(arguments) else { return false };
    let declared = callable.parameters.as_ref();
    let properties = declared.and_then(|schema| schema.get("properties"));
    let is_argument = properties.is_some_and(|names| names.get("properties").is_some());
    declared == Some(&value) && value.as_object().is_some_and(|object| !object.is_empty())
        || value.get("properties").is_some_and(Value::is_object) && !is_argument
}
