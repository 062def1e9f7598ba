//! Calls of tools, read out of what a model writes.
//!
//! Models of one family, and one model at different times, write calls in many ways: within
//! markers or without, as one object, a list, or objects one after another, in a code fence, as
//! JSON or as Python prints it, the end left out. All of them are read, character by character: how
//! the text is divided into pieces makes no difference. What is certain is given at once.
//!
//! An object is a call if it names a tool that may be called and has arguments; text that merely
//! looks like one stays text. Without a marker an object must begin a word, so that code quoted
//! within a sentence is no call.

mod envelope;
mod lenient;
mod markers;
mod prose;
mod region;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::tools::Tools;
use envelope::{Envelope, Piece, Rules, Step};
pub(super) use markers::{Marker, spellings};
use region::Region;

/// A tool that may be called.
#[derive(Clone, Debug)]
pub(super) struct Callable {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments, or what a client gave as that.
    pub parameters: Option<Value>,
}

/// What the text turned out to be. All texts and markups together are as long as what was read,
/// and in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Content.
    Text(String),
    /// So many bytes that belong to calls, or to the space around them.
    Markup(usize),
    /// A call of this tool begins.
    Begin(String),
    /// Its arguments go on.
    Arguments(String),
    /// It has ended.
    End,
}

/// Reads the text of one choice.
#[derive(Debug)]
pub(super) struct CallReader {
    callable: Vec<Callable>,
    /// At most one call counts.
    single: bool,
    /// Text that does not begin with a marker holds no calls.
    formed: bool,
    state: State,
    /// What was read and not given.
    held: String,
    /// Calls that have begun.
    calls: usize,
    /// The last character of content; none at the beginning and after calls.
    previous: Option<char>,
    pieces: Vec<Piece>,
    outputs: Vec<Output>,
}

#[derive(Debug)]
enum State {
    /// Content. What is held is space, then the beginning of a marker that starts at this byte.
    Prose(usize),
    /// Content to its end.
    Content,
    /// Between the objects of a call.
    Region(Region),
    /// Within an object that may be a call.
    Object(Region, Box<Envelope>),
    /// Within a value that is content.
    Other(Skip, Option<Region>),
    /// After a call that was broken off, up to the end of the region.
    Lost(Region),
}

/// A value that is passed over.
#[derive(Debug)]
struct Skip {
    /// Brackets to be closed.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether the line has been empty so far.
    blank: bool,
}

