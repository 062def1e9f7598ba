//! Answers on their way back: a whole body, or the data of one event.

use serde_json::{Map, Value};

use super::members::Members;
use crate::usage::Usage;

/// What is read of an answer, or of one event of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayedPart {
    /// The usage that it tells, in whichever dialect.
    pub usage: Option<Usage>,
    /// Bytes of text that was generated, calls and reasoning among it; never more tokens.
    pub text_bytes: usize,
    /// Whether it reports an error.
    pub is_error: bool,
    /// Whether it is the extra chunk that has the usage and no choice.
    pub is_usage_only: bool,
}

impl RelayedPart {
    /// Reads it; `None` when it is no JSON object.
    pub fn read(json: &[u8]) -> Option<Self> {
        let members = Members::read(json).ok()?;
        let nested = ["response", "message"].into_iter().find_map(|name| {
            let members: Members<'_> = members.get(name)?;
            Some((
                members.get("usage").as_ref().and_then(usage),
                members.raw("error").is_some_and(is_set),
            ))
        });
        let (nested_usage, nested_error) = nested.unwrap_or_default();
        let own_usage = members.get("usage").as_ref().and_then(usage);
        let choices: Option<Value> = members.get("choices");
        let mut text_bytes = choices.as_ref().map_or(0, generated_bytes);
        for name in ["delta", "content", "output"] {
            text_bytes += members.get(name).as_ref().map_or(0, generated_bytes);
        }
        let kind = members.get::<&str>("type");
        Some(Self {
            usage: own_usage.or(nested_usage),
            text_bytes,
            is_error: members.raw("error").is_some_and(is_set)
                || nested_error
                || kind == Some("error"),
            is_usage_only: own_usage.is_some()
                && choices.as_ref().and_then(Value::as_array).is_some_and(Vec::is_empty),
        })
    }
}

fn is_set(raw: &str) -> bool {
    raw != "null"
}

/// Members of choices and deltas that nothing was generated for.
const NOT_GENERATED: [&str; 7] =
    ["role", "finish_reason", "stop_reason", "type", "id", "logprobs", "status"];

fn generated_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(generated_bytes).sum(),
        Value::Object(object) => object
            .iter()
            .filter(|(name, _)| !NOT_GENERATED.contains(&name.as_str()))
            .map(|(_, value)| generated_bytes(value))
            .sum(),
        _ => 0,
    }
}

/// Chat, completions and embeddings say `prompt_tokens`, the other dialects `input_tokens`; only
/// that of messages leaves out what came from a cache.
fn usage(object: &Map<String, Value>) -> Option<Usage> {
    let number = |object: &Map<String, Value>, name: &str| {
        object.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
    };
    let detail =
        |name: &str| object.get(name)?.as_object().and_then(|d| number(d, "cached_tokens"));
    let own = |name: &str| number(object, name);
    let prompt = own("prompt_tokens").or_else(|| own("input_tokens"));
    let completion = own("completion_tokens").or_else(|| own("output_tokens"));
    if prompt.is_none() && completion.is_none() {
        return None;
    }
    let read = own("cache_read_input_tokens").unwrap_or(0);
    let written = own("cache_creation_input_tokens").unwrap_or(0);
    let prompt = prompt.unwrap_or(0).saturating_add(read).saturating_add(written);
    let cached =
        detail("prompt_tokens_details").or_else(|| detail("input_tokens_details")).unwrap_or(read);
    let completion = completion.unwrap_or(0);
    let mut usage = Usage::new(prompt, 0).with_cached(cached.min(prompt));
    usage.completion_tokens = completion;
    usage.total_tokens = prompt.saturating_add(completion);
    Some(usage)
}

/// What a relay changes in an answer or an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartChanges<'a> {
    /// The name by which the client asked for the model.
    pub model: Option<&'a str>,
    /// Take out the usage, which the client did not ask for.
    pub without_usage: bool,
}

