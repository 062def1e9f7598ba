//! Reading a schema, keyword by keyword.

use serde_json::{Map, Value, json};

use super::Unsaid;
use super::formats::{Format, format};
use super::keywords::{ANNOTATIONS, NOT_ENFORCED, TYPES, says_nothing};
use super::numbers::{Bounds, Multiples, format_bounds};
use super::references::{References, definition_name, escaped};
use crate::limits::{LENGTH_MAX, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SUBSCHEMAS_MAX};
use crate::pattern;
use crate::refused::Refused;

/// A place in the schema: a JSON Pointer and how deep it is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) pointer: String,
    depth: usize,
}

impl Place {
    pub(super) fn at(pointer: &str) -> Self {
        Self { pointer: pointer.to_owned(), depth: 0 }
    }

    fn child(&self, keys: &[&str]) -> Self {
        let mut pointer = self.pointer.clone();
        for key in keys {
            pointer.push('/');
            pointer.push_str(&escaped(key));
        }
        Self { pointer, depth: self.depth + 1 }
    }

    /// Refuses a keyword of the schema at this place.
    fn refuse(&self, keyword: &str, reason: impl Into<String>) -> Refused {
        Refused::keyword_at(keyword, self.child(&[keyword]).pointer, reason)
    }
}

/// Writes a schema anew with only what is enforced.
pub(super) struct Reader<'s> {
    root: &'s Value,
    entry: String,
    references: References<'s>,
    multiples: Multiples,
    schemas: usize,
    unsaid: Unsaid,
    /// Whether something refers to [`ANY`].
    refers_to_any: bool,
}

impl<'s> Reader<'s> {
    pub(super) fn new(root: &'s Value, unsaid: Unsaid) -> Self {
        Self { unsaid, ..Self::from(root, "") }
    }

    /// For the schema at `entry` within `root`.
    pub(super) fn from(root: &'s Value, entry: &str) -> Self {
        Self {
            root,
            entry: entry.to_owned(),
            references: References::new(root),
            multiples: Multiples::default(),
            schemas: 0,
            unsaid: Unsaid::Open,
            refers_to_any: false,
        }
    }

    pub(super) fn read(mut self) -> Result<Map<String, Value>, Refused> {
        let place = Place::at(&self.entry);
        let root = self.root.pointer(&self.entry).unwrap_or(&Value::Null);
        check_size(root, &place)?;
        let mut written = match self.schema(root, &place)? {
            Value::Object(written) => written,
            Value::Bool(true) => Map::new(),
            _ => return Err(Refused::keyword_at("", &self.entry, "nothing is valid against it")),
        };
        // Definitions are read one after another, so references nest no calls here.
        let mut definitions = Map::new();
        while let Some((pointer, target)) = self.references.target(definitions.len()) {
            let place = Place::at(pointer);
            let name = definition_name(definitions.len());
            let definition = self.schema(target, &place)?;
            definitions.insert(name, definition);
        }
        if self.refers_to_any {
            definitions.insert(ANY.to_owned(), any_value());
        }
        if !definitions.is_empty() {
            written.insert("$defs".to_owned(), Value::Object(definitions));
        }
        Ok(written)
    }

    fn schema(&mut self, schema: &Value, place: &Place) -> Result<Value, Refused> {
        self.schemas += 1;
        let too_large = |reason: String| Err(Refused::keyword_at("", &place.pointer, reason));
        if self.schemas > SUBSCHEMAS_MAX {
            return too_large(format!("more than {SUBSCHEMAS_MAX} schemas within one"));
        }
        if place.depth > SCHEMA_DEPTH_MAX {
            return too_large(format!("schemas nest deeper than {SCHEMA_DEPTH_MAX}"));
        }
        match schema {
            Value::Bool(true) => self.object(&Map::new(), place),
            Value::Bool(false) => Ok(schema.clone()),
            Value::Object(schema) => self.object(schema, place),
            _ => too_large("a schema is an object, true or false".to_owned()),
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, place: &Place) -> Result<Value, Refused> {
        check_keywords(schema, place)?;
        let mut written = Map::new();
        types(schema, place, &mut written)?;
        numbers(schema, place, &mut self.multiples, &mut written)?;
        strings(schema, place, &mut written)?;
        self.arrays(schema, place, &mut written)?;
        self.properties(schema, place, &mut written)?;
        values(schema, place, &mut written)?;
        // The library narrows step by step: what stands for itself first, schemas within last.
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(value) = schema.get(keyword) else { continue };
            let list = self.list(value, keyword, place)?;
            if list.is_empty() {
                return Err(place.refuse(keyword, "it is an empty list"));
            }
            match written.get_mut(keyword) {
                Some(Value::Array(present)) => present.extend(list),
                _ => drop(written.insert(keyword.to_owned(), Value::Array(list))),
            }
        }
        if let Some(reference) = schema.get("$ref") {
            let Some(text) = reference.as_str() else {
                return Err(place.refuse("$ref", "it is not a string"));
            };
            let index = self.references.resolve(text, &place.child(&["$ref"]).pointer)?;
            let target = format!("#/$defs/{}", definition_name(index));
            written.insert("$ref".to_owned(), target.into());
        }
        if self.unsaid == Unsaid::Bounded {
            self.bound_unsaid(&mut written);
        }
        Ok(Value::Object(written))
    }

