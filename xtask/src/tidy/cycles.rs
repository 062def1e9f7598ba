//! Modules of a crate must not depend on each other in a circle. Rust lets them; a reader of such
//! modules has to understand all of them at once.
//!
//! Only top-level modules count, and only code outside of tests. A reference is `crate::x` or a
//! `super::` that arrives at the crate's root, where `x` is a module or a name that the root
//! re-exports from one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::source;
use crate::tidy::{RustFile, Violation};

/// A reference from one top-level module to another.
struct Reference<'a> {
    from: &'a str,
    to: &'a str,
    file: &'a RustFile,
    line: usize,
}

/// `sources` are the files below `folder`, the crate's `src`.
pub fn check(folder: &Path, sources: &[RustFile]) -> Vec<Violation> {
    let mut modules = BTreeSet::new();
    let mut places = Vec::new();
    for file in sources {
        if let Some(place) = module_path(folder, &file.path) {
            modules.extend(place.first().copied());
            places.push((file, place));
        }
    }
    let codes: Vec<_> = places.iter().map(|(file, _)| source::without_tests(&file.code)).collect();
    let mut owners = BTreeMap::new();
    for ((_, place), code) in places.iter().zip(&codes) {
        if place.is_empty() {
            owners.extend(exports(code, &modules));
        }
    }
    let mut references = Vec::new();
    for ((file, place), code) in places.iter().zip(&codes) {
        let Some(from) = place.first().copied() else { continue };
        for (line, name) in root_names(code, place.len()) {
            let to = modules.get(name).copied().or_else(|| owners.get(name).copied());
            if let Some(to) = to.filter(|to| *to != from) {
                references.push(Reference { from, to, file, line });
            }
        }
    }
    circular(&references)
}

/// `["a", "b"]` of `src/a/b.rs`; empty for a crate's root; `None` for files of tests and programs.
fn module_path<'a>(folder: &Path, path: &'a Path) -> Option<Vec<&'a str>> {
    let relative = path.strip_prefix(folder).ok()?;
    let mut names: Vec<&str> = relative.iter().filter_map(|part| part.to_str()).collect();
    let last = names.pop()?.strip_suffix(".rs")?;
    if !matches!(last, "mod" | "lib" | "main") {
        names.push(last);
    }
    let is_test = |name: &&str| *name == "tests" || name.ends_with("_tests");
    if names.iter().any(is_test) || names.first() == Some(&"bin") { None } else { Some(names) }
}

/// Names that the root re-exports, with the module each comes from.
fn exports<'a>(root_code: &str, modules: &BTreeSet<&'a str>) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    for (_, at) in source::words(root_code, "use") {
        let rest = root_code[at + 3..].trim_start();
        let rest = ["crate::", "self::"]
            .iter()
            .fold(rest, |rest, root| rest.strip_prefix(root).unwrap_or(rest));
        let Some(module) = modules.get(source::identifier(rest)) else { continue };
        let statement = rest.split(';').next().unwrap_or_default();
        let is_name = |character: char| character.is_alphanumeric() || character == '_';
        for name in statement.split(|character| !is_name(character)).skip(1) {
            if !name.is_empty() {
                found.push((name.to_owned(), *module));
            }
        }
    }
    found
}

/// The first name after every path to the crate's root, with its line.
fn root_names(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut take = |line: usize, rest: &'_ str, start: usize| {
        for name in first_names(rest) {
            let at = start + name;
            found.push((line, source::identifier(&code[at..])));
        }
    };
    for (line, at) in source::words(code, "crate") {
        if let Some(rest) = code[at + 5..].strip_prefix("::") {
            take(line, rest, at + 7);
        }
    }
    let climb = "super::".repeat(depth);
    for (at, _) in code.match_indices(&climb) {
        let is_start =
            !code[..at].ends_with("::") && !code[at + climb.len()..].starts_with("super");
        if is_start {
            take(source::line_of(code, at), &code[at + climb.len()..], at + climb.len());
        }
    }
    found
}

