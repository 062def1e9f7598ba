//! Added tokens: those found by their spelling, before any merging.

use crate::limits::{ADDED_BYTES_MAX, ADDED_TOKENS_MAX};
use crate::{Error, TokenId};
use aho_corasick::{AhoCorasick, Input, MatchKind};
use hashbrown::HashMap;
use std::ops::Range;

/// One added token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddedToken {
    pub(crate) id: TokenId,
    pub(crate) text: String,
    /// Swallows the white space before it.
    pub(crate) strip_left: bool,
    /// Swallows the white space after it.
    pub(crate) strip_right: bool,
}

/// A stretch of text between added tokens, or one of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Segment<'t> {
    Text(&'t str),
    Token(&'t AddedToken),
}

/// All added tokens of a vocabulary.
#[derive(Debug)]
pub(crate) struct AddedTokens {
    tokens: Vec<AddedToken>,
    by_text: HashMap<String, usize>,
    matcher: AhoCorasick,
    any_case_matcher: AhoCorasick,
}

impl AddedTokens {
    pub(crate) fn new(tokens: Vec<AddedToken>) -> Result<Self, Error> {
        let bytes: usize = tokens.iter().map(|token| token.text.len()).sum();
        if tokens.len() > ADDED_TOKENS_MAX || bytes > ADDED_BYTES_MAX {
            return Err(Error::too_large(format!(
                "{} added tokens of together {bytes} bytes; the limits are {ADDED_TOKENS_MAX} \
                 and {ADDED_BYTES_MAX}",
                tokens.len()
            )));
        }
        let mut by_text = HashMap::with_capacity(tokens.len());
        for (index, token) in tokens.iter().enumerate() {
            if token.text.is_empty() {
                return Err(Error::invalid(format!("added token {} is empty", token.id)));
            }
            if by_text.insert(token.text.clone(), index).is_some() {
                return Err(Error::invalid(format!("two added tokens are {:?}", token.text)));
            }
        }
        let matcher = |any_case| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .ascii_case_insensitive(any_case)
                .build(tokens.iter().map(|token| &token.text))
                .map_err(|error| Error::too_large(format!("added tokens: {error}")))
        };
        let (matcher, any_case_matcher) = (matcher(false)?, matcher(true)?);
        Ok(Self { tokens, by_text, matcher, any_case_matcher })
    }

    pub(crate) fn tokens(&self) -> &[AddedToken] {
        &self.tokens
    }

    pub(crate) fn find(&self, text: &str) -> Option<&AddedToken> {
        Some(&self.tokens[*self.by_text.get(text)?])
    }

    /// Starts of all spellings of added tokens in `text`, in upper or lower case, also of
    /// those that overlap.
    pub(crate) fn starts_in_any_case(&self, text: &str) -> Vec<usize> {
        let mut starts = Vec::new();
        let mut from = 0;
        while let Some(found) = self.any_case_matcher.find(Input::new(text).range(from..)) {
            starts.push(found.start());
            from = found.start() + 1;
        }
        starts
    }

    /// Added tokens in `text`: the leftmost first, of those the longest.
    pub(crate) fn matches<'t>(
        &'t self,
        text: &'t str,
    ) -> impl Iterator<Item = (&'t AddedToken, Range<usize>)> {
        self.matcher
            .find_iter(text)
            .map(|found| (&self.tokens[found.pattern().as_usize()], found.range()))
    }

    /// Cuts `text` at added tokens, with the white space that they swallow.
    pub(crate) fn segments<'t>(&'t self, text: &'t str) -> Vec<Segment<'t>> {
        let mut segments = Vec::new();
        let mut done = 0;
        for (token, Range { mut start, mut end }) in self.matches(text) {
            // White space swallowed by the token before may hold the start of this one.
            if start < done {
                continue;
            }
            if token.strip_left {
                start = text[..start].trim_end().len().max(done);
            }
            if token.strip_right {
                end = text.len() - text[end..].trim_start().len();
            }
            if done < start {
                segments.push(Segment::Text(&text[done..start]));
            }
            segments.push(Segment::Token(token));
            done = end;
        }
        if done < text.len() {
            segments.push(Segment::Text(&text[done..]));
        }
        segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(list: &[(&str, bool, bool)]) -> AddedTokens {
        let tokens = list.iter().zip(0..).map(|(&(text, strip_left, strip_right), id)| {
            AddedToken { id, text: text.to_owned(), strip_left, strip_right }
        });
        AddedTokens::new(tokens.collect()).expect("valid tokens")
    }

    fn check(added: &AddedTokens, text: &str, expected: &[&str]) {
        let found: Vec<_> = added
            .segments(text)
            .into_iter()
            .map(|segment| match segment {
                Segment::Text(text) => format!("t{text}"),
                Segment::Token(token) => token.text.clone(),
            })
            .collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn the_longest_of_the_leftmost_wins() {
        let added = tokens(&[("<a", false, false), ("<a>", false, false), (">>", false, false)]);
        check(&added, "x<a>>y", &["tx", "<a>", "t>y"]);
        check(&added, "<a<a>", &["<a", "<a>"]);
        check(&added, "", &[]);
    }

    #[test]
    fn white_space_is_swallowed_where_asked() {
        let added = tokens(&[("<l>", true, false), ("<r>", false, true)]);
        check(&added, "a \n<l> b", &["ta", "<l>", "t b"]);
        check(&added, "a <r> \n b", &["ta ", "<r>", "tb"]);
        check(&added, "<r> <l> ", &["<r>", "<l>", "t "]);
    }

    #[test]
    fn repeated_spellings_are_refused() {
        let token = AddedToken { id: 1, text: "<a>".into(), strip_left: false, strip_right: false };
        assert!(AddedTokens::new(vec![token.clone(), token]).is_err());
    }
}
