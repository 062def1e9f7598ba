//! The byte-level alphabet of GPT-2: every byte has a printable character of its own.

use std::sync::LazyLock;

/// Characters of the alphabet lie below this code point.
const ALPHABET_END: usize = 0x144;

struct Alphabet {
    character_of: [char; 256],
    /// -1 where a code point is not in the alphabet.
    byte_of: [i16; ALPHABET_END],
}

static ALPHABET: LazyLock<Alphabet> = LazyLock::new(|| {
    let mut alphabet = Alphabet { character_of: ['\0'; 256], byte_of: [-1; ALPHABET_END] };
    let mut spare = 0x100_u32;
    for byte in 0..=255_u8 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let character = if printable {
            char::from(byte)
        } else {
            spare += 1;
            char::from_u32(spare - 1).unwrap_or_default()
        };
        alphabet.character_of[usize::from(byte)] = character;
        alphabet.byte_of[character as usize] = i16::from(byte);
    }
    alphabet
});

/// Appends the text that stands for `bytes`.
pub(crate) fn push_text(bytes: &[u8], text: &mut String) {
    let alphabet = &*ALPHABET;
    text.extend(bytes.iter().map(|&byte| alphabet.character_of[usize::from(byte)]));
}

/// Appends the bytes that `text` stands for; false, with nothing said about `bytes`, if a
/// character is not of the alphabet.
pub(crate) fn push_bytes(text: &str, bytes: &mut Vec<u8>) -> bool {
    let alphabet = &*ALPHABET;
    for character in text.chars() {
        match alphabet.byte_of.get(character as usize) {
            Some(&byte @ 0..) => bytes.push(byte as u8),
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_returns() {
        let all: Vec<u8> = (0..=255).collect();
        let (mut text, mut bytes) = (String::new(), Vec::new());
        push_text(&all, &mut text);
        assert!(push_bytes(&text, &mut bytes));
        assert_eq!(bytes, all);
        assert!(text.contains('Ġ') && text.contains('Ċ'));
        assert!(!push_bytes("語", &mut bytes) && !push_bytes(" ", &mut bytes));
    }
}