/// Offsets of the first names in `a::b` (one) or `{a::b, c}` (one for each member).
fn first_names(rest: &str) -> Vec<usize> {
    if !rest.starts_with('{') {
        return vec![0];
    }
    let mut offsets = Vec::new();
    let mut depth = 0;
    let mut is_next = false;
    for (at, character) in rest.char_indices() {
        match character {
            '{' => {
                depth += 1;
                is_next = depth == 1;
            }
            '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            ',' => is_next = depth == 1,
            _ if character.is_whitespace() => {}
            _ => {
                if is_next {
                    offsets.push(at);
                }
                is_next = false;
            }
        }
    }
    offsets
}

fn circular(references: &[Reference<'_>]) -> Vec<Violation> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for reference in references {
        next.entry(reference.from).or_default().insert(reference.to);
    }
    let circles: Vec<_> = references
        .iter()
        .filter_map(|reference| Some((reference, way(&next, reference.to, reference.from)?)))
        .collect();
    // A knot of modules has many circles. Its shortest ones tell where to cut.
    let is_same_knot = |a: &Reference<'_>, b: &Reference<'_>| {
        way(&next, a.from, b.from).is_some() && way(&next, b.from, a.from).is_some()
    };
    let is_shortest = |reference: &Reference<'_>, length: usize| {
        circles.iter().all(|(other, way)| way.len() >= length || !is_same_knot(reference, other))
    };
    let shortest = circles.iter().filter(|(reference, way)| is_shortest(reference, way.len()));
    let violation = |(reference, way): &(&Reference<'_>, Vec<&str>)| Violation {
        file: reference.file.path.clone(),
        line: reference.line,
        what: format!("module cycle: {} -> {}", reference.from, way.join(" -> ")),
    };
    shortest.map(violation).collect()
}

/// A shortest way from `start` to `goal`, both included.
fn way<'a>(
    next: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    start: &'a str,
    goal: &str,
) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::from([start]);
    let mut at = 0;
    while at < ways.len() {
        let here = *ways[at].last()?;
        if here == goal {
            return Some(ways.swap_remove(at));
        }
        for &neighbour in next.get(here).into_iter().flatten() {
            if seen.insert(neighbour) {
                let mut longer = ways[at].clone();
                longer.push(neighbour);
                ways.push(longer);
            }
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_files(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| RustFile {
                path: Path::new("src").join(path),
                text: (*text).to_owned(),
                code: source::code_only(text),
            })
            .collect();
        check(Path::new("src"), &files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_circle_of_two_is_found_however_it_is_written() {
        for back in
            ["use crate::a::X;", "use super::a;", "use crate::{c::Y, a::X};", "use crate::X;"]
        {
            let root = ("lib.rs", "mod a; mod b; mod c;\npub use a::{X, Z};");
            let found =
                check_files(&[root, ("a.rs", "use crate::b;"), ("b.rs", back), ("c.rs", "")]);
            assert_eq!(
                found,
                ["src/a.rs:1: module cycle: a -> b -> a", "src/b.rs:1: module cycle: b -> a -> b"],
                "{back}"
            );
        }
    }

    #[test]
    fn deep_files_belong_to_their_top_module() {
        let found = check_files(&[
            ("a.rs", "use crate::b;"),
            ("b/mod.rs", "mod c;"),
            ("b/c.rs", "fn f() {\n    super::super::a::g();\n}"),
        ]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], "src/b/c.rs:2: module cycle: b -> a -> b");
    }

    #[test]
    fn what_is_no_circle_is_left_alone() {
        let found = check_files(&[
            ("lib.rs", "mod a; mod b; pub use a::X;"),
            ("a.rs", "use crate::b;\nuse crate::a::X;\nuse self::inner;"),
            ("a/inner.rs", "use super::X;\nuse super::b;"),
            (
                "b.rs",
                "// crate::a\nconst A: &str = \"crate::a\";\n#[cfg(test)]\nmod tests { use crate::a; }",
            ),
            ("b/tests.rs", "use crate::a;"),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
