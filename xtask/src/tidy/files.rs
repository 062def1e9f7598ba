//! Rules about single files.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::source;
use crate::tidy::{RustFile, Violation};
use crate::workspace::Workspace;

/// Lines of a Rust file. A longer one holds more than one thing.
const LINES_MAX: usize = 600;

/// Lines of a function, from its `fn` to its closing brace. A longer one does more than one thing.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that may say `unsafe`, and what for.
const UNSAFE: &[(&str, &str)] = &[
    ("crates/formats/src/map.rs", "maps files, which others could change meanwhile"),
    (
        "crates/kernels/src/arm/byte_dot.rs",
        "multiplies bytes with instructions that a CPU token proves",
    ),
    ("crates/kernels/src/arm/neon.rs", "loads, stores, and calls that a CPU token allows"),
    ("crates/kernels/src/disjoint.rs", "sees one output as atomic cells that threads fill at once"),
    (
        "crates/kernels/src/features.rs",
        "enters functions of a CPU's features once they are detected",
    ),
    ("crates/kernels/src/pool.rs", "lends a caller's closure to threads that outlive the call"),
    ("crates/kernels/src/wasm.rs", "loads and stores"),
    ("crates/kernels/src/x86/amx.rs", "instructions of AMX, which have no intrinsics yet"),
    ("crates/kernels/src/x86/avx2.rs", "loads, stores, and calls that a CPU token allows"),
    ("crates/kernels/src/x86/avx512.rs", "loads, stores, and calls that a CPU token allows"),
    (
        "crates/kernels/src/x86/byte_dot.rs",
        "multiplies bytes with instructions that a CPU token proves",
    ),
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "misc"];

/// Code that is not finished. Written apart, so that this file does not break its own rule.
const UNFINISHED_CODE: &[&str] = &["todo!(", "unimplemented!(", "#[ignore"];
const UNFINISHED_WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Endings of files that people write.
const TEXT_ENDINGS: &[&str] =
    &["rs", "toml", "md", "py", "sh", "json", "jinja", "html", "css", "js", "yml", "yaml", "txt"];

/// Larger files are data.
const TEXT_BYTES_MAX: u64 = 512 << 10;

/// Rules for the package in `folder` with those files below its `src`.
pub fn check_package(root: &Path, folder: &Path, sources: &[RustFile]) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(root.join(&manifest))?;
    let squeezed: String = text.split_whitespace().collect();
    if !squeezed.contains("[lints]workspace=true") {
        let what = "does not inherit the lints of the workspace".to_owned();
        violations.push(Violation { file: manifest, line: 1, what });
    }
    for file in sources {
        let is_root =
            ["lib.rs", "main.rs"].iter().any(|name| file.path == folder.join("src").join(name));
        if is_root {
            check_root_comment(file, &mut violations);
        }
        check_names(file, &mut violations);
    }
    Ok(violations)
}

/// Rules for every file of the workspace.
pub fn check_all(workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let mut with_unsafe = Vec::new();
    for path in workspace.files(Path::new(""))? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let is_rust = extension == Some("rs");
        let is_text = extension.is_none_or(|extension| TEXT_ENDINGS.contains(&extension));
        let is_short = fs::metadata(workspace.root.join(&path))?.len() <= TEXT_BYTES_MAX;
        if !is_text || !is_short || path.starts_with("goldens") {
            continue;
        }
        let Ok(text) = fs::read_to_string(workspace.root.join(&path)) else { continue };
        check_text(&path, &text, &mut violations);
        if is_rust {
            let file = RustFile { code: source::code_only(&text), path, text };
            check_rust(&file, &mut with_unsafe, &mut violations);
        }
    }
    for (listed, _) in UNSAFE {
        if !with_unsafe.iter().any(|path: &String| path.starts_with(listed)) {
            let what = format!("{listed} is listed for unsafe and has none: take it off the list");
            violations.push(Violation { file: "xtask/src/tidy/files.rs".into(), line: 1, what });
        }
    }
    Ok(violations)
}

fn check_root_comment(file: &RustFile, violations: &mut Vec<Violation>) {
    let comment: Vec<_> = file.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let comment = comment.join(" ").to_lowercase();
    for part in ["owns", "does not know"] {
        if !comment.contains(part) {
            let what = format!("the crate's //! has no '{part}'");
            violations.push(Violation { file: file.path.clone(), line: 1, what });
        }
    }
}