impl PartChanges<'_> {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The part with these changes, or `None` when it has nothing to change.
    pub fn apply(&self, json: &[u8]) -> Option<Vec<u8>> {
        let members = Members::read(json).ok()?;
        let mut changes = Vec::new();
        if self.without_usage && members.raw("usage").is_some() {
            changes.push(("usage", None));
        }
        if let Some(model) = self.model {
            let model = Value::from(model).to_string();
            for name in ["response", "message"] {
                let Some(inner) = members.get::<Members<'_>>(name) else { continue };
                if inner.raw("model").is_some() {
                    let inner = inner.with(&[("model", Some(model.clone()))]);
                    changes.push((name, String::from_utf8(inner).ok()));
                }
            }
            if members.raw("model").is_some() {
                changes.push(("model", Some(model)));
            }
        }
        if changes.is_empty() { None } else { Some(members.with(&changes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(json: &str) -> RelayedPart {
        RelayedPart::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn usage_is_read_in_every_dialect() {
        let numbers = |json: &str| {
            let usage = part(json).usage.unwrap();
            let cached = usage.prompt_tokens_details.cached_tokens;
            (usage.prompt_tokens, cached, usage.completion_tokens, usage.total_tokens)
        };
        let chat = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,
            "prompt_tokens_details":{"cached_tokens":8}}}"#;
        assert_eq!(numbers(chat), (9, 8, 4, 13));
        assert!(part(chat).is_usage_only);
        let embeddings = r#"{"data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
        assert_eq!(numbers(embeddings), (5, 0, 0, 5));
        let responses = r#"{"type":"response.completed","response":{"usage":{"input_tokens":7,
            "output_tokens":2,"input_tokens_details":{"cached_tokens":3}}}}"#;
        assert_eq!(numbers(responses), (7, 3, 2, 9));
        let messages = r#"{"type":"message_start","message":{"usage":{"input_tokens":4,
            "cache_read_input_tokens":6,"cache_creation_input_tokens":1,"output_tokens":1}}}"#;
        assert_eq!(numbers(messages), (11, 6, 1, 12));
    }

    #[test]
    fn a_usage_that_is_none_is_not_taken_for_nothing() {
        for json in [
            r#"{"usage":null}"#,
            r#"{"usage":{}}"#,
            r#"{"usage":{"prompt_tokens":-4,"completion_tokens":"9"}}"#,
            r#"{"usage":[1]}"#,
        ] {
            assert_eq!(part(json).usage, None, "{json}");
        }
        let absurd = r#"{"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":9}}"#;
        assert_eq!(part(absurd).usage.unwrap().total_tokens, usize::MAX);
        let more = r#"{"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":9}}}"#;
        assert_eq!(part(more).usage.unwrap().prompt_tokens_details.cached_tokens, 3);
    }

    #[test]
    fn generated_text_is_counted_wherever_it_stands() {
        let chat = r#"{"choices":[{"index":0,"finish_reason":"stop","delta":{"role":"assistant",
            "content":"abc","reasoning_content":"de","tool_calls":[{"id":"call_1","type":"function",
            "function":{"name":"f","arguments":"{}"}}]}}]}"#;
        assert_eq!(part(chat).text_bytes, 3 + 2 + 1 + 2);
        assert_eq!(part(r#"{"choices":[{"text":"xyz"}]}"#).text_bytes, 3);
        assert_eq!(part(r#"{"type":"response.output_text.delta","delta":"four"}"#).text_bytes, 4);
        let messages =
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#;
        assert_eq!(part(messages).text_bytes, 2);
        assert_eq!(part(r#"{"content":[{"type":"text","text":"hi"}]}"#).text_bytes, 2);
    }

    #[test]
    fn errors_are_told_from_answers() {
        assert!(part(r#"{"error":{"message":"x"}}"#).is_error);
        assert!(part(r#"{"type":"error","error":{}}"#).is_error);
        assert!(part(r#"{"type":"response.failed","response":{"error":{"code":"x"}}}"#).is_error);
        assert!(!part(r#"{"error":null,"choices":[]}"#).is_error);
        assert_eq!(RelayedPart::read(b"[DONE]"), None);
    }

    #[test]
    fn the_clients_name_of_the_model_is_put_back() {
        let changes = PartChanges { model: Some("mine"), without_usage: true };
        let apply =
            |json: &str| changes.apply(json.as_bytes()).map(|b| String::from_utf8(b).unwrap());
        let chunk = r#"{"id":"1","model":"theirs","usage":null,"choices":[{"model":"kept"}]}"#;
        assert_eq!(
            apply(chunk).unwrap(),
            r#"{"id":"1","model":"mine","choices":[{"model":"kept"}]}"#
        );
        assert_eq!(
            apply(r#"{"response":{"model":"theirs","x":1}}"#).unwrap(),
            r#"{"response":{"model":"mine","x":1}}"#
        );
        assert_eq!(apply(r#"{"id":"1"}"#), None);
        assert_eq!(apply("[DONE]"), None);
    }
}
