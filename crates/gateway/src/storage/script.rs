//! Statements that are asked one after the other, each about a list.

use std::sync::OnceLock;

use serde::Serialize;

use super::{Sql, StorageError, Value};

/// What one statement of a script is about: a list in JSON, written as it grows.
#[derive(Debug, Default)]
pub(crate) struct List(Vec<u8>);

impl List {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn push(&mut self, item: &impl Serialize) -> Result<(), StorageError> {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
        serde_json::to_writer(&mut self.0, item)
            .map_err(|_| StorageError::Shape("what JSON cannot say"))
    }

    /// All of it, to be bound.
    pub(super) fn value(mut self) -> Value {
        self.0.extend(if self.0.is_empty() { &b"[]"[..] } else { b"]" });
        // JSON is text.
        Value::Text(String::from_utf8(self.0).unwrap_or_default())
    }
}

/// A field of a row in a list.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Field<'a> {
    Int(i64),
    Count(u64),
    Text(&'a str),
}

impl From<i64> for Field<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Field<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<u64> for Field<'_> {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

/// Fields of several kinds, in order.
macro_rules! fields {
    ($($value:expr),* $(,)?) => {
        [$($crate::storage::Field::from($value)),*]
    };
}
pub(crate) use fields;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_json() {
        let mut list = List::default();
        assert!(list.is_empty());
        assert_eq!(List::default().value(), Value::from("[]"));
        list.push(&fields!["a\"b", -7_i64, true, 9_u64]).unwrap();
        list.push(&3_i64).unwrap();
        assert!(!list.is_empty());
        assert_eq!(list.value(), Value::from(r#"[["a\"b",-7,1,9],3]"#));
    }
}
