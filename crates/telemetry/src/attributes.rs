//! What a trace says of a request, in the words of OpenTelemetry's conventions for HTTP servers
//! and for generative AI.

use opentelemetry::{Array, KeyValue, StringValue, Value};
use phial_serve::{Content, FinishedRequest, Generation, Outcome};
use serde_json::json;

/// Who runs the model, in `gen_ai.provider.name`.
const PROVIDER: &str = "phial";

/// What a route does, in the words of the conventions; `None` for those that ask no model.
pub(crate) fn operation(request: &FinishedRequest) -> Option<&'static str> {
    if request.method != "POST" {
        return None;
    }
    match request.route.as_str() {
        "/v1/chat/completions" | "/v1/responses" | "/v1/messages" => Some("chat"),
        "/v1/completions" => Some("text_completion"),
        "/v1/embeddings" => Some("embeddings"),
        _ => None,
    }
}

/// Everything that is said of `request`, which is about `operation`.
pub(crate) fn attributes(request: &FinishedRequest, operation: &'static str) -> Vec<KeyValue> {
    let mut all = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new("gen_ai.provider.name", PROVIDER),
        KeyValue::new("http.request.method", request.method.clone()),
        KeyValue::new("http.route", request.route.clone()),
        KeyValue::new("url.path", request.path.clone()),
        // The same as in the answer's header and in the log.
        KeyValue::new("phial.request.id", request.id.clone()),
    ];
    if let Some((address, port)) = request.host.as_deref().map(address) {
        all.push(KeyValue::new("server.address", address));
        all.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    }
    if let Some(status) = request.status {
        all.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    all.extend(error(request).map(|error| KeyValue::new("error.type", error)));
    if let Some(generation) = &request.generation {
        all.extend(of_generation(generation));
    }
    all
}

/// What went wrong, if anything did.
pub(crate) fn error(request: &FinishedRequest) -> Option<String> {
    match (request.error, request.status) {
        (Some(code), _) => Some(code.to_owned()),
        (None, Some(status)) if status >= 400 => Some(status.to_string()),
        _ if request.outcome == Outcome::Disconnected => Some("client_disconnected".to_owned()),
        _ => None,
    }
}

fn of_generation(generation: &Generation) -> Vec<KeyValue> {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let mut all = Vec::new();
    // A request that failed before the model was known names none.
    if !generation.model.is_empty() {
        all.push(KeyValue::new("gen_ai.request.model", generation.model.clone()));
        all.push(KeyValue::new("gen_ai.response.model", generation.model.clone()));
    }
    if !generation.answer.is_empty() {
        all.push(KeyValue::new("gen_ai.response.id", generation.answer.clone()));
    }
    if generation.choices > 1 {
        all.push(KeyValue::new("gen_ai.request.choice.count", count(generation.choices)));
    }
    let float = |value: Option<f32>| value.map(f64::from);
    all.extend(
        [
            ("gen_ai.request.max_tokens", generation.tokens_max.map(|max| Value::I64(count(max)))),
            ("gen_ai.request.temperature", float(generation.temperature).map(Value::F64)),
            ("gen_ai.request.top_p", float(generation.top_p).map(Value::F64)),
            // Seeds above the largest signed number come from negative ones.
            ("gen_ai.request.seed", generation.seed.map(|seed| Value::I64(seed as i64))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some(KeyValue::new(name, value?))),
    );
    if !generation.stop.is_empty() {
        let stop = texts(generation.stop.iter().map(String::as_str));
        all.push(KeyValue::new("gen_ai.request.stop_sequences", stop));
    }
    all.push(KeyValue::new("gen_ai.usage.input_tokens", count(generation.prompt_tokens)));
    all.push(KeyValue::new("gen_ai.usage.output_tokens", count(generation.generated_tokens)));
    let cached = count(generation.cached_tokens);
    all.push(KeyValue::new("gen_ai.usage.cache_read.input_tokens", cached));
    if !generation.finish_reasons.is_empty() {
        let reasons = texts(generation.finish_reasons.iter().copied());
        all.push(KeyValue::new("gen_ai.response.finish_reasons", reasons));
    }
    // Names that vLLM gave to what the conventions have none for, in seconds.
    let queued = generation.queued.as_secs_f64();
    all.push(KeyValue::new("gen_ai.latency.time_in_queue", queued));
    if let Some(first) = generation.first_token {
        let first = first.as_secs_f64();
        all.push(KeyValue::new("gen_ai.latency.time_to_first_token", first));
    }
    if let Some(content) = &generation.content {
        all.extend(of_content(content, &generation.finish_reasons));
    }
    all
}

/// What was said, as JSON of the conventions.
fn of_content(content: &Content, finish_reasons: &[&'static str]) -> [KeyValue; 2] {
    let part = |text: &str| json!([{"type": "text", "content": text}]);
    let input = content.input.iter().map(|(role, text)| json!({"role": role, "parts": part(text)}));
    let output = content.output.iter().enumerate().map(|(choice, text)| {
        let reason = finish_reasons.get(choice).copied();
        json!({"role": "assistant", "parts": part(text), "finish_reason": reason})
    });
    let text = |messages: Vec<serde_json::Value>| serde_json::Value::from(messages).to_string();
    [
        KeyValue::new("gen_ai.input.messages", text(input.collect())),
        KeyValue::new("gen_ai.output.messages", text(output.collect())),
    ]
}

fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(Array::String(texts.map(|text| StringValue::from(text.to_owned())).collect()))
}

/// The name and the port of `example.org:8080`, or of `[::1]:8080`.
fn address(host: &str) -> (String, Option<u16>) {
    let name = |name: &str| name.trim_matches(['[', ']']).to_owned();
    match host.rsplit_once(':') {
        Some((before, port)) if !before.is_empty() && !port.contains(']') => match port.parse() {
            Ok(port) => (name(before), Some(port)),
            Err(_) => (name(host), None),
        },
        _ => (name(host), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_apart() {
        assert_eq!(address("example.org"), ("example.org".to_owned(), None));
        assert_eq!(address("example.org:80"), ("example.org".to_owned(), Some(80)));
        assert_eq!(address("[::1]"), ("::1".to_owned(), None));
        assert_eq!(address("[::1]:8080"), ("::1".to_owned(), Some(8080)));
        assert_eq!(address("a:b"), ("a:b".to_owned(), None));
    }
}
