//! A JSON object, and nothing else: derived readers take a list of values for one, too.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// What an object of named fields says.
pub(crate) struct Object<T>(pub T);

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{OptionsDraft, PriceView};

    #[test]
    fn lists_of_values_are_no_objects() {
        let price = r#"{"input":1,"cached_input":2,"output":3}"#;
        let read: Object<PriceView> = serde_json::from_str(price).unwrap();
        assert_eq!(read.0, PriceView { input: 1, cached_input: 2, output: 3 });
        assert!(serde_json::from_str::<PriceView>("[1,2,3]").is_ok(), "what this is here for");
        for text in ["[1,2,3]", "[]", "null", "1", "\"a\"", r#"{"input":1,"input":1}"#] {
            assert!(serde_json::from_str::<Object<PriceView>>(text).is_err(), "{text}");
        }
        let options = |prices: &str| {
            serde_json::from_str::<Object<OptionsDraft>>(&format!(r#"{{"prices":{prices}}}"#))
        };
        assert_eq!(options(&format!(r#"{{"*":{price}}}"#)).unwrap().0.prices.unwrap().len(), 1);
        assert!(options("null").unwrap().0.prices.is_none());
        assert!(options(r#"{"*":[1,2,3]}"#).is_err());
    }
}
