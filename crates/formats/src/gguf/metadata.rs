use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::value::{Array, Kind, Value};
use crate::Error;

/// The keys and values of a GGUF file, in file order.
///
/// Getters return `Ok(None)` when the key is absent and an error when it holds another kind of
/// value; [`Metadata::required`] turns absence into an error too:
///
/// ```
/// # use phial_formats::gguf::Metadata;
/// # fn main() -> Result<(), phial_formats::Error> {
/// let mut metadata = Metadata::default();
/// metadata.set("phi3.block_count", 32_u32);
/// assert_eq!(metadata.required("phi3.block_count", Metadata::usize)?, 32);
/// assert_eq!(metadata.f32("phi3.rope.freq_base")?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The file, for messages.
    path: PathBuf,
    entries: Vec<(String, Value)>,
    by_key: HashMap<String, usize>,
}

impl Metadata {
    pub(super) fn of_file(path: &Path) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Keys and values in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key, whatever its kind.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&index| &self.entries[index].1)
    }

    /// Gives a key a value, in the place of its old one or at the end.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        match self.by_key.get(key) {
            Some(&index) => self.entries[index].1 = value.into(),
            None => {
                self.by_key.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), value.into()));
            }
        }
    }

    /// Removes every key for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.entries.retain(|(key, _)| keep(key));
        self.by_key =
            self.entries.iter().enumerate().map(|(index, (key, _))| (key.clone(), index)).collect();
    }

    /// The value that a getter finds, or an error that names the missing key.
    ///
    /// # Errors
    /// When the key is absent or of another kind.
    pub fn required<'a, T>(
        &'a self,
        key: &str,
        getter: impl FnOnce(&'a Self, &str) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        getter(self, key)?.ok_or_else(|| self.error(key, "is missing"))
    }

    /// A string.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub fn str(&self, key: &str) -> Result<Option<&str>, Error> {
        self.find(key, "a string", |value| match value {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A boolean.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.find(key, "a boolean", |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    /// A whole number of any width that is not negative.
    ///
    /// # Errors
    /// When the value is of another kind or does not fit.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        self.find(key, "a whole number from 0", |value| value.integer()?.try_into().ok())
    }

    /// A whole number of any width that fits in `u32`: a token id.
    ///
    /// # Errors
    /// When the value is of another kind or does not fit.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        self.find(key, "a whole number below 2^32", |value| value.integer()?.try_into().ok())
    }

    /// A whole number of any width that fits in `usize`: a size or a count.
    ///
    /// # Errors
    /// When the value is of another kind or does not fit.
    pub fn usize(&self, key: &str) -> Result<Option<usize>, Error> {
        self.find(key, "a size", |value| value.integer()?.try_into().ok())
    }

    /// A float of either width, rounded to f32.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.find(key, "a float", float)
    }

    /// An array of strings, borrowed from the file.
    ///
    /// # Errors
    /// When the value is of another kind or a string is not UTF-8.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>, Error> {
        let Some(array) = self.array(key, "an array of strings", |kind| kind == Kind::Str)? else {
            return Ok(None);
        };
        let mut texts = Vec::with_capacity(array.len());
        for (index, text) in array.texts().enumerate() {
            match str::from_utf8(text) {
                Ok(text) => texts.push(text),
                Err(_) => return Err(self.error(key, &format!("has no UTF-8 at index {index}"))),
            }
        }
        Ok(Some(texts))
    }

    /// An array of whole numbers of any width that fit in `i32`.
    ///
    /// # Errors
    /// When the value is of another kind or an element does not fit.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i32>>, Error> {
        self.numbers(key, "an array of 32-bit whole numbers", |value| {
            value.integer()?.try_into().ok()
        })
    }

    /// An array of whole numbers of any width that fit in `u32`.
    ///
    /// # Errors
    /// When the value is of another kind or an element does not fit.
    pub fn u32s(&self, key: &str) -> Result<Option<Vec<u32>>, Error> {
        self.numbers(key, "an array of whole numbers below 2^32", |value| {
            value.integer()?.try_into().ok()
        })
    }

    /// An array of floats of either width, rounded to f32.
    ///
    /// # Errors
    /// When the value is of another kind.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, Error> {
        self.numbers(key, "an array of floats", float)
    }

    fn numbers<T>(
        &self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        let Some(array) = self.array(key, wanted, |kind| kind != Kind::Str)? else {
            return Ok(None);
        };
        let numbers: Option<Vec<T>> = array.values().map(|value| convert(&value)).collect();
        numbers.map(Some).ok_or_else(|| self.error(key, &format!("is not {wanted}")))
    }

    fn array(
        &self,
        key: &str,
        wanted: &str,
        fits: impl Fn(Kind) -> bool,
    ) -> Result<Option<&Array>, Error> {
        self.find(key, wanted, |value| match value {
            Value::Array(array) if fits(array.kind()) => Some(array),
            _ => None,
        })
    }

    fn find<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => {
                let problem = format!("holds {}, not {wanted}", value.describe());
                Err(self.error(key, &problem))
            }
        }
    }

    fn error(&self, key: &str, problem: &str) -> Error {
        let (path, key) = (self.path.clone(), key.to_owned());
        Error::Metadata { path, key, problem: problem.to_owned() }
    }
}

fn float(value: &Value) -> Option<f32> {
    match *value {
        Value::F32(value) => Some(value),
        Value::F64(value) => Some(value as f32),
        _ => None,
    }
}
