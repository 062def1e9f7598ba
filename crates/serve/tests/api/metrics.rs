//! What Prometheus reads.

use axum::http::StatusCode;
use phial_serve::Server;
use serde_json::json;

use crate::client::{begin, chat, get, post, server, slow_server, wait_active};

/// The value of the only sample that starts with `start`.
async fn sample(server: &Server, start: &str) -> f64 {
    let reply = get(server, "/metrics").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(reply.body).expect("UTF-8");
    assert!(text.ends_with("# EOF\n"));
    let mut values = text.lines().filter(|line| line.starts_with(start));
    let line = values.next().unwrap_or_else(|| panic!("no sample {start} in {text}"));
    assert!(line.contains("model_name=\"fake/echo\""), "{line}");
    assert_eq!(values.next(), None);
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[tokio::test]
async fn answers_are_counted_under_both_names() {
    let server = server();
    // "Hi" and the end of the turn; the prompt has five tokens.
    post(&server, &chat("Hi", json!({}))).await;
    post(&server, &chat("Hello", json!({"max_tokens": 2}))).await;
    post(&server, &chat("Hi", json!({"temperature": 9}))).await;
    for (start, expected) in [
        ("phial_prompt_tokens_total", 13.0),
        ("vllm:prompt_tokens_total", 13.0),
        ("phial_generation_tokens_total", 5.0),
        ("vllm:generation_tokens_total", 5.0),
        ("vllm:time_to_first_token_seconds_count", 2.0),
        ("phial_time_per_output_token_seconds_count", 2.0),
        ("vllm:inter_token_latency_seconds_count", 2.0),
        ("vllm:e2e_request_latency_seconds_count", 2.0),
        ("phial_request_queue_seconds_count", 2.0),
        ("phial_request_generation_tokens_sum", 5.0),
        ("phial_requests_running", 0.0),
        ("vllm:num_requests_waiting", 0.0),
    ] {
        assert!((sample(&server, start).await - expected).abs() < 1e-9, "{start}");
    }
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    for line in [
        "phial_requests_finished_total{model_name=\"fake/echo\",finished_reason=\"stop\"} 1",
        "vllm:request_success_total{model_name=\"fake/echo\",finished_reason=\"length\"} 1",
        "phial_http_answers_total{model_name=\"fake/echo\",route=\"/v1/chat/completions\",\
         status=\"400\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test]
async fn what_runs_and_what_was_given_up() {
    let server = slow_server(5);
    let ask = chat("forever", json!({"stream": true})).to_string().into_bytes();
    let response = begin(&server, "POST", "/v1/chat/completions", ask).await;
    wait_active(&server, 1).await;
    while sample(&server, "phial_generation_tokens_total").await < 2.0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!((sample(&server, "vllm:num_requests_running").await - 1.0).abs() < 1e-9);
    assert!(sample(&server, "vllm:kv_cache_usage_perc").await > 0.0);
    drop(response);
    wait_active(&server, 0).await;
    let start = "phial_requests_finished_total";
    assert!((sample(&server, start).await - 1.0).abs() < 1e-9);
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    assert!(text.contains("finished_reason=\"abort\"} 1"), "{text}");
}
