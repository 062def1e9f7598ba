//! What requests count for.

use std::num::NonZeroU64;
use std::time::Duration;

use phial_gateway::upstreams::{ChannelSettings, WithoutUsage};
use serde_json::{Value, json};

use crate::stub::*;

async fn stub(pieces: Vec<String>) -> Stub {
    Stub::new(Behaviour::Stream(pieces, Duration::ZERO, Ending::Whole)).await
}

async fn counted(settings: ChannelSettings, route: &str, body: &Value) -> (u64, u64, u64) {
    let (status, text, heard) = ask_all(&channels(vec![settings]), route, body).await;
    assert_eq!(status, 200, "{text}");
    heard.counts().unwrap()
}

#[tokio::test]
async fn every_dialect_is_counted_streamed_and_whole() {
    let responses = vec![
        event(&json!({"type": "response.created", "response": {"model": "phi", "usage": null}})),
        event(&json!({"type": "response.output_text.delta", "delta": "hello"})),
        event(&json!({"type": "response.completed", "response": {"usage": {"input_tokens": 7,
            "output_tokens": 2, "input_tokens_details": {"cached_tokens": 5}}}})),
    ];
    let body = json!({"model": "phi", "input": "hi", "stream": true});
    let counts = counted(stub(responses).await.channel(1), "/v1/responses", &body).await;
    assert_eq!(counts, (7, 5, 2));

    let messages = vec![
        event(&json!({"type": "message_start", "message": {"usage": {"input_tokens": 4,
            "cache_read_input_tokens": 6, "output_tokens": 1}}})),
        event(&json!({"type": "content_block_delta", "delta": {"type": "text_delta",
            "text": "hello"}})),
        event(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 3}})),
    ];
    let body = json!({"model": "phi", "messages": [], "max_tokens": 9, "stream": true});
    let counts = counted(stub(messages).await.channel(1), "/v1/messages", &body).await;
    assert_eq!(counts, (10, 6, 3));

    let embeddings = json!({"data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}});
    let answer = Behaviour::Answer(200, "application/json", embeddings.to_string());
    let body = json!({"model": "phi", "input": "hi"});
    let counts = counted(Stub::new(answer).await.channel(1), "/v1/embeddings", &body).await;
    assert_eq!(counts, (5, 0, 0));

    let tokens = Behaviour::Answer(200, "application/json", json!({"tokens": [1, 2]}).to_string());
    let body = json!({"model": "phi", "prompt": "hi"});
    let counts = counted(Stub::new(tokens).await.channel(1), "/tokenize", &body).await;
    assert_eq!(counts, (0, 0, 0));
}

#[tokio::test]
async fn lies_and_silence_are_counted_by_the_policy() {
    let body = chat(true);
    let bytes = body.to_string().len() as u64 + 256;
    let four = WithoutUsage::BytesPerToken(NonZeroU64::new(4).unwrap());
    let text = || chunk("phi", "twelve bytes");
    for last in [
        String::new(),
        usage_chunk("phi", 0, 0),
        usage_chunk("phi", 9, 0),
        usage_chunk("phi", 9, 65),
        usage_chunk("phi", 1 << 40, 3),
        event(&json!({"choices": [], "usage": {"prompt_tokens": "9", "completion_tokens": -1}})),
    ] {
        let stub = stub(vec![text(), last.clone(), "data: [DONE]\n\n".into()]).await;
        let mut settings = stub.channel(1);
        let counts = counted(settings.clone(), CHAT, &body).await;
        assert_eq!(counts, (bytes, 0, 12), "a byte a token: {last}");
        settings.without_usage = four;
        let counts = counted(settings.clone(), CHAT, &body).await;
        assert_eq!(counts, (bytes.div_ceil(4), 0, 3), "{last}");
        settings.without_usage = WithoutUsage::Reserved;
        assert_eq!(counted(settings, CHAT, &body).await, (bytes, 0, 64), "{last}");
    }
}

#[tokio::test]
async fn continuous_usage_makes_aborted_streams_exact() {
    let chunk = |text: &str, completion: u64| {
        event(&json!({"model": "phi", "choices": [{"index": 0, "delta": {"content": text}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": completion}}))
    };
    let pieces = vec![chunk("hel", 1), chunk("lo", 2)];
    let stub = Stub::new(Behaviour::Stream(pieces, Duration::ZERO, Ending::Broken)).await;
    let mut settings = stub.channel(1);
    settings.continuous_usage = true;
    let (_, body, heard) = ask_all(&channels(vec![settings]), CHAT, &chat(true)).await;
    assert_eq!(heard.counts(), Some((9, 0, 2)));
    assert!(body.contains("hel") && !body.contains("usage"), "{body}");
    let options = stub.got.lock().unwrap()[0].body["stream_options"].clone();
    assert_eq!(options, json!({"include_usage": true, "continuous_usage_stats": true}));
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_counts_as_reserved() {
    let stub = Stub::new(Behaviour::Silence).await;
    let channels = channels(vec![stub.channel(1)]);
    let heard = std::sync::Arc::new(Heard::default());
    let meter = phial_openai::metering::Meter::new(heard.clone());
    let body = chat(false);
    let asked = phial_gateway::Upstream::call(&*channels, request(CHAT, &body), meter);
    let gone = tokio::time::timeout(Duration::from_millis(300), asked).await;
    assert!(gone.is_err());
    assert_eq!(stub.requests(), 1);
    // What it made of it nobody knows.
    assert_eq!(heard.counts(), Some((body.to_string().len() as u64 + 256, 0, 64)));
}