    /// Bounds the numbers of values that a schema says nothing about. What `enum`, references or
    /// schemas within say holds for them already.
    fn bound_unsaid(&mut self, written: &mut Map<String, Value>) {
        let elsewhere = ["$ref", "allOf", "anyOf", "const", "enum", "oneOf"];
        if elsewhere.iter().any(|keyword| written.contains_key(*keyword)) {
            return;
        }
        let may_be = |name: &str| match written.get("type") {
            None => true,
            Some(Value::Array(list)) => list.iter().any(|one| one == name),
            Some(one) => one == name,
        };
        let (array, object) = (may_be("array"), may_be("object"));
        if !written.contains_key("type") && !written.contains_key("multipleOf") {
            let mut bounds = Bounds {
                minimum: written.get("minimum").and_then(Value::as_f64),
                maximum: written.get("maximum").and_then(Value::as_f64),
            };
            bounds.keep_exact(0);
            bounds.write(written);
        }
        let any = || json!({ "$ref": format!("#/$defs/{ANY}") });
        for (applies, keyword) in [(array, "items"), (object, "additionalProperties")] {
            if applies && !written.contains_key(keyword) {
                written.insert(keyword.to_owned(), any());
                self.refers_to_any = true;
            }
        }
    }

    /// A list of schemas.
    fn list(&mut self, value: &Value, keyword: &str, place: &Place) -> Result<Vec<Value>, Refused> {
        let Some(list) = value.as_array() else {
            return Err(place.refuse(keyword, "it is not a list of schemas"));
        };
        let read = |(index, schema): (usize, &Value)| {
            self.schema(schema, &place.child(&[keyword, &index.to_string()]))
        };
        list.iter().enumerate().map(read).collect()
    }

    /// Arrays, in the words of draft 2020-12.
    fn arrays(
        &mut self,
        schema: &Map<String, Value>,
        place: &Place,
        written: &mut Map<String, Value>,
    ) -> Result<(), Refused> {
        let (first, rest) = match schema.get("items") {
            Some(Value::Array(_)) => (Some("items"), "additionalItems"),
            _ => (schema.contains_key("prefixItems").then_some("prefixItems"), "items"),
        };
        if first == Some("items") && schema.contains_key("prefixItems") {
            return Err(place.refuse("prefixItems", "items is a list of schemas already"));
        }
        if let Some(keyword) = first {
            let list = self.list(&schema[keyword], keyword, place)?;
            written.insert("prefixItems".to_owned(), Value::Array(list));
        }
        if let Some(value) = schema.get(rest) {
            let items = self.schema(value, &place.child(&[rest]))?;
            written.insert("items".to_owned(), items);
        }
        counts(schema, ["minItems", "maxItems"], place, written)
    }

    fn properties(
        &mut self,
        schema: &Map<String, Value>,
        place: &Place,
        written: &mut Map<String, Value>,
    ) -> Result<(), Refused> {
        for keyword in ["properties", "patternProperties"] {
            let Some(value) = schema.get(keyword) else { continue };
            let Some(map) = value.as_object() else {
                return Err(place.refuse(keyword, "it is not an object"));
            };
            let mut schemas = Map::new();
            for (name, value) in map {
                let place = place.child(&[keyword, name]);
                let refuse = |reason| Refused::keyword_at(keyword, &place.pointer, reason);
                let name = match keyword {
                    "properties" => name.clone(),
                    _ => pattern::enforced(name).map_err(refuse)?,
                };
                schemas.insert(name, self.schema(value, &place)?);
            }
            written.insert(keyword.to_owned(), Value::Object(schemas));
        }
        if let Some(value) = schema.get("additionalProperties") {
            let additional = self.schema(value, &place.child(&["additionalProperties"]))?;
            written.insert("additionalProperties".to_owned(), additional);
        }
        let required = required(schema, place)?;
        counts(schema, ["minProperties", "maxProperties"], place, written)?;
        if written.get("minProperties").and_then(Value::as_u64) > Some(required as u64 + 1) {
            // Keys may come twice, and count once.
            let reason = format!("only one property beyond the {required} required is enforced");
            return Err(place.refuse("minProperties", reason));
        }
        if let Some(list) = schema.get("required") {
            written.insert("required".to_owned(), list.clone());
        }
        Ok(())
    }
}

