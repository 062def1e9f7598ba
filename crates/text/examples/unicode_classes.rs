//! Writes `data/unicode-classes.bin` from the Unicode tables of the regex crates:
//! `cargo run -p phial-text --example unicode_classes crates/text/data/unicode-classes.bin`.
//!
//! The file is a list of runs that together cover every code point: length as a
//! little-endian base-128 number, then the class bits of `src/classes.rs`.

use regex_syntax::hir::{Class, HirKind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).ok_or("usage: unicode_classes OUT")?;
    let patterns = [
        (1, r"[\p{Lu}\p{Lt}]"),
        (2, r"\p{Ll}"),
        (4, r"[\p{Lm}\p{Lo}]"),
        (8, r"\p{M}"),
        (16, r"\p{N}"),
        (32, r"\s"),
    ];
    let mut classes = vec![0_u8; 0x11_0000];
    for (bit, pattern) in patterns {
        let HirKind::Class(Class::Unicode(class)) = regex_syntax::parse(pattern)?.into_kind()
        else {
            return Err(format!("{pattern} is not a class").into());
        };
        for range in class.iter() {
            for class in &mut classes[range.start() as usize..=range.end() as usize] {
                *class |= bit;
            }
        }
    }
    let mut bytes = Vec::new();
    for run in classes.chunk_by(|a, b| a == b) {
        let mut length = run.len();
        while length >= 128 {
            bytes.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        bytes.extend([length as u8, run[0]]);
    }
    println!("{} bytes", bytes.len());
    std::fs::write(out, bytes)?;
    Ok(())
}
