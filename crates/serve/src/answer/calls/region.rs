//! A stretch of text in which calls are expected.

use super::envelope::Envelope;
use super::markers::{self, Marker, Spelt};
use super::{CallReader, Skip, State};

/// A stretch of text in which calls are expected, between two of its objects.
#[derive(Clone, Debug)]
pub(super) struct Region {
    kind: Kind,
    /// Lists that are open.
    pub lists: usize,
    /// Calls it has had.
    pub calls: usize,
    /// Text that is no call has come up, and more of it may.
    pub is_loose: bool,
    fence: Fence,
    /// Where in what is held a marker may have begun.
    marker: Option<usize>,
}

/// What the region began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An object or a list.
    Bare,
    /// A marker spelt in text, which is held. It counts as one once a call follows.
    Spelling,
    /// A marker that is a token of its own.
    Token,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fence {
    None,
    /// Between the backticks and the end of the word that names a language.
    Head,
    Open,
}

impl Region {
    fn new(kind: Kind, lists: usize, fence: Fence) -> Self {
        Self { kind, lists, calls: 0, is_loose: false, fence, marker: None }
    }

    pub(super) fn after_token() -> Self {
        Self::new(Kind::Token, 0, Fence::None)
    }

    pub(super) fn after_spelling(lists: usize) -> Self {
        Self::new(Kind::Spelling, lists, Fence::None)
    }

    pub(super) fn in_fence() -> Self {
        Self::new(Kind::Bare, 0, Fence::Head)
    }

    pub(super) fn bare() -> Self {
        Self::new(Kind::Bare, 0, Fence::None)
    }

    /// Whether a marker opened it.
    pub(super) fn is_marked(&self) -> bool {
        self.kind != Kind::Bare
    }

    /// Whether what stands between its objects belongs to calls.
    pub(super) fn is_certain(&self) -> bool {
        !self.is_loose && (self.calls > 0 || self.kind == Kind::Token)
    }

    pub(super) fn call_ended(&mut self) {
        self.calls += 1;
        self.is_loose = false;
        self.marker = None;
    }
}

impl CallReader {
    /// `c` was added to what is held.
    pub(super) fn read_region(&mut self, c: char) {
        let State::Region(region) = &mut self.state else { return };
        if let Some(start) = region.marker {
            self.read_marker(start);
            return;
        }
        let certain = region.calls > 0;
        let fenced = region.fence != Fence::None;
        match c {
            _ if c.is_whitespace() => {
                if region.fence == Fence::Head {
                    region.fence = Fence::Open;
                }
            }
            '<' => region.marker = Some(self.held.len() - 1),
            '{' => {
                self.state = State::Object(region.clone(), Box::new(Envelope::new()));
                self.held.pop();
                self.read(c);
            }
            '[' => region.lists += 1,
            ']' if region.lists > 0 && (certain || region.is_marked()) => region.lists -= 1,
            ',' if certain || region.lists > 0 && region.is_marked() => {}
            ';' | '}' | ']' if certain => {}
            '`' if fenced || region.is_marked() => {
                // Those that open it, or close it.
                region.fence = Fence::Head;
            }
            _ if region.fence == Fence::Head && (c.is_alphanumeric() || c == '_') => {}
            _ => self.leave_region(c),
        }
    }

    /// What is held from `start` on may be a marker.
    fn read_marker(&mut self, start: usize) {
        let State::Region(region) = &mut self.state else { return };
        match markers::spelt(&self.held[start..], false) {
            Spelt::Part => {}
            Spelt::Marker(marker) => {
                let certain = region.is_certain();
                let after = self.held.split_off(start);
                if certain {
                    self.give_markup();
                } else {
                    self.give_trimmed();
                }
                self.held = after;
                match marker {
                    Marker::Open => self.state = State::Region(Region::after_spelling(0)),
                    Marker::Close if self.calls > 0 || certain => {
                        self.give_markup();
                        self.state = State::Prose(0);
                    }
                    Marker::Close => {
                        self.give_text();
                        self.state = State::Prose(0);
                    }
                }
            }
            Spelt::Nothing => {
                region.marker = None;
                let rest = self.held.split_off(start + 1);
                self.leave_region('<');
                rest.chars().for_each(|c| self.read(c));
            }
        }
    }

    /// `c`, the last character held, does not belong to calls.
    fn leave_region(&mut self, c: char) {
        let State::Region(region) = &mut self.state else { return };
        let certain = region.is_certain();
        let lists = region.lists;
        match region.kind {
            // The model speaks on within its markers, or before it comes to the point.
            Kind::Token => {
                region.is_loose = true;
                region.fence = Fence::None;
            }
            Kind::Spelling if region.calls > 0 => {
                region.is_loose = true;
                region.fence = Fence::None;
            }
            Kind::Bare if certain => {
                self.give_markup_before(c);
                self.state = State::Prose(0);
                self.read_prose(c);
                return;
            }
            Kind::Bare if lists > 0 => {
                self.held.pop();
                self.give_text();
                self.state = State::Other(Skip::new(lists), None);
                self.read(c);
                return;
            }
            Kind::Bare | Kind::Spelling => self.state = State::Prose(0),
        }
        if certain {
            self.give_markup_before(c);
        }
        self.give_text();
    }
}
