//! The scanners against the expressions they stand for.

use super::*;
use crate::classes;
use fancy_regex::Regex;
use proptest::prelude::*;
use std::sync::LazyLock;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

static PATTERNS: LazyLock<Vec<(Pattern, Regex)>> = LazyLock::new(|| {
    [
        (Pattern::Gpt2, GPT2),
        (Pattern::Llama3, LLAMA3),
        (Pattern::Qwen2, QWEN2),
        (Pattern::O200k, O200K),
    ]
    .map(|(pattern, source)| (pattern, Regex::new(source).expect("a valid expression")))
    .into()
});

fn words(steps: &[Step], text: &str) -> Vec<String> {
    let mut words = Vec::new();
    Splitter::new(steps.to_vec()).for_each_word(text, &mut |word| words.push(word.to_owned()));
    words
}

fn check(text: &str) {
    for (pattern, regex) in PATTERNS.iter() {
        let found = words(&[Step::Pattern(*pattern)], text);
        let expected: Vec<_> = regex
            .find_iter(text)
            .map(|found| found.expect("a match").as_str().to_owned())
            .collect();
        assert_eq!(found, expected, "{pattern:?} on {text:?}");
        assert_eq!(found.concat(), text);
    }
}

#[test]
fn classes_equal_those_of_the_expressions() {
    let table = classes::classes();
    let expected = [
        (classes::UPPER, r"[\p{Lu}\p{Lt}]"),
        (classes::LOWER, r"\p{Ll}"),
        (classes::CASELESS, r"[\p{Lm}\p{Lo}]"),
        (classes::MARK, r"\p{M}"),
        (classes::NUMBER, r"\p{N}"),
        (classes::SPACE, r"\s"),
    ];
    let all: String = ('\0'..=char::MAX).collect();
    for (bit, source) in expected {
        let regex = Regex::new(source).expect("a valid expression");
        let mut found = regex.find_iter(&all).map(|found| found.expect("a match").start());
        let mut next = found.next();
        for (at, character) in all.char_indices() {
            let expected = next == Some(at);
            assert_eq!(table.of(character) & bit != 0, expected, "{source} {character:?}");
            if expected {
                next = found.next();
            }
        }
    }
}

#[test]
fn hard_cases() {
    for text in [
        "",
        " ",
        "  ",
        "   x",
        " \n",
        "\r\n \t\r\n  x",
        "a\u{a0}\u{a0}b",
        "\u{85}\u{2028} \n",
        "'S'lL'ſ'ſt x'ſ",
        "don't DON'T 'tis ''s",
        "你A你a",
        "AB你CD",
        "\u{301}AB",
        "\u{301}\u{301}AB ",
        " \u{301}AB",
        "\u{301}ABc",
        "!\u{301}",
        "ǅUNGLA",
        "AʰBʰc",
        "12345678",
        "²³½٣٤٥",
        " 1",
        "  1",
        "//\r\n//",
        "a//\n/b",
        " //",
        "HTTPServer",
        "ΑΒΓδε",
        "x'",
        "'",
        "'忀",
        "x'忀",
        "'r",
        "'v e",
        "\u{10ffff}\u{0}",
        "iPhone's",
        "İi̇",
        "ßẞ",
        "a\tb",
        "\u{3000}あ",
        "\n\u{3000}\n あ",
    ] {
        check(text);
    }
}

#[test]
fn digits_stand_alone() {
    let steps = [Step::Digits, Step::Pattern(Pattern::Gpt2)];
    assert_eq!(words(&steps, "in  2024 x"), ["in", "  ", "2", "0", "2", "4", " x"]);
    assert_eq!(words(&steps, "½x"), ["½", "x"]);
}

/// Characters that the expressions tell apart, drawn often.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::sample::select("aZ '/\n\r\t1!sStTrReElLdDmMvV".chars().collect::<Vec<_>>()),
        2 => prop::sample::select("éÉ你あʰǅ\u{301}\u{93e}²٣ſß😀\u{a0}\u{2003}\u{85}\u{200d}".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
        1 => prop::char::range('\u{0}', '\u{2fff}'),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn scanners_equal_expressions(text in prop::collection::vec(character(), 0..40)) {
        check(&text.into_iter().collect::<String>());
    }
}
