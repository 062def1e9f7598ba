//! What a body of JSON asks for, as far as a key may forbid it.
//!
//! The body is read once, without building anything of it. Fields that are checked must be there
//! once: of two, the upstream might believe the other.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::keys::Modalities;
use crate::refusal::Refusal;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Inspected {
    pub model: Option<String>,
    pub stream: bool,
    pub adapters: Vec<String>,
    pub modalities: Modalities,
}

/// Reads a body.
///
/// # Errors
/// If it is no JSON object, or says one of the fields twice.
pub(super) fn inspect(body: &[u8]) -> Result<Inspected, Refusal> {
    let mut inspected = Inspected::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Top(&mut inspected).deserialize(&mut json).and_then(|()| json.end());
    read.map_err(|error| {
        let message = match error.is_data() {
            true => format!("The body of your request cannot be used: {error}."),
            false => phial_openai::InvalidRequest::syntax(&error).message,
        };
        Refusal::invalid("invalid_json", message)
    })?;
    Ok(inspected)
}

struct Top<'a>(&'a mut Inspected);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<&'static str> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let checked = ["model", "stream", "adapter", "audio", "modalities", "n", "max_tokens"];
            if let Some(field) = checked.into_iter().find(|field| *field == name) {
                if seen.contains(&field) {
                    return Err(A::Error::custom(format_args!("'{field}' is there twice")));
                }
                seen.push(field);
            }
            match name.as_str() {
                "model" => self.0.model = map.next_value::<Option<String>>()?,
                "stream" => self.0.stream = map.next_value::<Option<bool>>()?.unwrap_or(false),
                "adapter" => self.0.adapters.extend(map.next_value::<Option<String>>()?),
                "audio" => {
                    self.0.modalities.audio |= map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                "modalities" => {
                    for name in map.next_value::<Option<Vec<String>>>()?.unwrap_or_default() {
                        note(&mut self.0.modalities, &name);
                    }
                }
                // Schemas speak of images without having any.
                "tools" | "response_format" | "metadata" | "text" => {
                    map.next_value::<IgnoredAny>()?;
                }
                _ => map.next_value_seed(Anything(&mut self.0.modalities))?,
            }
        }
        Ok(())
    }
}

/// Notes what a part of this type, or under this name, is.
fn note(modalities: &mut Modalities, name: &str) {
    match name {
        "image" | "image_url" | "input_image" => modalities.image = true,
        "audio" | "audio_url" | "input_audio" => modalities.audio = true,
        _ => {}
    }
}

/// Looks for images and sounds, however deep.
struct Anything<'a>(&'a mut Modalities);

impl<'de> DeserializeSeed<'de> for Anything<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Anything<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Anything(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            note(self.0, &name);
            if name == "type" {
                map.next_value_seed(Type(self.0))?;
            } else {
                map.next_value_seed(Anything(self.0))?;
            }
        }
        Ok(())
    }
}

/// The type of a part.
struct Type<'a>(&'a mut Modalities);

impl<'de> DeserializeSeed<'de> for Type<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let value = <serde_json::Value as serde::Deserialize>::deserialize(deserializer)?;
        if let Some(name) = value.as_str() {
            note(self.0, name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Inspected> {
        inspect(body.as_bytes()).ok()
    }

    #[test]
    fn what_is_asked_for_is_seen() {
        let body = r#"{"messages":[{"role":"user","content":"hi"}],"mod\u0065l":"phi","stream":true,
                       "temperature":0.5,"adapter":"law","n":null}"#;
        let expected = Inspected {
            model: Some("phi".into()),
            stream: true,
            adapters: vec!["law".into()],
            modalities: Modalities::default(),
        };
        assert_eq!(read(body), Some(expected));
        assert_eq!(read("{}"), Some(Inspected::default()));
        for wrong in ["", "[]", "1", "{", "{}x", r#"{"model":1}"#, r#"{"a":1,}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_field_that_is_checked_is_there_once() {
        assert_eq!(read(r#"{"model":"a","model":"b"}"#), None);
        assert_eq!(read(r#"{"model":"a","\u006dodel":"b"}"#), None);
        assert_eq!(read(r#"{"adapter":"a","adapter":"b"}"#), None);
    }

    #[test]
    fn images_and_sounds_are_found_however_deep() {
        let modalities = |body: &str| {
            let found = read(body).unwrap().modalities;
            (found.image, found.audio)
        };
        let part = |part: &str| {
            modalities(&format!(r#"{{"messages":[{{"content":[{part}]}}],"model":"m"}}"#))
        };
        assert_eq!(part(r#"{"type":"text","text":"image_url"}"#), (false, false));
        assert_eq!(part(r#"{"type":"image_url","image_url":{"url":"x"}}"#), (true, false));
        assert_eq!(part(r#"{"type":"text","type":"input_image"}"#), (true, false));
        assert_eq!(part(r#"{"type":"input_audio","input_audio":{}}"#), (false, true));
        assert_eq!(part(r#"{"type":"tool_result","content":[{"type":"image"}]}"#), (true, false));
        assert_eq!(modalities(r#"{"modalities":["text","audio"]}"#), (false, true));
        assert_eq!(modalities(r#"{"audio":{"voice":"a"}}"#), (false, true));
        assert_eq!(modalities(r#"{"audio":null}"#), (false, false));
        let tools = r#"{"tools":[{"function":{"parameters":{"type":"image"}}}]}"#;
        assert_eq!(modalities(tools), (false, false));
    }

    #[test]
    fn no_depth_breaks_it() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep), None);
    }
}
