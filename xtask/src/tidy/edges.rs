//! Which crate may depend on which: the walls of `ARCHITECTURE.md`.

use crate::tidy::Violation;
use crate::workspace::{Need, Package};

/// Each package with those it may depend on, bottom to top. `*` is everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("phial-tensor", &[]),
    ("phial-text", &[]),
    ("phial-openai", &[]),
    ("phial-hub", &[]),
    ("phial-kernels", &["phial-tensor"]),
    ("phial-formats", &["phial-tensor"]),
    ("phial-grammar", &["phial-text"]),
    ("phial-model", &["phial-tensor", "phial-kernels", "phial-formats"]),
    (
        "phial-convert",
        &["phial-tensor", "phial-formats", "phial-kernels", "phial-model", "phial-text"],
    ),
    ("phial-engine", &["phial-model", "phial-grammar", "phial-text"]),
    ("phial-prefixes", &["phial-engine", "phial-model"]),
    (
        "phial-serve",
        &["phial-openai", "phial-engine", "phial-grammar", "phial-text", "phial-model"],
    ),
    // It sees HTTP only, so that it can stand before any server of the API.
    ("phial-gateway", &["phial-openai"]),
    ("phial-mcp", &["phial-serve"]),
    ("phial-telemetry", &["phial-serve"]),
    ("phial", &["*"]),
    ("xtask", &[]),
];

pub fn check(packages: &[Package]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in packages {
        let mut complain = |what: String| {
            let file = package.folder.join("Cargo.toml");
            violations.push(Violation { file, line: 1, what });
        };
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            complain(format!("{} has no row in the table of allowed edges", package.name));
            continue;
        };
        for (needed, need) in &package.needs {
            // Tests may look down as far as the table lets anybody look, never up.
            let is_allowed = allowed.contains(&needed.as_str())
                || allowed == &["*"]
                || *need == Need::Test && is_below(needed, &package.name);
            if !is_allowed {
                complain(format!("{} may not depend on {needed} ({need:?})", package.name));
            }
        }
    }
    violations
}

/// Whether `lower` stands before `upper` in the table.
fn is_below(lower: &str, upper: &str) -> bool {
    let rank = |wanted: &str| ALLOWED.iter().position(|(name, _)| *name == wanted);
    rank(lower) < rank(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, needed: &str, need: Need) -> usize {
        let needs = vec![(needed.to_owned(), need)];
        check(&[Package { name: name.to_owned(), folder: "x".into(), needs }]).len()
    }

    #[test]
    fn edges_go_down_and_only_where_the_table_says() {
        assert_eq!(complaints("phial-model", "phial-kernels", Need::Normal), 0);
        assert_eq!(complaints("phial-kernels", "phial-model", Need::Normal), 1);
        assert_eq!(complaints("phial-engine", "phial-kernels", Need::Normal), 1);
        assert_eq!(complaints("phial-engine", "phial-formats", Need::Test), 0);
        assert_eq!(complaints("phial-formats", "phial-model", Need::Test), 1);
        assert_eq!(complaints("phial-convert", "phial-text", Need::Normal), 0);
        assert_eq!(complaints("phial-convert", "phial-hub", Need::Normal), 1);
        assert_eq!(complaints("phial-serve", "phial-convert", Need::Normal), 1);
        assert_eq!(complaints("phial-gateway", "phial-openai", Need::Normal), 0);
        assert_eq!(complaints("phial-gateway", "phial-engine", Need::Normal), 1);
        assert_eq!(complaints("phial", "phial-hub", Need::Normal), 0);
        assert_eq!(complaints("newcomer", "phial-hub", Need::Normal), 1);
    }
}
