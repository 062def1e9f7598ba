//! How models say that they call.

/// Which side of a call a marker stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// A call, or a list of them, follows.
    Open,
    /// The calls are at their end.
    Close,
}

/// The markers of the Phi-4-mini family, of Hermes and those who followed it (Qwen, SmolLM2), of
/// Mistral and of Llama 3. In a vocabulary they are single tokens, or they are spelt.
const MARKERS: &[(&str, Marker)] = &[
    ("<|tool_call|>", Marker::Open),
    ("<|/tool_call|>", Marker::Close),
    ("<tool_call>", Marker::Open),
    ("</tool_call>", Marker::Close),
    ("[TOOL_CALLS]", Marker::Open),
    ("<|python_tag|>", Marker::Open),
];

/// A marker that prompts made for other servers ask the Phi-4-mini family for; the list of calls
/// follows without a space. Counts only at the beginning of a word.
const WORD_MARKER: &str = "functools[";

/// All markers by their spelling.
pub(in crate::answer) fn spellings() -> impl Iterator<Item = (&'static str, Marker)> {
    MARKERS.iter().copied()
}

/// What a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelt {
    /// No marker, and not the beginning of one.
    Nothing,
    /// The beginning of a marker, or of several.
    Part,
    /// A marker.
    Marker(Marker),
}

/// Whether `text` is a marker or begins one.
pub(super) fn spelt(text: &str, at_word: bool) -> Spelt {
    if let Some((_, marker)) = MARKERS.iter().find(|(spelling, _)| *spelling == text) {
        return Spelt::Marker(*marker);
    }
    if at_word && text == WORD_MARKER {
        return Spelt::Marker(Marker::Open);
    }
    let begins = |spelling: &str| spelling.starts_with(text);
    if MARKERS.iter().any(|(spelling, _)| begins(spelling)) || at_word && begins(WORD_MARKER) {
        return Spelt::Part;
    }
    Spelt::Nothing
}

/// Whether `text` ends with a marker that ends calls.
pub(super) fn ends_calls(text: &str) -> bool {
    MARKERS.iter().any(|(spelling, side)| *side == Marker::Close && text.ends_with(spelling))
}

/// Lists that a marker opens along with itself.
pub(super) fn lists_opened(marker: &str) -> usize {
    usize::from(marker == WORD_MARKER)
}
