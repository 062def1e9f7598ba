//! JSON as models write it, read character by character.
//!
//! Taken beyond JSON: what Python prints (single quotes, `True`, `None`, tuples), keys without
//! quotes, commas too many, a comma forgotten before a key. What comes out is written again as
//! strict JSON without spaces.

/// Levels of nesting that are followed; a model that goes deeper is lost.
const DEPTH_MAX: usize = 128;

/// What was read cannot be JSON, however kindly one looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An object or an array begins.
    Open(Bracket),
    /// The innermost of them ends.
    Close,
    /// The key of the value that follows.
    Key(String),
    /// A string begins.
    StringBegin,
    /// It goes on.
    Char(char),
    /// It ends.
    StringEnd,
    /// A number, a boolean or null, as JSON writes it.
    Scalar(String),
}

/// What holds values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `{}`
    Object,
    /// `[]`, or a tuple.
    Array,
}

/// Reads one value.
#[derive(Debug)]
pub(super) struct Scanner {
    stack: Vec<Bracket>,
    expect: Expect,
    within: Within,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    KeyOrEnd,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    Nothing,
}

/// What the last character was part of.
#[derive(Debug)]
enum Within {
    Nothing,
    Key(Quoted, String),
    String(Quoted),
    /// A number, a literal or a key without quotes.
    Word(String),
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self { stack: Vec::new(), expect: Expect::Value, within: Within::Nothing }
    }

    /// Objects and arrays that are open.
    pub(super) fn depth(&self) -> usize {
        self.stack.len()
    }

    /// Whether closing all that is open would complete the value.
    pub(super) fn is_closable(&self) -> bool {
        matches!(self.within, Within::Nothing)
            && matches!(self.expect, Expect::KeyOrEnd | Expect::ValueOrEnd | Expect::CommaOrEnd)
    }

    /// Reads a character; what it completes is added to `tokens`. After an error nothing is to be
    /// read any more.
    pub(super) fn push(&mut self, c: char, tokens: &mut Vec<Token>) -> Result<(), Malformed> {
        match &mut self.within {
            Within::Nothing => self.between(c, tokens),
            Within::Key(quoted, key) => {
                if quoted.push(c, |c| key.push(c))? {
                    tokens.push(Token::Key(std::mem::take(key)));
                    self.within = Within::Nothing;
                    self.expect = Expect::Colon;
                }
                Ok(())
            }
            Within::String(quoted) => {
                if quoted.push(c, |c| tokens.push(Token::Char(c)))? {
                    tokens.push(Token::StringEnd);
                    self.value_ended();
                }
                Ok(())
            }
            Within::Word(word) if is_word(c) => {
                word.push(c);
                Ok(())
            }
            Within::Word(_) => {
                self.end_word(tokens)?;
                self.between(c, tokens)
            }
        }
    }

    /// The input ends: completes a number or a literal that nothing follows.
    pub(super) fn end_word(&mut self, tokens: &mut Vec<Token>) -> Result<(), Malformed> {
        let Within::Word(word) = &mut self.within else { return Ok(()) };
        let word = std::mem::take(word);
        if self.expect == Expect::KeyOrEnd {
            tokens.push(Token::Key(word));
            self.expect = Expect::Colon;
        } else {
            tokens.push(Token::Scalar(scalar(&word)?));
            self.value_ended();
        }
        self.within = Within::Nothing;
        Ok(())
    }

    fn between(&mut self, c: char, tokens: &mut Vec<Token>) -> Result<(), Malformed> {
        if c.is_whitespace() {
            return Ok(());
        }
        let object = self.stack.last() == Some(&Bracket::Object);
        match (self.expect, c) {
            (Expect::KeyOrEnd | Expect::CommaOrEnd, '}') if object => self.close(tokens),
            (Expect::ValueOrEnd | Expect::CommaOrEnd, ']' | ')') if !object => self.close(tokens),
            (Expect::CommaOrEnd, ',') => {
                self.expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
            }
            (Expect::KeyOrEnd, '"' | '\'') => {
                self.within = Within::Key(Quoted::new(c), String::new());
            }
            // A forgotten comma.
            (Expect::CommaOrEnd, '"' | '\'') if object => {
                self.within = Within::Key(Quoted::new(c), String::new());
            }
            (Expect::Colon, ':') => self.expect = Expect::Value,
            (Expect::Value | Expect::ValueOrEnd, '"' | '\'') => {
                tokens.push(Token::StringBegin);
                self.within = Within::String(Quoted::new(c));
            }
            (Expect::Value | Expect::ValueOrEnd, '{') => self.open(Bracket::Object, tokens)?,
            (Expect::Value | Expect::ValueOrEnd, '[' | '(') => self.open(Bracket::Array, tokens)?,
            (Expect::KeyOrEnd | Expect::Value | Expect::ValueOrEnd, _) if is_word(c) => {
                self.within = Within::Word(c.into());
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    fn open(&mut self, bracket: Bracket, tokens: &mut Vec<Token>) -> Result<(), Malformed> {
        if self.stack.len() == DEPTH_MAX {
            return Err(Malformed);
        }
        self.stack.push(bracket);
        self.expect = match bracket {
            Bracket::Object => Expect::KeyOrEnd,
            Bracket::Array => Expect::ValueOrEnd,
        };
        tokens.push(Token::Open(bracket));
        Ok(())
    }

    fn close(&mut self, tokens: &mut Vec<Token>) {
        self.stack.pop();
        tokens.push(Token::Close);
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.within = Within::Nothing;
        self.expect = if self.stack.is_empty() { Expect::Nothing } else { Expect::CommaOrEnd };
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '+' | '-' | '.')
}

/// What a word without quotes is in JSON.
fn scalar(word: &str) -> Result<String, Malformed> {
    let literal = match word {
        "true" | "True" => "true",
        "false" | "False" => "false",
        "null" | "None" => "null",
        number if serde_json::from_str::<serde_json::Number>(number).is_ok() => number,
        // `.5`, `1.` and `+1`.
        number => {
            let value: f64 = number.parse().map_err(|_| Malformed)?;
            let value = serde_json::Number::from_f64(value).ok_or(Malformed)?;
            return Ok(value.to_string());
        }
    };
    Ok(literal.to_owned())
}

/// Reads the characters of a string up to its closing quote.
#[derive(Debug)]
struct Quoted {
    quote: char,
    escape: Escape,
    /// First half of a pair of UTF-16, whose second half must follow.
    high: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Escape {
    None,
    Begun,
    /// Digits to come, and the value of those that came.
    Hex(u32, u32),
}

impl Quoted {
    fn new(quote: char) -> Self {
        Self { quote, escape: Escape::None, high: None }
    }

    /// True at the closing quote.
    fn push(&mut self, c: char, mut give: impl FnMut(char)) -> Result<bool, Malformed> {
        match self.escape {
            Escape::Begun => {
                self.escape = Escape::None;
                let hex_digits = match c {
                    'x' => 2,
                    'u' => 4,
                    'U' => 8,
                    _ => 0,
                };
                if hex_digits > 0 {
                    self.escape = Escape::Hex(hex_digits, 0);
                } else {
                    self.give_lone_half(&mut give);
                    unescape(c, give);
                }
            }
            Escape::Hex(left, value) => {
                let value = value << 4 | c.to_digit(16).ok_or(Malformed)?;
                self.escape = Escape::Hex(left - 1, value);
                if left == 1 {
                    self.escape = Escape::None;
                    self.give_code(value, give);
                }
            }
            Escape::None if c == '\\' => self.escape = Escape::Begun,
            Escape::None => {
                self.give_lone_half(&mut give);
                if c == self.quote {
                    return Ok(true);
                }
                give(c);
            }
        }
        Ok(false)
    }

    fn give_code(&mut self, code: u32, mut give: impl FnMut(char)) {
        if let (Some(high), 0xDC00..=0xDFFF) = (self.high, code) {
            self.high = None;
            let code = 0x10000 + ((high - 0xD800) << 10) + (code - 0xDC00);
            give(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return;
        }
        self.give_lone_half(&mut give);
        match code {
            0xD800..=0xDBFF => self.high = Some(code),
            _ => give(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn give_lone_half(&mut self, mut give: impl FnMut(char)) {
        if self.high.take().is_some() {
            give(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// What `\c` stands for.
fn unescape(c: char, mut give: impl FnMut(char)) {
    match c {
        'n' => give('\n'),
        't' => give('\t'),
        'r' => give('\r'),
        'b' => give('\u{8}'),
        'f' => give('\u{c}'),
        '"' | '\'' | '\\' | '/' => give(c),
        // As Python has it.
        '\n' => {}
        other => {
            give('\\');
            give(other);
        }
    }
}

/// Writes strict JSON.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// What is open, and whether it has an entry already.
    stack: Vec<(Bracket, bool)>,
    after_key: bool,
}

impl Writer {
    pub(super) fn write(&mut self, token: &Token, text: &mut String) {
        match token {
            Token::Key(key) => {
                self.separate(text);
                text.push('"');
                key.chars().for_each(|c| escape(c, text));
                text.push_str("\":");
                self.after_key = true;
            }
            Token::Open(bracket) => {
                self.begin_value(text);
                self.stack.push((*bracket, false));
                text.push(match bracket {
                    Bracket::Object => '{',
                    Bracket::Array => '[',
                });
            }
            Token::Close => self.close(text),
            Token::StringBegin => {
                self.begin_value(text);
                text.push('"');
            }
            Token::Char(c) => escape(*c, text),
            Token::StringEnd => text.push('"'),
            Token::Scalar(scalar) => {
                self.begin_value(text);
                text.push_str(scalar);
            }
        }
    }

    /// Closes all that is open.
    pub(super) fn close_all(&mut self, text: &mut String) {
        while !self.stack.is_empty() {
            self.close(text);
        }
    }

    fn close(&mut self, text: &mut String) {
        match self.stack.pop() {
            Some((Bracket::Object, _)) => text.push('}'),
            Some((Bracket::Array, _)) => text.push(']'),
            None => {}
        }
    }

    fn begin_value(&mut self, text: &mut String) {
        if !std::mem::take(&mut self.after_key) {
            self.separate(text);
        }
    }

    fn separate(&mut self, text: &mut String) {
        if let Some((_, used)) = self.stack.last_mut()
            && std::mem::replace(used, true)
        {
            text.push(',');
        }
    }
}

fn escape(c: char, text: &mut String) {
    match c {
        '"' => text.push_str("\\\""),
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        control if control < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(control))),
        other => text.push(other),
    }
}

/// The object that `text` is, in strict JSON.
pub(super) fn object(text: &str) -> Option<String> {
    let mut scanner = Scanner::new();
    let mut writer = Writer::default();
    let mut tokens = Vec::new();
    let mut written = String::new();
    for c in text.trim().chars() {
        scanner.push(c, &mut tokens).ok()?;
        tokens.drain(..).for_each(|token| writer.write(&token, &mut written));
    }
    (scanner.depth() == 0 && written.starts_with('{')).then_some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_write_becomes_json() {
        let cases = [
            (r#"{}"#, r#"{}"#),
            (r#" { "a" : [ 1 , 2.50, -3e4 ] } "#, r#"{"a":[1,2.50,-3e4]}"#),
            ("{'a': True, 'b': None, 'c': False}", r#"{"a":true,"b":null,"c":false}"#),
            ("{'a': (1, 'x'),}", r#"{"a":[1,"x"]}"#),
            (r#"{"a": 1 "b": [[], {}, ], }"#, r#"{"a":1,"b":[[],{}]}"#),
            ("{a: .5, b_2: +1, c: 1.}", r#"{"a":0.5,"b_2":1.0,"c":1.0}"#),
            (r#"{"q": "it's \"so\""}"#, r#"{"q":"it's \"so\""}"#),
            (r#"{'q': 'it\'s "so"'}"#, r#"{"q":"it's \"so\""}"#),
            (r#"{"u": "\u00e9\ud83e\udd80\x41\U0001f980"}"#, r#"{"u":"é🦀A🦀"}"#),
            (r#"{"u": "\ud83e!\udd80\ud83e"}"#, "{\"u\":\"\u{fffd}!\u{fffd}\u{fffd}\"}"),
            (r#"{"p": "C:\dir\\n\/"}"#, r#"{"p":"C:\\dir\\n/"}"#),
            ("{\"l\": \"a\nb\t\u{1}\"}", r#"{"l":"a\nb\t\u0001"}"#),
            (r#"{"n": 123456789012345678901234567890}"#, r#"{"n":123456789012345678901234567890}"#),
        ];
        for (text, expected) in cases {
            assert_eq!(object(text).as_deref(), Some(expected), "{text}");
            serde_json::from_str::<serde_json::Value>(expected).expect("strict JSON");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{]",
            "{\"a\"}",
            "{\"a\" 1}",
            "{\"a\": b}",
            "{\"a\": nan}",
            "{\"a\": 1 2}",
            "{\"a\": \"\\ux\"}",
            "{\"a\": 1}}",
            "{,}",
            "{\"a\": \"b\"",
        ] {
            assert_eq!(object(text), None, "{text}");
        }
        let deep = "{\"a\":".repeat(DEPTH_MAX + 1);
        assert_eq!(object(&deep), None);
    }
}