fn check_names(file: &RustFile, violations: &mut Vec<Violation>) {
    let name = file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if EMPTY_NAMES.contains(&name) {
        let what = format!("a module named '{name}' says nothing: name what it holds");
        violations.push(Violation { file: file.path.clone(), line: 1, what });
    }
    for (line, at) in source::words(&file.code, "mod") {
        let name = source::identifier(file.code[at + 3..].trim_start());
        if EMPTY_NAMES.contains(&name) {
            let what = format!("a module named '{name}' says nothing: name what it holds");
            violations.push(Violation { file: file.path.clone(), line, what });
        }
    }
}

fn check_text(path: &Path, text: &str, violations: &mut Vec<Violation>) {
    let mut complain = |line: usize, what: String| {
        violations.push(Violation { file: path.to_owned(), line, what });
    };
    for beginning in MACHINE_PATHS {
        for (at, _) in text.match_indices(beginning) {
            // Part of a longer path or address, as in `a/root/b`.
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}')) {
                complain(source::line_of(text, at), format!("the path of a machine: {beginning}"));
            }
        }
    }
    for word in UNFINISHED_WORDS {
        for (line, _) in source::words(text, word) {
            complain(line, format!("unfinished: {word}"));
        }
    }
}

fn check_rust(file: &RustFile, with_unsafe: &mut Vec<String>, violations: &mut Vec<Violation>) {
    let mut complain = |line: usize, what: String| {
        violations.push(Violation { file: file.path.clone(), line, what });
    };
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        complain(LINES_MAX, format!("{lines} lines, over {LINES_MAX}: holds more than one thing"));
    }
    for (line, lines, name) in source::functions(&file.code) {
        if lines > FUNCTION_LINES_MAX {
            let limit = FUNCTION_LINES_MAX;
            complain(
                line,
                format!("{name} has {lines} lines, over {limit}: does more than one thing"),
            );
        }
    }
    for code in UNFINISHED_CODE {
        for (at, _) in file.code.match_indices(code) {
            complain(source::line_of(&file.code, at), format!("unfinished: {code}"));
        }
    }
    let path = file.path.to_string_lossy().replace('\\', "/");
    let is_listed = UNSAFE.iter().any(|(listed, _)| path.starts_with(listed));
    for (line, _) in source::words(&file.code, "unsafe") {
        if is_listed {
            with_unsafe.push(path.clone());
        } else {
            complain(line, "unsafe in a file that is not listed for it".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> Vec<String> {
        let mut violations = Vec::new();
        let path = Path::new(path);
        check_text(path, text, &mut violations);
        let file = RustFile { path: path.into(), text: text.into(), code: source::code_only(text) };
        check_rust(&file, &mut Vec::new(), &mut violations);
        check_names(&file, &mut violations);
        violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_finds_its_violation() {
        let path = format!("a\n\"{}x\"", MACHINE_PATHS[0]);
        assert_eq!(
            check("a.rs", &path),
            [format!("a.rs:2: the path of a machine: {}", MACHINE_PATHS[0])]
        );
        let word = format!("// {}: x", UNFINISHED_WORDS[0]);
        assert_eq!(check("a.rs", &word).len(), 1);
        assert_eq!(check("a.rs", "fn f() { todo!() }"), ["a.rs:1: unfinished: todo!("]);
        assert_eq!(check("a.rs", "unsafe {}").len(), 1);
        assert_eq!(check("crates/formats/src/map.rs", "unsafe {}").len(), 0);
        assert_eq!(check("a.rs", &"\n".repeat(601)).len(), 1);
        assert_eq!(check("utils.rs", "mod helpers;").len(), 2);
        let long = format!("\nfn f() {{{}}}", "\n".repeat(70));
        let what = "f has 71 lines, over 70: does more than one thing";
        assert_eq!(check("a.rs", &long), [format!("a.rs:2: {what}")]);
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        let text = "// unsafe, todo!( and a/root/b\nconst A: &str = \"#[ignore]\";\n#![forbid(unsafe_code)]";
        assert_eq!(check("a.rs", text), [""; 0]);
    }
}
