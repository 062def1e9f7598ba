//! What goes into a statement and comes out of it.

use super::StorageError;

/// A bound value or a column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Values of several kinds to bind, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::storage::Value::from($value)),*]
    };
}
pub(crate) use values;

/// A row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row(pub Vec<Value>);

impl Row {
    /// Its columns, to be taken in the order in which the statement names them.
    pub fn columns(self) -> Columns {
        Columns(self.0.into_iter())
    }
}

pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    pub fn int(&mut self) -> Result<i64, StorageError> {
        match self.0.next() {
            Some(Value::Int(value)) => Ok(value),
            Some(Value::Text(_)) => Err(StorageError::Shape("text")),
            None => Err(StorageError::Shape("too few columns")),
        }
    }

    pub fn text(&mut self) -> Result<String, StorageError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            Some(Value::Int(_)) => Err(StorageError::Shape("a number")),
            None => Err(StorageError::Shape("too few columns")),
        }
    }

    pub fn yes(&mut self) -> Result<bool, StorageError> {
        self.int().map(|value| value != 0)
    }
}
