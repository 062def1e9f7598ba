//! Just enough of Rust's grammar to tell code from comments, strings and tests.

/// `text` with the content of comments and literals replaced by blanks: every line stays where it
/// is, and what is left is code.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'\'' => char_end(bytes, at),
            b'r' if !continues_a_word(bytes, at) => raw_string_end(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut code[at..end.min(bytes.len())] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Blanking replaces whole literals and comments, which begin and end on ASCII.
    String::from_utf8_lossy(&code).into_owned()
}

/// `code` (of [`code_only`]) with every item under `#[cfg(test)]` or `#[cfg(all(test, …))]` blank.
pub fn without_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for marker in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (start, _) in code.match_indices(marker) {
            let end = item_end(code.as_bytes(), start + marker.len());
            for byte in &mut out[start..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Places where `word` stands alone in `text`, as (line from 1, byte offset).
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| is_word_byte(*byte));
    let bytes = text.as_bytes();
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let stands_alone = !is_word(before) && !is_word(bytes.get(at + word.len()));
        stands_alone.then(|| (line_of(text, at), at))
    })
}

/// Functions with a body in `code` (of [`code_only`]), as (line from 1, lines, name).
pub fn functions(code: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    words(code, "fn").filter_map(|(line, at)| {
        let name = identifier(code[at + 2..].trim_start());
        // The type of a function pointer has no name.
        let body = (!name.is_empty()).then(|| item_end(code.as_bytes(), at))?;
        Some((line, line_of(code, body - 1) - line + 1, name))
    })
}

/// The line of a byte offset, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The identifier at the start of `text`.
pub fn identifier(text: &str) -> &str {
    let end = text.bytes().position(|byte| !is_word_byte(byte)).unwrap_or(text.len());
    &text[..end]
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn continues_a_word(bytes: &[u8], at: usize) -> bool {
    // `br"…"` and `cr"…"` are raw strings too.
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at >= 2 && is_word_byte(bytes[at - 2]),
        Some(byte) => is_word_byte(byte),
        None => false,
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a character literal; `start` for a lifetime.
fn char_end(bytes: &[u8], start: usize) -> usize {
    if bytes.get(start + 1) == Some(&b'\\') {
        let rest = bytes.get(start + 3..).unwrap_or_default();
        return rest.iter().position(|b| *b == b'\'').map_or(start, |length| start + 4 + length);
    }
    // One character of one to four bytes, then a quote.
    let quote = (start + 2..start + 6).find(|at| bytes.get(*at) == Some(&b'\''));
    let is_one = |end: usize| {
        std::str::from_utf8(&bytes[start + 1..end]).is_ok_and(|text| text.chars().count() == 1)
    };
    quote.filter(|end| is_one(*end)).map_or(start, |end| end + 1)
}

/// The end of `r"…"` or `r#"…"#`; `start` for anything else.
fn raw_string_end(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start + 1..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        return start;
    }
    let body = start + 2 + hashes;
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    let found = bytes[body..].windows(closing.len()).position(|window| window == closing);
    found.map_or(bytes.len(), |length| body + length + closing.len())
}

/// The end of the item that goes on at `start`: its `;` or its closing brace.
fn item_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0;
    // A `;` also stands in the type of an array; an attribute's own bracket may close first.
    let mut brackets = 0;
    for (offset, byte) in bytes[start..].iter().enumerate() {
        match byte {
            b'[' => brackets += 1,
            b']' => brackets -= 1,
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth <= 0 {
                    return start + offset + 1;
                }
            }
            b';' if depth == 0 && brackets <= 0 => return start + offset + 1,
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, left: &str) {
        let code = code_only(text);
        assert_eq!(code.len(), text.len(), "{text}");
        let squeezed: Vec<_> = code.split_whitespace().collect();
        assert_eq!(squeezed.join(" "), left, "{text}");
    }

    #[test]
    fn comments_and_literals_go_and_code_stays() {
        check("a // b\nc /* d /* e */ f */ g", "a c g");
        check(r#"a("b \" c") d"#, "a( ) d");
        check(r##"a(r#"b " c"#, br"d\") e"##, "a( , b ) e");
        check("fn f<'a>(x: &'a str) -> char { 'x' }", "fn f<'a>(x: &'a str) -> char { }");
        check(r"['\'', '\\', '\u{41}', 'é', b'{'] x", "[ , , , , b ] x");
        check("for 'outer: r in var\"x\"", "for 'outer: r in var");
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let code = "fn a() {}\nconst fn b<const N: usize>(x: [u8; N]) -> [u8; 2] {\n  if x { }\n}\ntype C = fn(u8);\ntrait D {\n  fn e();\n}";
        let found: Vec<_> = functions(code).collect();
        assert_eq!(found, [(1, 1, "a"), (2, 3, "b"), (7, 1, "e")]);
    }

    #[test]
    fn tests_go() {
        let code = "a\n#[cfg(test)]\nmod t {\n b { }\n}\nc\n#[cfg(all(test, unix))]\nmod u;\nd";
        let left = without_tests(code);
        assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["a", "c", "d"]);
        assert_eq!(left.lines().count(), code.lines().count());
    }

    #[test]
    fn words_stand_alone() {
        let found: Vec<_> = words("unsafe_code\nunsafe {", "unsafe").collect();
        assert_eq!(found, [(2, 12)]);
        assert_eq!(identifier("abc::d"), "abc");
    }
}
