//! `pattern` of JSON Schema: expressions of ECMA-262, read by a parser of another dialect.
//!
//! Where the two dialects differ the expression is refused; where classes differ between those who
//! check the result (`\w`, `\s` and `.` are wider for some), text is made of what all of them
//! accept.

use regex_syntax::ast::{
    AssertionKind, Ast, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet, ClassSetItem, Flag,
    FlagsItemKind, Group, GroupKind, Repetition, RepetitionKind, RepetitionRange, Span,
    parse::ParserBuilder,
};

use crate::limits::PATTERN_BYTES_MAX;

/// How deep groups and classes nest.
const NESTING_MAX: u32 = 64;

/// The largest count of a repetition: each is a state.
const REPEATS_MAX: u32 = 10_000;

/// The pattern as the library is given it, or what is wrong with it.
pub(crate) fn enforced(pattern: &str) -> Result<String, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let bytes = pattern.len();
        return Err(format!("it has {bytes} bytes; the limit is {PATTERN_BYTES_MAX}"));
    }
    let mut parser = ParserBuilder::new().nest_limit(NESTING_MAX).build();
    let ast = parser
        .parse(pattern)
        .map_err(|error| format!("it is not an expression that is supported: {}", error.kind()))?;
    let mut translator = Translator { source: pattern, edits: Vec::new() };
    translator.expression(&ast)?;
    Ok(translator.edited())
}

struct Translator<'p> {
    source: &'p str,
    /// Parts of the source, in order, and what stands there instead.
    edits: Vec<(Span, &'static str)>,
}

impl Translator<'_> {
    fn edited(&self) -> String {
        let mut text = String::with_capacity(self.source.len());
        let mut done = 0;
        for (span, instead) in &self.edits {
            text.push_str(&self.source[done..span.start.offset]);
            text.push_str(instead);
            done = span.end.offset;
        }
        text + &self.source[done..]
    }

    fn expression(&mut self, ast: &Ast) -> Result<(), String> {
        match ast {
            Ast::Empty(_) | Ast::ClassUnicode(_) => Ok(()),
            Ast::Literal(literal) => writable(literal.c),
            Ast::Dot(span) => {
                self.edits.push((**span, "[^\\n\\r\\u{2028}\\u{2029}]"));
                Ok(())
            }
            Ast::ClassPerl(perl) => {
                self.edits.push((perl.span, perl_class(perl, false)));
                Ok(())
            }
            Ast::ClassBracketed(bracketed) => self.bracketed(bracketed),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine | AssertionKind::EndLine => Ok(()),
                _ => Err(self.unsupported(&assertion.span)),
            },
            Ast::Flags(flags) => Err(self.unsupported(&flags.span)),
            Ast::Repetition(repetition) => self.repetition(repetition),
            Ast::Group(group) => self.group(group),
            Ast::Alternation(alternation) => {
                alternation.asts.iter().try_for_each(|ast| self.expression(ast))
            }
            Ast::Concat(concat) => concat.asts.iter().try_for_each(|ast| self.expression(ast)),
        }
    }

    fn repetition(&mut self, repetition: &Repetition) -> Result<(), String> {
        let written = &self.source[repetition.op.span.start.offset..repetition.op.span.end.offset];
        // Text for ECMA-262.
        if written.contains("{,") || written.contains(' ') {
            return Err(self.unsupported(&repetition.span));
        }
        let count = match repetition.op.kind {
            RepetitionKind::Range(RepetitionRange::Exactly(count)) => count,
            RepetitionKind::Range(RepetitionRange::AtLeast(count)) => count,
            RepetitionKind::Range(RepetitionRange::Bounded(_, count)) => count,
            _ => 0,
        };
        if count > REPEATS_MAX {
            return Err(format!("it repeats something {count} times; the limit is {REPEATS_MAX}"));
        }
        self.expression(&repetition.ast)
    }

    fn group(&mut self, group: &Group) -> Result<(), String> {
        match &group.kind {
            GroupKind::CaptureIndex(_) => {}
            // The library gives names of groups a meaning of its own.
            GroupKind::CaptureName { name, .. } => {
                let mut span = group.span;
                span.end = name.span.end;
                span.end.offset += ">".len();
                self.edits.push((span, "(?:"));
            }
            GroupKind::NonCapturing(flags) => {
                let known = |kind: &FlagsItemKind| {
                    matches!(kind, FlagsItemKind::Flag(Flag::CaseInsensitive))
                };
                if !flags.items.iter().all(|item| known(&item.kind)) {
                    return Err(self.unsupported(&flags.span));
                }
            }
        }
        self.expression(&group.ast)
    }

    fn bracketed(&mut self, bracketed: &ClassBracketed) -> Result<(), String> {
        match &bracketed.kind {
            ClassSet::Item(item) => self.item(item, bracketed.negated),
            // Text for ECMA-262: `--`, `&&` and `~~` are operators of the other dialect.
            ClassSet::BinaryOp(operation) => Err(self.unsupported(&operation.span)),
        }
    }

    fn item(&mut self, item: &ClassSetItem, negated: bool) -> Result<(), String> {
        match item {
            ClassSetItem::Empty(_)
            | ClassSetItem::Range(_)
            | ClassSetItem::Unicode(_)
            | ClassSetItem::Literal(_) => Ok(()),
            ClassSetItem::Perl(perl) => {
                self.edits.push((perl.span, perl_class(perl, negated)));
                Ok(())
            }
            ClassSetItem::Union(union) => {
                union.items.iter().try_for_each(|item| self.item(item, negated))
            }
            // Text for ECMA-262: `[` is not special inside a class.
            ClassSetItem::Ascii(_) | ClassSetItem::Bracketed(_) => {
                Err(self.unsupported(item.span()))
            }
        }
    }

    fn unsupported(&self, span: &Span) -> String {
        let written = self.source.get(span.start.offset..span.end.offset).unwrap_or_default();
        format!("{written:?} is not supported")
    }
}

