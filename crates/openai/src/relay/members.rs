//! A JSON object with its values left unread.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of an object, in order. No name stands twice: two parsers would take different ones,
/// and what was checked would not be what is answered.
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// Reads an object.
    pub fn read(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }

    /// The value of `name`, as it was written.
    pub fn raw(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// The value of `name` where it is a `T`.
    pub fn get<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// The object again, with `changes`: a new value in the old place, or at the end; `None` takes
    /// the member out.
    pub fn with(&self, changes: &[(&str, Option<String>)]) -> Vec<u8> {
        let mut out = vec![b'{'];
        let mut put = |name: &str, value: &str| {
            if out.len() > 1 {
                out.push(b',');
            }
            // Writing a string into memory does not fail.
            let _ = serde_json::to_writer(&mut out, name);
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        };
        for (name, value) in &self.0 {
            match changes.iter().find(|(changed, _)| changed == name) {
                None => put(name, value.get()),
                Some((_, Some(new))) => put(name, new),
                Some((_, None)) => {}
            }
        }
        for (name, value) in changes {
            if let (None, Some(value)) = (self.raw(name), value) {
                put(name, value);
            }
        }
        out.push(b'}');
        out
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            if members.len() == MEMBERS_MAX {
                return Err(A::Error::custom("too many members"));
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(A::Error::custom(format_args!("'{name}' stands twice")));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

/// No object of the API has nearly as many; bounds the search for doubles.
const MEMBERS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_else_stays_as_it_is_written() {
        let json = br#"{ "a" : 1.50e0, "b":{"x":[1, 2]} ,"c":null}"#;
        let members = Members::read(json).unwrap();
        let changed = members.with(&[("b", Some("true".into())), ("d", Some("2".into()))]);
        assert_eq!(changed, br#"{"a":1.50e0,"b":true,"c":null,"d":2}"#);
        assert_eq!(members.with(&[("a", None), ("z", None)]), br#"{"b":{"x":[1, 2]},"c":null}"#);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_however_it_is_spelt() {
        assert!(Members::read(br#"{"model":"a","model":"b"}"#).is_err());
        assert!(Members::read(br#"{"model":"a","mod\u0065l":"b"}"#).is_err());
        assert!(Members::read(br#"{"model":"a","Model":"b"}"#).is_ok());
        assert!(Members::read(b"[1]").is_err());
    }
}
