//! Event streams, cut into events.

use std::borrow::Cow;

use axum::body::Bytes;

/// The longest event that is read. The last event of a response holds all of its text.
pub(super) const EVENT_BYTES_MAX: usize = 16 << 20;

/// Puts events together from the pieces they come in.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// Where in the buffer the line begins that is not read to its end.
    line_start: usize,
    /// How far line ends were looked for.
    scanned: usize,
}

impl Events {
    /// Takes a piece; false when the event that it belongs to is too long.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> bool {
        self.buffer.extend_from_slice(piece);
        self.buffer.len() <= EVENT_BYTES_MAX + piece.len()
    }

    /// The next whole event, with the empty line that ends it.
    pub fn next(&mut self) -> Option<Bytes> {
        while let Some(offset) = self.buffer[self.scanned..].iter().position(|&b| b == b'\n') {
            let end = self.scanned + offset;
            let line = &self.buffer[self.line_start..end];
            let is_empty = line.is_empty() || line == b"\r";
            self.scanned = end + 1;
            self.line_start = end + 1;
            if is_empty {
                let rest = self.buffer.split_off(end + 1);
                let event = std::mem::replace(&mut self.buffer, rest);
                (self.line_start, self.scanned) = (0, 0);
                return Some(Bytes::from(event));
            }
        }
        self.scanned = self.buffer.len();
        None
    }

    /// What is left of an event that did not come to its end.
    pub fn rest(&mut self) -> Bytes {
        (self.line_start, self.scanned) = (0, 0);
        Bytes::from(std::mem::take(&mut self.buffer))
    }
}

fn lines(event: &[u8]) -> impl Iterator<Item = &[u8]> {
    event.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    let data = line.strip_prefix(b"data:")?;
    Some(data.strip_prefix(b" ").unwrap_or(data))
}

/// The data of an event, or `None` when it has none (a comment).
pub(super) fn data(event: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut all = lines(event).filter_map(data_of);
    let first = all.next()?;
    let mut joined = Cow::Borrowed(first);
    for more in all {
        let owned = joined.to_mut();
        owned.push(b'\n');
        owned.extend_from_slice(more);
    }
    Some(joined)
}

/// The event again, with other data of one line.
pub(super) fn with_data(event: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.len().max(data.len() + 16));
    for line in lines(event).filter(|line| !line.is_empty() && data_of(line).is_none()) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STREAM: &[u8] =
        b": ping\n\ndata: {\"a\":1}\n\nevent: x\r\nid: 7\r\ndata: one\r\ndata:two\r\n\r\ndata: [DONE]\n\n";

    fn read(pieces: &[&[u8]]) -> Vec<Bytes> {
        let mut events = Events::default();
        let mut found = Vec::new();
        for piece in pieces {
            assert!(events.push(piece));
            while let Some(event) = events.next() {
                found.push(event);
            }
        }
        assert!(events.rest().is_empty());
        found
    }

    #[test]
    fn events_have_data_of_one_line_or_several() {
        let events = read(&[STREAM]);
        let found: Vec<_> = events.iter().map(|event| data(event)).collect();
        let expected: [Option<&[u8]>; 4] =
            [None, Some(b"{\"a\":1}"), Some(b"one\ntwo"), Some(b"[DONE]")];
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.as_deref(), expected);
        }
        assert_eq!(with_data(&events[2], b"{}"), b"event: x\nid: 7\ndata: {}\n\n");
    }

    #[test]
    fn an_event_without_end_is_bounded() {
        let mut events = Events::default();
        let piece = vec![b'x'; 1 << 20];
        let held = (0..64).take_while(|_| events.push(&piece)).count();
        assert!(held <= (EVENT_BYTES_MAX >> 20) + 1, "{held}");
    }

    proptest! {
        #[test]
        fn the_cuts_of_the_network_do_not_matter(mut cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut start = 0;
            for cut in cuts {
                pieces.push(&STREAM[start..cut]);
                start = cut;
            }
            pieces.push(&STREAM[start..]);
            prop_assert_eq!(read(&pieces), read(&[STREAM]));
        }
    }
}