impl CallReader {
    pub(super) fn new(tools: &Tools) -> Self {
        let callable = tools
            .callable()
            .map(|tool| Callable { name: tool.name.clone(), parameters: tool.parameters.clone() });
        Self {
            callable: callable.collect(),
            single: !tools.parallel,
            formed: false,
            state: State::Prose(0),
            held: String::new(),
            calls: 0,
            previous: None,
            pieces: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// For text that either is calls in the model's own form from its beginning, or has the form
    /// that was asked for and then holds no calls, whatever it looks like.
    pub(super) fn beside_form(self) -> Self {
        Self { formed: true, ..self }
    }

    /// Calls that have begun.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Reads on; gives what is certain by now.
    pub(super) fn push(&mut self, text: &str) -> Vec<Output> {
        text.chars().for_each(|c| self.read(c));
        std::mem::take(&mut self.outputs)
    }

    /// A marker came as a token of its own, which takes `bytes` of the text.
    pub(super) fn marker(&mut self, marker: Marker, bytes: usize) -> Vec<Output> {
        if let State::Content = self.state {
            self.push_markup(bytes);
            return std::mem::take(&mut self.outputs);
        }
        if let State::Object(..) = self.state {
            self.end_object();
        }
        match std::mem::replace(&mut self.state, State::Prose(0)) {
            State::Region(region) if region.is_certain() => self.give_markup(),
            State::Lost(_) => self.give_markup(),
            _ => self.give_trimmed(),
        }
        self.push_markup(bytes);
        self.previous = None;
        if marker == Marker::Open {
            self.state = State::Region(Region::after_token());
        }
        std::mem::take(&mut self.outputs)
    }

    /// The text has ended; `cut` if the model had more to say.
    pub(super) fn finish(&mut self, cut: bool) -> Vec<Output> {
        if let State::Object(region, envelope) = &self.state {
            if !cut {
                self.end_object();
            } else if envelope.has_begun() {
                self.give_markup();
                self.push_end();
            } else if region.is_marked() || region.calls > 0 {
                self.give_markup();
            }
        }
        match &self.state {
            State::Region(region) if region.is_certain() => self.give_markup(),
            State::Lost(_) => self.give_markup(),
            State::Prose(start) if self.follows_call() && *start == self.held.len() => {
                self.give_markup();
            }
            _ => self.give_text(),
        }
        std::mem::take(&mut self.outputs)
    }

    fn read(&mut self, c: char) {
        self.held.push(c);
        match &mut self.state {
            State::Prose(_) if self.formed && self.calls == 0 => self.read_formed(),
            State::Prose(_) => self.read_prose(c),
            State::Content => self.give_text(),
            State::Region(_) => self.read_region(c),
            State::Object(region, envelope) => {
                let rules = Rules { callable: &self.callable, marked: region.is_marked() };
                let step = envelope.push(c, rules, &mut self.pieces);
                self.take_step(step, c);
            }
            State::Other(skip, _) => {
                let ended = skip.ends_with(c);
                self.give_text();
                if ended && let State::Other(_, region) = self.enter_prose() {
                    self.state = region.map_or(State::Prose(0), State::Region);
                }
            }
            State::Lost(region) => {
                let blank = !region.is_marked() && self.held.ends_with("\n\n");
                if blank || markers::ends_calls(&self.held) {
                    self.give_markup();
                    self.enter_prose();
                }
            }
        }
    }

    /// Goes on after the object in work was given a character.
    fn take_step(&mut self, step: Step, c: char) {
        self.take_pieces();
        let State::Object(_, envelope) = &self.state else { return };
        let (begun, depth) = (envelope.has_begun(), envelope.depth());
        match step {
            Step::More if begun => self.give_markup(),
            Step::More => {}
            Step::Complete => {
                self.give_markup();
                self.call_ended();
            }
            Step::CompleteBefore => {
                self.give_markup_before(c);
                self.call_ended();
                self.read_region(c);
            }
            Step::Broken => {
                self.give_markup();
                self.push_end();
                if let State::Object(region, _) = self.enter_prose() {
                    self.state = State::Lost(region);
                }
            }
            Step::Refuted => self.object_refuted(depth),
        }
    }

    /// The text, or a marker, ends the object in work.
    fn end_object(&mut self) {
        let State::Object(region, envelope) = &mut self.state else { return };
        let rules = Rules { callable: &self.callable, marked: region.is_marked() };
        let step = envelope.finish(rules, &mut self.pieces);
        let certain = region.is_marked() || region.calls > 0;
        self.take_pieces();
        match step {
            Step::Complete | Step::CompleteBefore => {
                self.give_markup();
                self.call_ended();
            }
            Step::Broken => {
                self.give_markup();
                self.push_end();
                self.enter_prose();
            }
            Step::More | Step::Refuted => {
                if certain && depth_is_open(&self.state) {
                    // Half a call is neither a call nor content.
                    self.give_markup();
                }
                self.give_text();
                self.enter_prose();
            }
        }
    }

    /// Whether there was no content since the last call.
    fn follows_call(&self) -> bool {
        self.calls > 0 && self.previous.is_none()
    }

    fn call_ended(&mut self) {
        self.push_end();
        if let State::Object(mut region, _) = self.enter_prose() {
            region.call_ended();
            self.state = State::Region(region);
        }
    }

    fn object_refuted(&mut self, depth: usize) {
        self.give_text();
        let State::Object(mut region, _) = self.enter_prose() else { return };
        let open = depth + if region.is_marked() { 0 } else { region.lists };
        let back = region.is_marked().then(|| {
            region.is_loose = true;
            region
        });
        self.state = match (open, back) {
            (0, None) => State::Prose(0),
            (0, Some(region)) => State::Region(region),
            (depth, back) => State::Other(Skip::new(depth), back),
        };
    }

    /// Goes to prose; gives the state before.
    fn enter_prose(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Prose(self.held.len()))
    }

    fn take_pieces(&mut self) {
        for piece in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Begin(name) => {
                    self.calls += 1;
                    self.push_output(Output::Begin(name));
                }
                Piece::Arguments(text) => self.push_output(Output::Arguments(text)),
            }
        }
    }

    fn push_end(&mut self) {
        self.push_output(Output::End);
    }

    /// Adds an output, joined to the one before where that is the same.
    fn push_output(&mut self, output: Output) {
        let is_call = !matches!(output, Output::Text(_) | Output::Markup(_));
        if is_call && self.single && self.calls > 1 {
            return;
        }
        match (self.outputs.last_mut(), output) {
            (Some(Output::Text(last)), Output::Text(more)) => last.push_str(&more),
            (Some(Output::Markup(last)), Output::Markup(more)) => *last += more,
            (Some(Output::Arguments(last)), Output::Arguments(more)) => last.push_str(&more),
            (_, output) => self.outputs.push(output),
        }
    }

    fn push_markup(&mut self, bytes: usize) {
        if bytes > 0 {
            self.push_output(Output::Markup(bytes));
        }
    }

    /// Everything held is content.
    fn give_text(&mut self) {
        if let Some(last) = self.held.chars().next_back() {
            self.previous = Some(last);
            let text = std::mem::take(&mut self.held);
            self.push_output(Output::Text(text));
        }
    }

    /// Everything held belongs to calls.
    fn give_markup(&mut self) {
        let bytes = std::mem::take(&mut self.held).len();
        if bytes > 0 {
            self.previous = None;
            self.push_markup(bytes);
        }
    }

    /// Everything held but the character read last belongs to calls.
    fn give_markup_before(&mut self, c: char) {
        self.held.pop();
        self.give_markup();
        self.held.push(c);
    }

    /// Everything held is content, up to space before a call.
    fn give_trimmed(&mut self) {
        let space = self.held.split_off(self.held.trim_end().len());
        self.give_text();
        self.held = space;
        self.give_markup();
    }
}

/// Whether the object in work has not been closed.
fn depth_is_open(state: &State) -> bool {
    matches!(state, State::Object(_, envelope) if envelope.depth() > 0)
}

impl Skip {
    fn new(depth: usize) -> Self {
        Self { depth, in_string: false, escaped: false, blank: false }
    }

    /// Whether the value is at its end with this character. A line break ends a string, and an
    /// empty line what was no JSON at all.
    fn ends_with(&mut self, c: char) -> bool {
        if c == '\n' {
            self.in_string = false;
            if std::mem::replace(&mut self.blank, true) {
                return true;
            }
        } else if !c.is_whitespace() {
            self.blank = false;
        }
        if self.in_string {
            self.in_string = c != '"' || self.escaped;
            self.escaped = c == '\\' && !self.escaped;
            return false;
        }
        match c {
            '"' => self.in_string = true,
            '[' | '{' => self.depth += 1,
            ']' | '}' => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}
