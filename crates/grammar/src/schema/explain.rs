//! Finding the place in a schema that the library refused without telling.

use serde_json::{Map, Value};

use super::reader::{ENFORCED, Reader};
use super::references::{References, escaped};
use crate::refused::Refused;
use crate::source::Source;

/// See [`super::explain`].
pub(super) fn explain(
    root: &Value,
    mut refused: Refused,
    compile: &dyn Fn(Source) -> Option<Refused>,
) -> Refused {
    /// Each attempt is a compilation, of a part of what was just refused.
    const ATTEMPTS_MAX: usize = 48;
    let mut place = String::new();
    let mut attempts = 0;
    let mut seen = vec![String::new()];
    'deeper: loop {
        let parts = parts(root, &place);
        for part in parts {
            if seen.contains(&part) || attempts == ATTEMPTS_MAX {
                continue;
            }
            seen.push(part.clone());
            attempts += 1;
            let Ok(mut schema) = Reader::from(root, &part).read() else { continue };
            let options = super::options(super::Whitespace::Fixed);
            schema.insert("x-guidance".to_owned(), options);
            if let Some(inner) = compile(Source::Schema(Value::Object(schema))) {
                (refused, place) = (inner, part);
                continue 'deeper;
            }
        }
        break;
    }
    let keyword = root.pointer(&place).and_then(|schema| guilty(schema, refused.reason()));
    let pointer = match keyword {
        Some(keyword) => format!("{place}/{}", escaped(keyword)),
        None => place,
    };
    Refused::keyword_at(keyword.unwrap_or_default(), pointer, refused.reason())
}

/// Pointers to the schemas directly within the one at `place`.
fn parts(root: &Value, place: &str) -> Vec<String> {
    let Some(schema) = root.pointer(place).and_then(Value::as_object) else { return Vec::new() };
    let mut parts = Vec::new();
    for (keyword, value) in schema {
        let here = format!("{place}/{keyword}");
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(map)) => {
                parts.extend(map.keys().map(|key| format!("{here}/{}", escaped(key))));
            }
            ("items" | "prefixItems" | "allOf" | "anyOf" | "oneOf", Value::Array(list)) => {
                parts.extend((0..list.len()).map(|index| format!("{here}/{index}")));
            }
            ("items" | "additionalItems" | "additionalProperties", Value::Object(_)) => {
                parts.push(here);
            }
            ("$ref", Value::String(reference)) => {
                let mut references = References::new(root);
                let found = references.resolve(reference, "");
                let target = found.ok().and_then(|index| references.target(index));
                parts.extend(target.map(|(pointer, _)| pointer.to_owned()));
            }
            _ => {}
        }
    }
    parts
}

/// The keyword of a schema that the library's words are about.
fn guilty<'s>(schema: &'s Value, reason: &str) -> Option<&'s str> {
    let keywords = || schema.as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let is_paraphrased = |keyword: &&str| match *keyword {
        "patternProperties" => reason.contains("patternProperty"),
        "minProperties" | "maxProperties" => reason.contains("min/maxProperties"),
        _ => false,
    };
    // Words that are in everything that is said.
    let is_vague = |keyword: &str| matches!(keyword, "type" | "items" | "properties");
    let is_named = |keyword: &&str| !is_vague(keyword) && reason.contains(*keyword);
    let by_name = keywords().find(is_paraphrased).or_else(|| keywords().find(is_named));
    // Nothing is said about which of several contradict each other: the last one that constrains.
    by_name.or_else(|| keywords().rfind(|keyword| ENFORCED.contains(keyword)))
}
