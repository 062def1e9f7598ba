//! Content, and where a call may begin in it.

use super::markers::{self, Marker, Spelt};
use super::region::Region;
use super::{CallReader, State};

const FENCE: &str = "```";

impl CallReader {
    /// `c` was added to what is held, which is space and then what may begin a call.
    pub(super) fn read_prose(&mut self, c: char) {
        let State::Prose(start) = self.state else { return };
        if c.is_whitespace() && start + c.len_utf8() == self.held.len() {
            self.state = State::Prose(self.held.len());
            return;
        }
        let at_word = start > 0 || self.previous.is_none_or(char::is_whitespace);
        let begun = &self.held[start..];
        match markers::spelt(begun, at_word) {
            Spelt::Part => {}
            Spelt::Marker(Marker::Open) => {
                let lists = markers::lists_opened(begun);
                self.state = State::Region(Region::after_spelling(lists));
            }
            // It ends nothing; after calls it is a marker too many.
            Spelt::Marker(Marker::Close) if self.calls > 0 => {
                self.give_markup();
                self.state = State::Prose(0);
            }
            _ if at_word && begun == FENCE => {
                self.state = State::Region(Region::in_fence());
            }
            _ if at_word && FENCE.starts_with(begun) => {}
            _ if at_word && begun.starts_with(['{', '[']) => {
                let begun = self.held.split_off(start);
                self.state = State::Region(Region::bare());
                begun.chars().for_each(|c| self.read(c));
            }
            _ => self.begin_again(start),
        }
    }

    /// Something was added to what is held, which may begin a call with a marker, or content that
    /// has a form.
    pub(super) fn read_formed(&mut self) {
        match markers::spelt(&self.held, false) {
            Spelt::Part => {}
            Spelt::Marker(Marker::Open) => {
                self.state = State::Region(Region::after_spelling(0));
            }
            Spelt::Marker(Marker::Close) | Spelt::Nothing => {
                self.give_text();
                self.state = State::Content;
            }
        }
    }

    /// What seemed to begin a call at `start` does not: its first character is content, and the
    /// others are looked at anew.
    fn begin_again(&mut self, start: usize) {
        let mut rest = self.held.split_off(start);
        // Space between calls and content belongs to neither.
        if self.follows_call() {
            self.give_markup();
        }
        let first = rest.chars().next().map_or(0, char::len_utf8);
        self.held.extend(rest.drain(..first));
        self.give_text();
        self.state = State::Prose(0);
        rest.chars().for_each(|c| self.read(c));
    }
}
