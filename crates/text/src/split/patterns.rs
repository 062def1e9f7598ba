//! The scanners. Each takes the start of a match and gives its end; a match is never empty.

use super::scan::Scan;
use crate::classes::{CASELESS, LETTER, LOWER, MARK, NUMBER, SPACE, UPPER};

/// What `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` takes.
const WORD_HEAD: u8 = UPPER | CASELESS | MARK;
/// What `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` takes.
const WORD_TAIL: u8 = LOWER | CASELESS | MARK;

/// One numeric character, or all up to the next one.
pub(super) fn digit(scan: &Scan<'_>, start: usize) -> usize {
    let (class, width) = scan.class(start);
    let mut end = start + width;
    if class & NUMBER != 0 {
        return end;
    }
    loop {
        let (class, width) = scan.class(end);
        if width == 0 || class & NUMBER != 0 {
            return end;
        }
        end += width;
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
pub(super) fn gpt2(scan: &Scan<'_>, start: usize) -> usize {
    let contraction = after_contraction(scan, start, false);
    if contraction > start {
        return contraction;
    }
    let body = start + usize::from(scan.byte(start) == Some(b' '));
    let (class, width) = scan.class(body);
    if width == 0 || class & SPACE != 0 {
        return spaces(scan, start);
    }
    if class & LETTER != 0 {
        scan.run(body, LETTER)
    } else if class & NUMBER != 0 {
        scan.run(body, NUMBER)
    } else {
        scan.run_of_symbols(body)
    }
}

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
/// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
pub(super) fn llama3(scan: &Scan<'_>, start: usize) -> usize {
    caseless_words(scan, start, 3)
}

/// As [`llama3`] with `\p{N}` for `\p{N}{1,3}`.
pub(super) fn qwen2(scan: &Scan<'_>, start: usize) -> usize {
    caseless_words(scan, start, 1)
}

#[inline]
fn caseless_words(scan: &Scan<'_>, start: usize, digits_max: usize) -> usize {
    let contraction = after_contraction(scan, start, true);
    if contraction > start {
        return contraction;
    }
    let (class, width) = scan.class(start);
    if class & NUMBER != 0 {
        return scan.run_at_most(start, NUMBER, digits_max);
    }
    let opens_word = class & LETTER != 0 || !is_newline(scan, start);
    if opens_word {
        let end = scan.run(start + width, LETTER);
        if class & LETTER != 0 || end > start + width {
            return end;
        }
    }
    symbols(scan, start, b"\r\n").unwrap_or_else(|| lines_or_spaces(scan, start))
}

/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|…)?|`
/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|…)?|`
/// `\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
pub(super) fn o200k(scan: &Scan<'_>, start: usize) -> usize {
    let (class, width) = scan.class(start);
    if class & NUMBER != 0 {
        return scan.run_at_most(start, NUMBER, 3);
    }
    let word = if class & LETTER != 0 {
        word_with_tail(scan, start).or_else(|| word_of_heads(scan, start))
    } else if is_newline(scan, start) {
        None
    } else {
        // A mark is tried first as the character before a word, then as part of the word;
        // in the second form it always matches, so the second pattern is not reached.
        let alone = if class & MARK != 0 { word_with_tail } else { word_of_heads };
        let alone_start = if class & MARK != 0 { start } else { start + width };
        word_with_tail(scan, start + width).or_else(|| alone(scan, alone_start))
    };
    if let Some(end) = word {
        return after_contraction(scan, end, true);
    }
    symbols(scan, start, b"\r\n/").unwrap_or_else(|| lines_or_spaces(scan, start))
}

/// `[heads]*[tails]+` at `start`.
#[inline]
fn word_with_tail(scan: &Scan<'_>, start: usize) -> Option<usize> {
    let mut end = start;
    // The heads take all they can. If no tail follows, they give characters back until one
    // of those given back is also a tail: the last caseless letter or mark.
    let mut last_tail = None;
    loop {
        let (class, width) = scan.class(end);
        if class & WORD_HEAD == 0 {
            return if class & LOWER != 0 { Some(scan.run(end, WORD_TAIL)) } else { last_tail };
        }
        end += width;
        if class & WORD_TAIL != 0 {
            last_tail = Some(end);
        }
    }
}

/// `[heads]+[tails]*` at `start`, where `word_with_tail` has failed: no tail can follow.
#[inline]
fn word_of_heads(scan: &Scan<'_>, start: usize) -> Option<usize> {
    let end = scan.run(start, WORD_HEAD);
    (end > start).then_some(end)
}

/// End of `'s|'t|'re|'ve|'m|'ll|'d` at `at`, or `at`.
#[inline]
fn after_contraction(scan: &Scan<'_>, at: usize, any_case: bool) -> usize {
    if scan.byte(at) != Some(b'\'') {
        return at;
    }
    let letter = |position| {
        let byte: Option<u8> = scan.byte(position);
        if any_case { byte.map(|byte| byte.to_ascii_lowercase()) } else { byte }
    };
    match (letter(at + 1), letter(at + 2)) {
        (Some(b's' | b't' | b'm' | b'd'), _) => at + 2,
        (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => at + 3,
        // U+017F, the long s, is an s when case does not matter.
        (Some(0xC5), Some(0xBF)) if any_case => at + 3,
        _ => at,
    }
}

/// ` ?[^\s\p{L}\p{N}]+` and then any of `tail`.
#[inline]
fn symbols(scan: &Scan<'_>, start: usize, tail: &[u8]) -> Option<usize> {
    let body = start + usize::from(scan.byte(start) == Some(b' '));
    let end = scan.run_of_symbols(body);
    (end > body).then(|| scan.run_of_bytes(end, tail))
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`
#[inline]
fn lines_or_spaces(scan: &Scan<'_>, start: usize) -> usize {
    let mut end = start;
    let mut lines_end = start;
    loop {
        let (class, width) = scan.class(end);
        if class & SPACE == 0 {
            break;
        }
        let newline = is_newline(scan, end);
        end += width;
        if newline {
            lines_end = end;
        }
    }
    if lines_end > start { lines_end } else { spaces(scan, start) }
}

/// `\s+(?!\S)|\s+`: a run before something else leaves its last character to that.
#[inline]
fn spaces(scan: &Scan<'_>, start: usize) -> usize {
    let (mut end, mut last) = (start, start);
    loop {
        let (class, width) = scan.class(end);
        if class & SPACE == 0 {
            break;
        }
        last = end;
        end += width;
    }
    if end == scan.length() || last == start { end } else { last }
}

fn is_newline(scan: &Scan<'_>, at: usize) -> bool {
    matches!(scan.byte(at), Some(b'\r' | b'\n'))
}