/// Control characters have no spelling in the text that is generated.
fn writable(character: char) -> Result<(), String> {
    let spelt = matches!(character, '\n' | '\r' | '\t' | '\u{8}' | '\u{c}');
    if character.is_ascii_control() && !spelt {
        return Err(format!("it demands the control character {character:?}"));
    }
    Ok(())
}

/// What `\d`, `\s` or `\w` stands for: where it adds to the text that is made (`taken` is false),
/// what everyone counts to the class; where it takes away, what anyone does.
fn perl_class(perl: &ClassPerl, taken: bool) -> &'static str {
    match (&perl.kind, perl.negated, taken) {
        (ClassPerlKind::Digit, false, false) => "[0-9]",
        (ClassPerlKind::Digit, false, true) => "[\\p{Nd}]",
        (ClassPerlKind::Digit, true, false) => "[^\\p{Nd}]",
        (ClassPerlKind::Digit, true, true) => "[^0-9]",
        (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
        (ClassPerlKind::Word, false, true) => "[\\p{L}\\p{M}\\p{N}\\p{Pc}]",
        (ClassPerlKind::Word, true, false) => "[^\\p{L}\\p{M}\\p{N}\\p{Pc}]",
        (ClassPerlKind::Word, true, true) => "[^0-9A-Za-z_]",
        (ClassPerlKind::Space, false, false) => "[\\t\\n\\x0B\\x0C\\r ]",
        (ClassPerlKind::Space, false, true) => {
            "[\\x09-\\x0D\\x1C-\\x20\\u{85}\\p{Z}\\u{180E}\\u{FEFF}]"
        }
        (ClassPerlKind::Space, true, false) => {
            "[^\\x09-\\x0D\\x1C-\\x20\\u{85}\\p{Z}\\u{180E}\\u{FEFF}]"
        }
        (ClassPerlKind::Space, true, true) => "[^\\t\\n\\x0B\\x0C\\r ]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_translated() {
        for (pattern, expected) in [
            ("^abc$", "^abc$"),
            ("a+?b*?", "a+?b*?"),
            ("(?<stop>x)(y)", "(?:x)(y)"),
            (r"\d{2,3}", "[0-9]{2,3}"),
            (r"[^\d]", r"[^[\p{Nd}]]"),
            (r"[\w.]", r"[[0-9A-Za-z_].]"),
            ("(?i:ab)|c", "(?i:ab)|c"),
            (r"\/\-\u0041.", "\\/\\-\\u0041[^\\n\\r\\u{2028}\\u{2029}]"),
        ] {
            assert_eq!(enforced(pattern).as_deref(), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn differences_of_the_dialects_are_refused() {
        for pattern in [
            r"\bword",
            r"(?=a)b",
            r"(?!a)b",
            r"(a)\1",
            "[[:alpha:]]",
            "[a[b]]",
            "[a&&b]",
            "[a--b]",
            "(?m)^a",
            "(?x) a",
            "(?s:.)",
            "(?U)a",
            r"\Aa\z",
            "a{,3}",
            "(",
            "a{2,1}",
            "a{10001}",
            "[z-a]",
            r"\x01",
        ] {
            assert!(enforced(pattern).is_err(), "{pattern}");
        }
        assert!(enforced(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
        assert!(enforced(&format!("{}a{}", "(".repeat(200), ")".repeat(200))).is_err());
    }
}
