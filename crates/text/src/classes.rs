//! Unicode classes of characters, as the patterns of pre-tokenisers name them.
//!
//! The classes come from the tables of the regex crates (`examples/unicode_classes.rs`), so
//! that the scanners agree with the patterns they stand for.

use std::sync::LazyLock;

/// `\p{Lu}` or `\p{Lt}`.
pub(crate) const UPPER: u8 = 1;
/// `\p{Ll}`.
pub(crate) const LOWER: u8 = 2;
/// `\p{Lm}` or `\p{Lo}`: letters without case.
pub(crate) const CASELESS: u8 = 4;
/// `\p{M}`.
pub(crate) const MARK: u8 = 8;
/// `\p{N}`.
pub(crate) const NUMBER: u8 = 16;
/// `\s`.
pub(crate) const SPACE: u8 = 32;
/// `\p{L}`.
pub(crate) const LETTER: u8 = UPPER | LOWER | CASELESS;

const PAGE: usize = 256;
const PAGES: usize = 0x11_0000 / PAGE;

/// A two-stage table: pages of 256 code points, equal pages stored once.
pub(crate) struct Classes {
    page_of: Vec<u16>,
    pages: Vec<[u8; PAGE]>,
}

static CLASSES: LazyLock<Classes> =
    LazyLock::new(|| Classes::from_runs(include_bytes!("../data/unicode-classes.bin")));

/// The table, built at first use.
pub(crate) fn classes() -> &'static Classes {
    &CLASSES
}

impl Classes {
    /// Class bits of a character; 0 for punctuation, symbols and everything else.
    #[inline]
    pub(crate) fn of(&self, character: char) -> u8 {
        let code = character as usize;
        self.pages[self.page_of[code / PAGE] as usize][code % PAGE]
    }

    fn from_runs(mut runs: &[u8]) -> Self {
        let mut pages: Vec<[u8; PAGE]> = Vec::new();
        let mut page_of = Vec::with_capacity(PAGES);
        let (mut left, mut class) = (0, 0);
        for _ in 0..PAGES {
            let mut page = [0; PAGE];
            for slot in &mut page {
                if left == 0 {
                    (left, class) = next_run(&mut runs);
                }
                *slot = class;
                left -= 1;
            }
            let known = pages.iter().rposition(|other| *other == page);
            page_of.push(known.unwrap_or(pages.len()) as u16);
            if known.is_none() {
                pages.push(page);
            }
        }
        Self { page_of, pages }
    }
}

fn next_run(runs: &mut &[u8]) -> (usize, u8) {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = runs[0];
        *runs = &runs[1..];
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            break;
        }
    }
    let class = runs[0];
    *runs = &runs[1..];
    (length, class)
}
