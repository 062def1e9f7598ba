//! Keeping what users write apart from what a template writes.
//!
//! A Jinja template only sees strings and gives one string, in which a control token spelt
//! by a user looks like one written by the template. So before rendering, a character that
//! occurs nowhere else goes into every spelling of an added token in what users wrote; after
//! rendering, only unbroken spellings are control tokens, and the character is taken out.

use crate::added::AddedTokens;
use crate::{Error, ErrorKind, Prompt};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Private-use characters to choose the marker from.
const MARKERS: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10FFFD}';

pub(super) struct Guard<'a> {
    added: &'a AddedTokens,
    marker: char,
}

impl<'a> Guard<'a> {
    /// A guard for inputs that consist of `texts`.
    pub(super) fn new(added: &'a AddedTokens, texts: &[String]) -> Result<Self, Error> {
        let taken: HashSet<char> = texts
            .iter()
            .flat_map(|text| text.chars())
            .filter(|character| MARKERS.contains(character))
            .collect();
        let marker = MARKERS.into_iter().find(|character| !taken.contains(character));
        let marker = marker.ok_or_else(|| {
            Error::new(ErrorKind::Render, "the conversation uses all private characters")
        })?;
        Ok(Self { added, marker })
    }

    /// Breaks the added tokens that `text` spells, and those it could spell together with
    /// what a template puts before or after it.
    pub(super) fn mark(&self, text: &str) -> String {
        let mut places: Vec<usize> = self.added.starts_in_any_case(text);
        places.extend(self.unfinished_at_end(text));
        // The marker goes behind the first character of the spelling.
        for place in &mut places {
            *place += text[*place..].chars().next().map_or(0, char::len_utf8);
        }
        if self.continues_a_token(text) {
            places.push(0);
        }
        places.sort_unstable();
        places.dedup();
        let mut marked = String::with_capacity(text.len() + places.len() * 4);
        let mut done = 0;
        for place in places {
            marked.push_str(&text[done..place]);
            marked.push(self.marker);
            done = place;
        }
        marked.push_str(&text[done..]);
        marked
    }

    /// Breaks `text` as a whole: no part of it can be in a token.
    pub(super) fn mark_name(&self, text: &str) -> String {
        let mut marked = String::from(self.marker);
        for character in text.chars() {
            marked.extend([character, self.marker]);
        }
        marked
    }

    /// The same value with all its strings and keys marked.
    pub(super) fn mark_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mark(text)),
            Value::Array(list) => list.iter().map(|entry| self.mark_value(entry)).collect(),
            Value::Object(map) => {
                let marked: Map<_, _> = map
                    .iter()
                    .map(|(key, entry)| (self.mark(key), self.mark_value(entry)))
                    .collect();
                Value::Object(marked)
            }
            other => other.clone(),
        }
    }

    /// What a template wrote, as a prompt.
    pub(super) fn prompt(&self, rendered: &str) -> Prompt {
        let mut prompt = Prompt::new();
        let mut done = 0;
        for (token, place) in self.added.matches(rendered) {
            prompt.push_text(rendered[done..place.start].replace(self.marker, ""));
            prompt.push_control(token.text.as_str());
            done = place.end;
        }
        prompt.push_text(rendered[done..].replace(self.marker, ""));
        prompt
    }

    /// Places from which `text` runs into its end while spelling an added token.
    fn unfinished_at_end(&self, text: &str) -> Vec<usize> {
        let mut places = Vec::new();
        for token in self.added.tokens() {
            let start = text.len().saturating_sub(token.text.len() - 1);
            places.extend((start..text.len()).filter(|&place| {
                text.is_char_boundary(place)
                    && equal_start(token.text.as_bytes(), &text.as_bytes()[place..])
            }));
        }
        places
    }

    /// Whether `text` starts as an added token ends.
    fn continues_a_token(&self, text: &str) -> bool {
        self.added.tokens().iter().any(|token| {
            let ends = (1..token.text.len()).map(|place| &token.text.as_bytes()[place..]);
            ends.into_iter().any(|end| equal_start(text.as_bytes(), end))
        })
    }
}

/// Whether `text` starts with `start`, in upper or lower case: templates may change that.
fn equal_start(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}