/// The name of the definition of any JSON value.
const ANY: &str = "any";

/// Any JSON value with numbers that every reader takes.
fn any_value() -> Value {
    let any = json!({ "$ref": format!("#/$defs/{ANY}") });
    let mut value = Map::new();
    let mut bounds = Bounds::default();
    bounds.keep_exact(0);
    bounds.write(&mut value);
    value.insert("items".to_owned(), any.clone());
    value.insert("additionalProperties".to_owned(), any);
    Value::Object(value)
}

/// Refuses keywords that nothing is known about, or known not to be enforced.
fn check_keywords(schema: &Map<String, Value>, place: &Place) -> Result<(), Refused> {
    for (keyword, value) in schema {
        let keyword = keyword.as_str();
        if NOT_ENFORCED.contains(&keyword) && !says_nothing(keyword, value) {
            return Err(place.refuse(keyword, "this keyword is not enforced"));
        }
        let is_extension = keyword.starts_with("x-") && keyword != "x-guidance";
        let is_known = ENFORCED.contains(&keyword)
            || ANNOTATIONS.contains(&keyword)
            || NOT_ENFORCED.contains(&keyword)
            || is_extension;
        if !is_known {
            return Err(place.refuse(keyword, "this is not a keyword that is enforced"));
        }
        // Inside, it would change what references mean.
        if matches!(keyword, "$id" | "id") && !place.pointer.is_empty() {
            return Err(place.refuse(keyword, "it is supported for the whole schema only"));
        }
    }
    Ok(())
}

/// Read below.
pub(super) const ENFORCED: &[&str] = &[
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "required",
    "type",
];

fn check_size(schema: &Value, place: &Place) -> Result<(), Refused> {
    let bytes = serde_json::to_string(schema).map_or(usize::MAX, |text| text.len());
    if bytes > SCHEMA_BYTES_MAX {
        let reason = format!("it has {bytes} bytes; the limit is {SCHEMA_BYTES_MAX}");
        return Err(Refused::keyword_at("", &place.pointer, reason));
    }
    Ok(())
}

fn types(
    schema: &Map<String, Value>,
    place: &Place,
    written: &mut Map<String, Value>,
) -> Result<(), Refused> {
    let Some(value) = schema.get("type") else { return Ok(()) };
    let known = |one: &Value| one.as_str().is_some_and(|name| TYPES.contains(&name));
    let valid = match value {
        Value::Array(list) => !list.is_empty() && list.iter().all(known),
        one => known(one),
    };
    if !valid {
        return Err(place.refuse("type", format!("{value} is not a type or a list of types")));
    }
    written.insert("type".to_owned(), value.clone());
    Ok(())
}

fn numbers(
    schema: &Map<String, Value>,
    place: &Place,
    multiples: &mut Multiples,
    written: &mut Map<String, Value>,
) -> Result<(), Refused> {
    let mut bounds = Bounds::read(schema, &place.pointer)?;
    if let Some(of_format) = schema.get("format").and_then(Value::as_str).and_then(format_bounds) {
        bounds.intersect(of_format);
    }
    let is_type = |name: &str| match schema.get("type") {
        Some(Value::Array(list)) => list.iter().any(|one| one == name),
        one => one.is_some_and(|one| one == name),
    };
    if let Some(value) = schema.get("multipleOf") {
        let value = multiples.read(value, &place.child(&["multipleOf"]).pointer)?;
        written.insert("multipleOf".to_owned(), value);
        bounds.keep_exact(multiples.places);
    } else if is_type("integer") || is_type("number") {
        bounds.keep_exact(0);
    }
    bounds.write(written);
    Ok(())
}

fn strings(
    schema: &Map<String, Value>,
    place: &Place,
    written: &mut Map<String, Value>,
) -> Result<(), Refused> {
    counts(schema, ["minLength", "maxLength"], place, written)?;
    let mut patterns = Vec::new();
    if let Some(value) = schema.get("pattern") {
        let Some(text) = value.as_str() else {
            return Err(place.refuse("pattern", "it is not a string"));
        };
        patterns.push(pattern::enforced(text).map_err(|reason| place.refuse("pattern", reason))?);
    }
    if let Some(value) = schema.get("format") {
        let name = value.as_str().unwrap_or_default();
        match format(name) {
            Some(Format::Pattern(pattern)) => patterns.push(pattern),
            Some(Format::Annotation) => {}
            None if format_bounds(name).is_some() => {}
            None => {
                return Err(place.refuse("format", format!("the format {value} is not enforced")));
            }
        }
    }
    let mut patterns = patterns.into_iter();
    if let Some(first) = patterns.next() {
        written.insert("pattern".to_owned(), first.into());
    }
    // Two patterns cannot stand side by side.
    let more: Vec<Value> = patterns.map(|pattern| json!({ "pattern": pattern })).collect();
    if !more.is_empty() {
        written.insert("allOf".to_owned(), more.into());
    }
    Ok(())
}

