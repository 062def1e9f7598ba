//! Reading a JSON object field by field, with errors that name the field.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::error::InvalidRequest;

/// An object of a request and where it stands in it. A field that is `null` counts as absent:
/// clients send `null` for what they leave to the server.
pub(crate) struct Fields<'a> {
    values: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// The object `value`, found at `path` (empty for the body itself).
    pub(crate) fn of(value: &'a Value, path: impl Into<String>) -> Result<Self, InvalidRequest> {
        let path = path.into();
        match value {
            Value::Object(values) => Ok(Self { values, path }),
            _ if path.is_empty() => Err(InvalidRequest {
                message: format!(
                    "Invalid body: expected an object, but got {} instead.",
                    type_name(value)
                ),
                param: None,
                code: Some("invalid_type"),
            }),
            _ => Err(InvalidRequest::wrong_type(path, "an object", type_name(value))),
        }
    }

    /// The path of the field `name`.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The names that are present, in the order of the request.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.values.iter().filter(|(_, value)| !value.is_null()).map(|(name, v)| (name.as_str(), v))
    }

    /// Refuses a field whose name is in none of `lists`: nothing is accepted and then ignored.
    pub(crate) fn known(&self, lists: &[&[&str]]) -> Result<(), InvalidRequest> {
        let unknown = |name: &&str| !lists.iter().any(|list| list.contains(name));
        match self.iter().map(|(name, _)| name).find(unknown) {
            Some(name) => Err(InvalidRequest::unknown(self.path(name))),
            None => Ok(()),
        }
    }

    /// A field, if present.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A field that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&'a Value, InvalidRequest> {
        self.get(name).ok_or_else(|| InvalidRequest::missing(self.path(name)))
    }

    /// A string, if present.
    pub(crate) fn string(&self, name: &str) -> Result<Option<&'a str>, InvalidRequest> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A boolean, if present.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, InvalidRequest> {
        self.typed(name, "a boolean", Value::as_bool)
    }

    /// A list, if present.
    pub(crate) fn array(&self, name: &str) -> Result<Option<&'a Vec<Value>>, InvalidRequest> {
        self.typed(name, "an array", Value::as_array)
    }

    /// An object, if present.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, InvalidRequest> {
        self.get(name).map(|value| Fields::of(value, self.path(name))).transpose()
    }

    /// A number within `range`, if present.
    pub(crate) fn decimal(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<f32>, InvalidRequest> {
        let Some(value) = self.typed(name, "a decimal", Value::as_f64)? else { return Ok(None) };
        if !range.contains(&value) {
            return Err(InvalidRequest::value(self.path(name), out_of_range(&value, &range)));
        }
        Ok(Some(value as f32))
    }

    /// A whole number within `range`, if present.
    pub(crate) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<i64>, InvalidRequest> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let Some(number) = value.as_i64() else {
            return Err(if value.is_u64() {
                InvalidRequest::value(self.path(name), out_of_range(value, &range))
            } else {
                InvalidRequest::wrong_type(self.path(name), "an integer", type_name(value))
            });
        };
        if !range.contains(&number) {
            return Err(InvalidRequest::value(self.path(name), out_of_range(&number, &range)));
        }
        Ok(Some(number))
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, InvalidRequest> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(InvalidRequest::wrong_type(self.path(name), expected, type_name(value))),
        }
    }
}

/// The problem with a number outside of `range`.
fn out_of_range<T: std::fmt::Display>(
    value: &impl std::fmt::Display,
    range: &RangeInclusive<T>,
) -> String {
    format!("expected a value from {} to {}, but got {value} instead.", range.start(), range.end())
}

/// The most characters of a name.
pub(crate) const NAME_LENGTH_MAX: usize = 64;

/// Checks the name of a tool or a form found at `path`.
pub(crate) fn check_name(name: &str, path: String) -> Result<(), InvalidRequest> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > NAME_LENGTH_MAX || !name.bytes().all(allowed) {
        return Err(InvalidRequest::value(
            path,
            format_args!(
                "expected 1 to {NAME_LENGTH_MAX} of the characters a-z, A-Z, 0-9, '_' and '-'."
            ),
        ));
    }
    Ok(())
}

/// What `value` is, with its article.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
