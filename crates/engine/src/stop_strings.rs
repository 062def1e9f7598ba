//! Finding the first stop string in text that comes piece by piece.

/// Holds text back while it could be the beginning of a stop string.
///
/// The outcome does not depend on how the text is divided into pieces: it is as if it came one
/// character at a time.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    /// Text not yet given out: a proper prefix of a stop string, the longest that the text so far
    /// ends with.
    held: String,
}

/// What a piece of text led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    /// This text can be no part of a stop string.
    Text(String),
    /// A stop string came up after `text`.
    Stop { text: String, stop: String },
}

impl StopMatcher {
    /// None of `stops` is empty.
    pub fn new(stops: Vec<String>) -> Self {
        debug_assert!(stops.iter().all(|stop| !stop.is_empty()));
        Self { stops, held: String::new() }
    }

    pub fn push(&mut self, piece: &str) -> Matched {
        if self.stops.is_empty() {
            return Matched::Text(piece.to_owned());
        }
        if piece.is_empty() {
            return Matched::Text(String::new());
        }
        self.held.push_str(piece);
        if let Some((start, stop)) = self.first_match() {
            self.held.truncate(start);
            return Matched::Stop { text: std::mem::take(&mut self.held), stop };
        }
        let safe = self.held.len() - self.unsafe_tail();
        let rest = self.held.split_off(safe);
        Matched::Text(std::mem::replace(&mut self.held, rest))
    }

    /// Ends the text: gives out what is held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Start and stop string of the match that is complete first; of those complete with the same
    /// character, the longest.
    fn first_match(&self) -> Option<(usize, String)> {
        self.stops
            .iter()
            .filter_map(|stop| self.held.find(stop).map(|start| (start + stop.len(), start, stop)))
            .min_by_key(|&(end, start, _)| (end, start))
            .map(|(_, start, stop)| (start, stop.clone()))
    }

    /// Bytes at the end of the held text that a stop string begins with. Compared as bytes: a stop
    /// string starts with the first byte of a character, so a match starts at a character.
    fn unsafe_tail(&self) -> usize {
        let held = self.held.as_bytes();
        let tail_of = |stop: &String| {
            let longest = held.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&length| held.ends_with(&stop.as_bytes()[..length]))
        };
        self.stops.iter().filter_map(tail_of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the pieces; gives each output, the tail, and the stop string.
    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, String, Option<String>) {
        let mut matcher = StopMatcher::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut outputs = Vec::new();
        for piece in pieces {
            match matcher.push(piece) {
                Matched::Text(text) => outputs.push(text),
                Matched::Stop { text, stop } => {
                    outputs.push(text);
                    return (outputs, String::new(), Some(stop));
                }
            }
        }
        (outputs, matcher.finish(), None)
    }

    #[test]
    fn table_of_cases() {
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a str, Option<&'a str>);
        let cases: &[Case<'_>] = &[
            // stops, pieces, outputs, tail, stop
            (&[], &["a", "b"], &["a", "b"], "", None),
            (&["END"], &["the END is"], &["the "], "", Some("END")),
            (&["END"], &["the E", "N", "D is"], &["the ", "", ""], "", Some("END")),
            (&["END"], &["the E", "N", "O"], &["the ", "", "ENO"], "", None),
            (&["END"], &["the EN"], &["the "], "EN", None),
            (&["END"], &["EEN", "D"], &["E", ""], "", Some("END")),
            // A false start gives way to a later one.
            (&["aab"], &["a", "a", "a", "b"], &["", "", "a", ""], "", Some("aab")),
            // Complete first wins, also over one that starts earlier.
            (&["abcd", "bc"], &["abcd"], &["a"], "", Some("bc")),
            (&["abcd", "bc"], &["abc", "d"], &["a"], "", Some("bc")),
            // Complete together: the longer.
            (&["bc", "abc"], &["xabc"], &["x"], "", Some("abc")),
            // Characters of several bytes.
            (&["né"], &["an", "è", "n", "é!"], &["a", "nè", "", ""], "", Some("né")),
            (&["\n\n"], &["a\n", "\n"], &["a", ""], "", Some("\n\n")),
            (&["END"], &["", "", ""], &["", "", ""], "", None),
        ];
        for (stops, pieces, outputs, tail, stop) in cases {
            let expected = (
                outputs.iter().map(|text| (*text).to_owned()).collect(),
                (*tail).to_owned(),
                stop.map(str::to_owned),
            );
            assert_eq!(run(stops, pieces), expected, "{stops:?} {pieces:?}");
        }
    }

    /// One character at a time, over all the text so far.
    fn naive(stops: &[String], text: &str) -> (String, Option<String>) {
        let mut so_far = String::new();
        for character in text.chars() {
            so_far.push(character);
            let longest = stops
                .iter()
                .filter(|stop| so_far.ends_with(stop.as_str()))
                .max_by_key(|stop| stop.len());
            if let Some(stop) = longest {
                so_far.truncate(so_far.len() - stop.len());
                return (so_far, Some(stop.clone()));
            }
        }
        (so_far, None)
    }

    proptest! {
        #[test]
        fn any_division_equals_the_naive_definition(
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            pieces in prop::collection::vec("[abcé]{0,5}", 0..12),
        ) {
            let stop_texts: Vec<&str> = stops.iter().map(String::as_str).collect();
            let piece_texts: Vec<&str> = pieces.iter().map(String::as_str).collect();
            let (outputs, tail, stop) = run(&stop_texts, &piece_texts);
            let got = (outputs.concat() + &tail, stop);
            prop_assert_eq!(got, naive(&stops, &pieces.concat()));
        }
    }
}