/// A lower and an upper bound of a count.
fn counts(
    schema: &Map<String, Value>,
    [lower, upper]: [&str; 2],
    place: &Place,
    written: &mut Map<String, Value>,
) -> Result<(), Refused> {
    let read = |keyword: &str| match schema.get(keyword) {
        None => Ok(None),
        Some(value) => match whole(value) {
            Some(count) => Ok(Some(count)),
            None => Err(place.refuse(keyword, format!("{value} is not a count"))),
        },
    };
    if let Some(least) = read(lower)? {
        if least > LENGTH_MAX {
            return Err(place.refuse(lower, format!("it is {least}; the limit is {LENGTH_MAX}")));
        }
        written.insert(lower.to_owned(), least.into());
    }
    if let Some(most) = read(upper)? {
        written.insert(upper.to_owned(), most.min(LENGTH_MAX).into());
    }
    Ok(())
}

/// A count; `3.0` is one too.
fn whole(value: &Value) -> Option<u64> {
    let from_float = |number: f64| {
        (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
    };
    value.as_u64().or_else(|| value.as_f64().and_then(from_float))
}

/// How many different properties are required.
fn required(schema: &Map<String, Value>, place: &Place) -> Result<usize, Refused> {
    let Some(value) = schema.get("required") else { return Ok(0) };
    let list = value.as_array().filter(|list| list.iter().all(Value::is_string));
    let Some(list) = list else {
        return Err(place.refuse("required", "it is not a list of names"));
    };
    let names: std::collections::BTreeSet<_> = list.iter().filter_map(Value::as_str).collect();
    Ok(names.len())
}

/// `enum` and `const`.
fn values(
    schema: &Map<String, Value>,
    place: &Place,
    written: &mut Map<String, Value>,
) -> Result<(), Refused> {
    if let Some(value) = schema.get("enum") {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            return Err(place.refuse("enum", "it is not a list of values"));
        };
        let list = list.iter().map(|value| constant(value, "enum", place, 0));
        written.insert("enum".to_owned(), list.collect::<Result<_, _>>()?);
    }
    if let Some(value) = schema.get("const") {
        written.insert("const".to_owned(), constant(value, "const", place, 0)?);
    }
    Ok(())
}

/// A value that is written exactly as it is.
fn constant(value: &Value, keyword: &str, place: &Place, depth: usize) -> Result<Value, Refused> {
    let refuse = |reason: String| Err(place.refuse(keyword, reason));
    if depth > SCHEMA_DEPTH_MAX {
        return refuse(format!("values nest deeper than {SCHEMA_DEPTH_MAX}"));
    }
    match value {
        Value::Null | Value::Bool(_) => Ok(value.clone()),
        Value::Number(number) => match exact(number) {
            Some(exact) => Ok(exact),
            None => refuse(format!("{number} has more digits than are enforced")),
        },
        Value::String(text) => match text.chars().find(|one| !is_written(*one)) {
            None => Ok(value.clone()),
            Some(control) => refuse(format!("the control character {control:?} is not written")),
        },
        Value::Array(list) => {
            list.iter().map(|value| constant(value, keyword, place, depth + 1)).collect()
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), constant(value, keyword, place, depth + 1)?)))
            .collect::<Result<Map<_, _>, _>>()
            .map(Value::Object),
    }
}

/// Whether strings can hold the character: all but control characters without a short escape.
fn is_written(character: char) -> bool {
    !character.is_ascii_control() || matches!(character, '\n' | '\r' | '\t' | '\u{8}' | '\u{c}')
}

/// A number that the library writes with all its digits.
fn exact(number: &serde_json::Number) -> Option<Value> {
    const EXACT_MAX: i64 = 1 << 53;
    const DIGITS_MAX: usize = 40;
    if let Some(whole) = number.as_i64() {
        return (-EXACT_MAX..=EXACT_MAX).contains(&whole).then(|| whole.into());
    }
    let float = number.as_f64().filter(|_| number.is_f64())?;
    if float.fract() == 0.0 {
        return (float.abs() <= EXACT_MAX as f64).then(|| (float as i64).into());
    }
    (float.is_finite() && float.to_string().len() <= DIGITS_MAX).then(|| float.into())
}
