//! Text of an answer in step with the tokens that it comes from.

use std::collections::VecDeque;

/// The engine reports a token at once and holds its text back while that may be the beginning of
/// a stop string or of a character. This finds out where in the text each token begins.
#[derive(Debug)]
pub(super) struct Alignment<T> {
    /// With the index in `bytes` at which the token begins.
    waiting: VecDeque<(usize, T)>,
    /// Bytes of tokens whose text has not come.
    bytes: Vec<u8>,
}

impl<T> Alignment<T> {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: Vec::new() }
    }

    /// A token of these bytes was generated.
    pub(super) fn push(&mut self, bytes: &[u8], token: T) {
        self.waiting.push_back((self.bytes.len(), token));
        self.bytes.extend_from_slice(bytes);
    }

    /// The tokens that begin in `text`, which comes next, each with the byte at which it does. A
    /// token without text begins with the character after it.
    pub(super) fn take(&mut self, text: &str) -> Vec<(usize, T)> {
        let end = raw_length(&self.bytes, text.len());
        let mut begun = Vec::new();
        while let Some((start, token)) = self.waiting.pop_front_if(|(start, _)| *start < end) {
            let place = text_place(&self.bytes, start).min(text.len());
            begun.push((place, token));
        }
        self.bytes.drain(..end);
        for (start, _) in &mut self.waiting {
            *start -= end;
        }
        begun
    }

    /// The tokens whose text will not come.
    pub(super) fn take_rest(&mut self) -> impl Iterator<Item = T> {
        self.bytes.clear();
        self.waiting.drain(..).map(|(_, token)| token)
    }
}

/// How many of `raw` make the first `text_length` bytes of its text, in which U+FFFD stands for
/// what is no character.
fn raw_length(raw: &[u8], text_length: usize) -> usize {
    let mut length = 0;
    let mut left = text_length;
    for chunk in raw.utf8_chunks() {
        let valid = chunk.valid().len();
        if left <= valid {
            return length + left;
        }
        length += valid + chunk.invalid().len();
        left = (left - valid).saturating_sub(char::REPLACEMENT_CHARACTER.len_utf8());
    }
    length
}

/// Where in the text of `raw` the character is that has the byte `start`.
fn text_place(raw: &[u8], start: usize) -> usize {
    let (mut bytes, mut text) = (0, 0);
    for chunk in raw.utf8_chunks() {
        let (valid, invalid) = (chunk.valid(), chunk.invalid());
        if start < bytes + valid.len() {
            return text + valid.floor_char_boundary(start - bytes);
        }
        bytes += valid.len() + invalid.len();
        text += valid.len();
        if start < bytes || invalid.is_empty() {
            return text;
        }
        text += char::REPLACEMENT_CHARACTER.len_utf8();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_measured_in_raw_bytes() {
        assert_eq!(raw_length(b"abc", 0), 0);
        assert_eq!(raw_length(b"abc", 2), 2);
        assert_eq!(raw_length(b"abc", 9), 3);
        // A lone byte that is no character takes three bytes of text.
        assert_eq!(raw_length(b"a\xffbc", 4), 2);
        assert_eq!(raw_length(b"a\xffbc", 5), 3);
        assert_eq!(raw_length("aäb".as_bytes(), 3), 3);
        // And the second byte of a character stands with the first.
        for (start, place) in [(0, 0), (1, 1), (2, 4), (3, 5), (4, 5), (5, 7)] {
            assert_eq!(text_place(b"a\xffb\xc3\xa4", start), place, "{start}");
        }
    }

    #[test]
    fn tokens_come_with_the_text_they_begin_in() {
        let mut alignment = Alignment::new();
        alignment.push(b"ab", 0);
        alignment.push(b"", 1);
        alignment.push(b"c\xff", 2);
        assert_eq!(alignment.take("a"), [(0, 0)]);
        assert_eq!(alignment.take("b"), []);
        assert_eq!(alignment.take("c"), [(0, 1), (0, 2)]);
        alignment.push(b"d", 3);
        assert_eq!(alignment.take("\u{fffd}d"), [(3, 3)]);
        alignment.push(b"e", 4);
        assert_eq!(alignment.take_rest().collect::<Vec<_>>(), [4]);
        assert_eq!(alignment.take("f"), []);
    }
}
