//! Statements that are asked one after the other, each about a list.

use std::sync::OnceLock;

use serde_json::Value as Json;

use super::Sql;

/// What one statement of a script is about, bound as JSON.
pub(crate) type List = Vec<Json>;

/// Statements of one transaction. Each takes one list, by place (`?`) in SQLite, and does nothing
/// where that is empty.
pub(crate) struct Script {
    pub(super) statements: &'static [Sql],
    joined: OnceLock<String>,
}

impl Script {
    pub const fn new(statements: &'static [Sql]) -> Self {
        Self { statements, joined: OnceLock::new() }
    }

    /// All statements for SQLite, which runs them one by one without coming back in between, after
    /// `first` or before `last`. A script has one of the two for ever.
    pub(super) fn joined(&'static self, first: Option<&str>, last: Option<&str>) -> &'static str {
        self.joined.get_or_init(|| {
            let own = self.statements.iter().map(|sql| sql.sqlite);
            first.into_iter().chain(own).chain(last).collect::<Vec<_>>().join(";\n")
        })
    }
}
