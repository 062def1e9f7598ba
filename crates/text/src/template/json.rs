//! JSON as Python's `json.dumps` writes it, which is what models have been trained on:
//! `", "` and `": "`, characters beyond ASCII as they are.

use serde_json::Value;

/// Writes `value`; with `indent`, one entry a line.
pub(super) fn dump(value: &Value, indent: Option<usize>) -> String {
    let mut text = String::new();
    write(value, indent, 0, &mut text);
    text
}

/// What a string of JSON says; a string that is not JSON, and any other value, as it is.
pub(super) fn parsed(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        other => other.clone(),
    }
}

fn write(value: &Value, indent: Option<usize>, depth: usize, text: &mut String) {
    match value {
        Value::Array(list) if !list.is_empty() => {
            text.push('[');
            for (index, entry) in list.iter().enumerate() {
                separate(index, indent, depth + 1, text);
                write(entry, indent, depth + 1, text);
            }
            close(']', indent, depth, text);
        }
        Value::Object(map) if !map.is_empty() => {
            text.push('{');
            for (index, (key, entry)) in map.iter().enumerate() {
                separate(index, indent, depth + 1, text);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push_str(": ");
                write(entry, indent, depth + 1, text);
            }
            close('}', indent, depth, text);
        }
        scalar_or_empty => text.push_str(&scalar_or_empty.to_string()),
    }
}

fn separate(index: usize, indent: Option<usize>, depth: usize, text: &mut String) {
    match indent {
        None if index > 0 => text.push_str(", "),
        None => {}
        Some(width) => {
            text.push_str(if index > 0 { ",\n" } else { "\n" });
            text.extend(std::iter::repeat_n(' ', width * depth));
        }
    }
}

fn close(bracket: char, indent: Option<usize>, depth: usize, text: &mut String) {
    if let Some(width) = indent {
        text.push('\n');
        text.extend(std::iter::repeat_n(' ', width * depth));
    }
    text.push(bracket);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_python_writes_it() {
        let value = json!({"b": [1, 2.5, null, true], "a": {}, "é\n": "\"<x>\""});
        assert_eq!(dump(&value, None), r#"{"b": [1, 2.5, null, true], "a": {}, "é\n": "\"<x>\""}"#);
        assert_eq!(
            dump(&json!({"a": [1, {"b": 2}]}), Some(2)),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ]\n}"
        );
    }

    #[test]
    fn strings_of_json_are_read() {
        assert_eq!(parsed(&json!("{\"a\": 1}")), json!({"a": 1}));
        assert_eq!(parsed(&json!("{broken")), json!("{broken"));
    }
}
