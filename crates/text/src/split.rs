//! Pre-tokenisers: how text is cut into the words that merges work inside.
//!
//! Each [`Pattern`] is a hand-written scanner for one well-known regular expression; it
//! finds exactly what leftmost-first matching of that expression finds.

mod patterns;
mod scan;

use scan::Scan;

/// A pattern whose matches cover all text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// gpt-2 and its followers.
    Gpt2,
    /// llama-3; also cl100k.
    Llama3,
    /// As llama-3, with every digit on its own.
    Qwen2,
    /// gpt-4o and the Phi-4-mini family.
    O200k,
}

/// One cut; the pieces of a cut are what the next one sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Every numeric character on its own.
    Digits,
    /// The matches of a pattern.
    Pattern(Pattern),
}

/// The cuts of one tokenizer, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splitter {
    steps: Vec<Step>,
}

/// Names that GGUF files use, and what they mean. The first name of equal entries is the
/// one written.
const NAMED: &[(&str, &[Step])] = &[
    ("gpt-4o", &[Step::Pattern(Pattern::O200k)]),
    ("llama4", &[Step::Pattern(Pattern::O200k)]),
    ("gpt-2", &[Step::Pattern(Pattern::Gpt2)]),
    ("phi-2", &[Step::Pattern(Pattern::Gpt2)]),
    ("mpt", &[Step::Pattern(Pattern::Gpt2)]),
    ("olmo", &[Step::Pattern(Pattern::Gpt2)]),
    // Files from before the name was recorded: what byte-level BPE was at the time.
    ("default", &[Step::Pattern(Pattern::Gpt2)]),
    ("", &[Step::Pattern(Pattern::Gpt2)]),
    ("smollm", &[Step::Digits, Step::Pattern(Pattern::Gpt2)]),
    ("starcoder", &[Step::Digits, Step::Pattern(Pattern::Gpt2)]),
    ("refact", &[Step::Digits, Step::Pattern(Pattern::Gpt2)]),
    ("command-r", &[Step::Digits, Step::Pattern(Pattern::Gpt2)]),
    ("llama-bpe", &[Step::Pattern(Pattern::Llama3)]),
    ("llama3", &[Step::Pattern(Pattern::Llama3)]),
    ("llama-v3", &[Step::Pattern(Pattern::Llama3)]),
    ("dbrx", &[Step::Pattern(Pattern::Llama3)]),
    ("smaug-bpe", &[Step::Pattern(Pattern::Llama3)]),
    ("qwen2", &[Step::Pattern(Pattern::Qwen2)]),
    ("stablelm2", &[Step::Pattern(Pattern::Qwen2)]),
    ("deepseek-r1-qwen", &[Step::Pattern(Pattern::Qwen2)]),
];

impl Splitter {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// The pre-tokeniser that GGUF files call `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let (_, steps) = NAMED.iter().find(|(known, _)| *known == name)?;
        Some(Self::new(steps.to_vec()))
    }

    /// The name that GGUF files have for this pre-tokeniser.
    pub(crate) fn name(&self) -> Option<&'static str> {
        let (name, _) = NAMED.iter().find(|(_, steps)| *steps == self.steps)?;
        Some(name)
    }

    /// Calls `visit` with each word of `text`, in order; the words, joined, are the text.
    #[inline]
    pub(crate) fn for_each_word<'t>(&self, text: &'t str, visit: &mut impl FnMut(&'t str)) {
        for_each_piece(&self.steps, text, visit);
    }
}

fn for_each_piece<'t>(steps: &[Step], text: &'t str, visit: &mut impl FnMut(&'t str)) {
    let Some((step, later)) = steps.split_first() else {
        if !text.is_empty() {
            visit(text);
        }
        return;
    };
    match step {
        Step::Digits => cut(text, patterns::digit, later, visit),
        Step::Pattern(Pattern::Gpt2) => cut(text, patterns::gpt2, later, visit),
        Step::Pattern(Pattern::Llama3) => cut(text, patterns::llama3, later, visit),
        Step::Pattern(Pattern::Qwen2) => cut(text, patterns::qwen2, later, visit),
        Step::Pattern(Pattern::O200k) => cut(text, patterns::o200k, later, visit),
    }
}

/// Cuts `text` where `match_end`, given the start of a match, says that it ends.
#[inline]
fn cut<'t>(
    text: &'t str,
    match_end: impl Fn(&Scan<'_>, usize) -> usize,
    later: &[Step],
    visit: &mut impl FnMut(&'t str),
) {
    let scan = Scan::new(text);
    let mut start = 0;
    while start < text.len() {
        let end = match_end(&scan, start);
        let piece = &text[start..end];
        if later.is_empty() {
            visit(piece);
        } else {
            for_each_piece(later, piece, visit);
        }
        start = end;
    }
}

#[cfg(test)]
#[path = "split/tests.rs"]
mod tests;
