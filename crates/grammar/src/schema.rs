//! JSON Schema: what of it is enforced, and how it is said to the library.
//!
//! The library takes keywords that it does not know for annotations, ignores others by draft, and
//! has bounds that it gets wrong. So every schema is read here first, keyword by keyword: what is
//! known to be enforced is written anew, in one form, and everything else is refused by name.

mod explain;
mod formats;
mod keywords;
mod numbers;
mod reader;
mod references;

use serde_json::{Map, Value, json};

use crate::limits::SCHEMA_BYTES_MAX;
use crate::refused::Refused;
use crate::source::Source;
use reader::Reader;

/// White space of JSON text, always bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whitespace {
    /// `, ` and `: `, nothing else: most of the text is forced.
    Fixed,
    /// Between any two tokens one space, or a line break and what may be an indentation.
    Indented,
}

/// What becomes of values that a schema says nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// Their numbers are bounded like those that it speaks of: the library would write `1e400`,
    /// which is JSON and for most readers infinite.
    Bounded,
    /// They are any JSON. For schemas that the library can take only so: it joins schemas part by
    /// part, and two that describe any JSON, each by itself, have no last part.
    Open,
}

/// The schema as the library is given it.
pub(crate) fn enforced(
    schema: &Value,
    whitespace: Whitespace,
    unsaid: Unsaid,
) -> Result<Value, Refused> {
    let mut enforced = Reader::new(schema, unsaid).read()?;
    // No schema of somebody else's gets here: the reader writes none.
    enforced.insert("x-guidance".to_owned(), options(whitespace));
    within_bytes(&enforced)?;
    Ok(Value::Object(enforced))
}

/// The schema, with objects being all that is valid.
pub(crate) fn enforced_object(schema: &Value, unsaid: Unsaid) -> Result<Value, Refused> {
    let mut enforced = Reader::new(schema, unsaid).read()?;
    let definitions = enforced.shift_remove("$defs");
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("allOf".to_owned(), json!([enforced]));
    object.extend(definitions.map(|definitions| ("$defs".to_owned(), definitions)));
    object.insert("x-guidance".to_owned(), options(Whitespace::Fixed));
    within_bytes(&object)?;
    Ok(Value::Object(object))
}

/// References within multiply what is written; the library's cost grows with it.
fn within_bytes(schema: &Map<String, Value>) -> Result<(), Refused> {
    let bytes = serde_json::to_string(schema).map_or(usize::MAX, |text| text.len());
    if bytes > 4 * SCHEMA_BYTES_MAX {
        return Err(Refused::keyword_at("", "", "it is too large once references are resolved"));
    }
    Ok(())
}

fn options(whitespace: Whitespace) -> Value {
    // Without `\u` every text has one spelling, and a key cannot come twice in two of them.
    let escapes = "nrbtf\\\"";
    match whitespace {
        Whitespace::Fixed => json!({
            "item_separator": ", ",
            "key_separator": ": ",
            "whitespace_flexible": false,
            "json_allowed_escapes": escapes,
        }),
        Whitespace::Indented => json!({
            "whitespace_pattern": " |\\r?\\n(?: {0,48}|\\t{0,24})",
            "json_allowed_escapes": escapes,
        }),
    }
}

/// Finds the place that a schema was refused for, which the library does not tell: the smallest
/// schema within that is refused as well. `compile` tries one out.
pub(crate) fn explain(
    root: &Value,
    refused: Refused,
    compile: &dyn Fn(Source) -> Option<Refused>,
) -> Refused {
    explain::explain(root, refused, compile)
}
