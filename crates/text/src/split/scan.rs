//! Reading a text by character class.

use crate::classes::{self, Classes, LETTER, LOWER, NUMBER, SPACE, UPPER};

/// Classes of ASCII, so that most text needs no decoding.
const ASCII: [u8; 128] = {
    let mut classes = [0; 128];
    let mut code = 0;
    while code < 128 {
        classes[code] = match code as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b' ' | 9..=13 => SPACE,
            _ => 0,
        };
        code += 1;
    }
    classes
};

/// A text with the table of classes. Positions are byte offsets of characters.
pub(super) struct Scan<'t> {
    text: &'t str,
    bytes: &'t [u8],
    classes: &'static Classes,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, bytes: text.as_bytes(), classes: classes::classes() }
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Class and width in bytes of the character at `at`; width 0 at the end.
    #[inline]
    pub(super) fn class(&self, at: usize) -> (u8, usize) {
        match self.bytes.get(at) {
            None => (0, 0),
            Some(&byte @ 0..128) => (ASCII[usize::from(byte)], 1),
            Some(_) => self.class_beyond_ascii(at),
        }
    }

    fn class_beyond_ascii(&self, at: usize) -> (u8, usize) {
        match self.text[at..].chars().next() {
            Some(character) => (self.classes.of(character), character.len_utf8()),
            None => (0, 0),
        }
    }

    /// End of the run of characters of the classes `mask` that starts at `at`.
    #[inline]
    pub(super) fn run(&self, mut at: usize, mask: u8) -> usize {
        loop {
            let (class, width) = self.class(at);
            if class & mask == 0 {
                return at;
            }
            at += width;
        }
    }

    /// End of the run of at most `count` characters of the classes `mask`.
    #[inline]
    pub(super) fn run_at_most(&self, mut at: usize, mask: u8, count: usize) -> usize {
        for _ in 0..count {
            let (class, width) = self.class(at);
            if class & mask == 0 {
                break;
            }
            at += width;
        }
        at
    }

    /// End of the run of `[^\s\p{L}\p{N}]` that starts at `at`.
    #[inline]
    pub(super) fn run_of_symbols(&self, mut at: usize) -> usize {
        loop {
            let (class, width) = self.class(at);
            if width == 0 || class & (SPACE | LETTER | NUMBER) != 0 {
                return at;
            }
            at += width;
        }
    }

    /// End of the run of the given ASCII bytes.
    #[inline]
    pub(super) fn run_of_bytes(&self, mut at: usize, wanted: &[u8]) -> usize {
        while self.byte(at).is_some_and(|byte| wanted.contains(&byte)) {
            at += 1;
        }
        at
    }
}
