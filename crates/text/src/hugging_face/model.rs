//! The `model` of a `tokenizer.json`: vocabulary and merges.

use crate::Error;
use crate::vocabulary::split_merge;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

#[derive(Deserialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(deserialize_with = "entries")]
    pub(super) vocab: Vec<(String, u64)>,
    pub(super) merges: MergeList,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    #[serde(default)]
    pub(super) unk_token: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
}

/// Merges as older and as newer files write them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum MergeList {
    /// `"left right"`.
    Joined(Vec<String>),
    /// `["left", "right"]`.
    Pairs(Vec<[String; 2]>),
}

impl Model {
    /// Refuses what would give other ids than plain byte-level BPE.
    pub(super) fn check(&self) -> Result<(), Error> {
        let unsupported = |what: &str| Err(Error::unsupported(format!("tokenizer model: {what}")));
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if let Some(kind) = self.kind.as_ref().filter(|kind| *kind != "BPE") {
            return unsupported(&format!("type {kind:?}; only \"BPE\" is supported"));
        }
        if self.dropout.is_some_and(|dropout| dropout != 0.0) {
            return unsupported("dropout");
        }
        if is_set(&self.continuing_subword_prefix) {
            return unsupported("continuing_subword_prefix");
        }
        if is_set(&self.end_of_word_suffix) {
            return unsupported("end_of_word_suffix");
        }
        if self.fuse_unk {
            return unsupported("fuse_unk");
        }
        if self.byte_fallback {
            return unsupported("byte_fallback");
        }
        Ok(())
    }
}

impl MergeList {
    /// The two sides of each merge, in order of rank.
    pub(super) fn pairs(&self) -> impl ExactSizeIterator<Item = Result<[&str; 2], Error>> {
        let count = match self {
            Self::Joined(list) => list.len(),
            Self::Pairs(list) => list.len(),
        };
        (0..count).map(move |rank| match self {
            Self::Joined(list) => split_merge(&list[rank]),
            Self::Pairs(list) => {
                let [left, right] = &list[rank];
                Ok([left.as_str(), right.as_str()])
            }
        })
    }
}

/// The entries of a map in order, repeated keys included, so that those can be refused.
fn entries<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<(String, u64)>, D::Error> {
    struct Entries;

    impl<'de> Visitor<'de> for Entries {
        type Value = Vec<(String, u64)>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map from token to id")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }

    input.deserialize_map(Entries)
}
