//! What each keyword of JSON Schema means here.

/// Say nothing about what is valid. `readOnly`, `contentEncoding` and the like are annotations in
/// the specification too; `discriminator` and `example` are OpenAPI's.
pub(super) const ANNOTATIONS: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "id",
    "readOnly",
    "title",
    "writeOnly",
];

/// Known, and not enforced, each with what its value may be to mean nothing.
pub(super) fn says_nothing(keyword: &str, value: &serde_json::Value) -> bool {
    match keyword {
        "uniqueItems" | "nullable" | "minContains" => {
            value == &serde_json::json!(false) || value == &serde_json::json!(0)
        }
        "unevaluatedItems" | "unevaluatedProperties" | "propertyNames" | "then" | "else" => {
            value == &serde_json::json!(true) || value == &serde_json::json!({})
        }
        "dependencies" | "dependentRequired" | "dependentSchemas" => {
            value.as_object().is_some_and(serde_json::Map::is_empty)
        }
        _ => false,
    }
}

/// Keywords of JSON Schema that exist and are not enforced: the reason differs from that for a
/// misspelling.
pub(super) const NOT_ENFORCED: &[&str] = &[
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "contains",
    "contentSchema",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "not",
    "nullable",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// Names of types.
pub(super) const TYPES: &[&str] =
    &["array", "boolean", "integer", "null", "number", "object", "string"];
