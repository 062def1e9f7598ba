//! References within a schema.

use serde_json::Value;

use crate::refused::Refused;

/// The places that references lead to, each named once, in the order of first mention.
pub(super) struct References<'s> {
    root: &'s Value,
    /// Pointer and target.
    targets: Vec<(String, &'s Value)>,
}

impl<'s> References<'s> {
    pub(super) fn new(root: &'s Value) -> Self {
        Self { root, targets: Vec::new() }
    }

    /// The number of the definition that `reference`, at `place`, means.
    pub(super) fn resolve(&mut self, reference: &str, place: &str) -> Result<usize, Refused> {
        let refuse = |reason: String| Err(Refused::keyword_at("$ref", place, reason));
        let own_id = ["$id", "id"].iter().find_map(|key| self.root.get(key)?.as_str());
        let local = match own_id {
            Some(id) => reference.strip_prefix(id.trim_end_matches('#')).unwrap_or(reference),
            None => reference,
        };
        let pointer = match local.strip_prefix('#') {
            Some(fragment) if fragment.is_empty() || fragment == "/" => Some(String::new()),
            Some(fragment) if fragment.starts_with('/') => percent_decoded(fragment),
            _ => None,
        };
        let Some(pointer) = pointer else {
            return refuse(format!(
                "{reference:?} is not a JSON Pointer within this schema, as \"#/$defs/name\" is"
            ));
        };
        if let Some(known) = self.targets.iter().position(|(target, _)| *target == pointer) {
            return Ok(known);
        }
        let Some(target) = self.root.pointer(&pointer) else {
            return refuse(format!("there is nothing at {reference:?}"));
        };
        self.targets.push((pointer, target));
        Ok(self.targets.len() - 1)
    }

    /// The target number `index`, if there are so many by now.
    pub(super) fn target(&self, index: usize) -> Option<(&str, &'s Value)> {
        self.targets.get(index).map(|(pointer, target)| (pointer.as_str(), *target))
    }
}

/// How the definition number `index` is called.
pub(super) fn definition_name(index: usize) -> String {
    format!("d{index}")
}

/// A key as a part of a JSON Pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A fragment of a URI as text; `None` if it is not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_lead_to_places_of_the_schema_only() {
        let root = json!({
            "$id": "https://example.com/a.json",
            "$defs": {"a/b": true, "é": {"type": "null"}, "p%": false},
        });
        let mut references = References::new(&root);
        let mut pointer = |reference: &str| {
            let index = references.resolve(reference, "").ok()?;
            references.target(index).map(|(pointer, _)| pointer.to_owned())
        };
        assert_eq!(pointer("#").as_deref(), Some(""));
        assert_eq!(pointer("#/$defs/a~1b").as_deref(), Some("/$defs/a~1b"));
        assert_eq!(pointer("#/%24defs/%C3%A9").as_deref(), Some("/$defs/é"));
        assert_eq!(pointer("#/$defs/p%25").as_deref(), Some("/$defs/p%"));
        assert_eq!(pointer("https://example.com/a.json#/$defs/é").as_deref(), Some("/$defs/é"));
        for wrong in ["#/$defs/none", "#anchor", "other.json", "https://example.com/b.json#/$defs"]
        {
            assert_eq!(pointer(wrong), None, "{wrong}");
        }
    }
}
