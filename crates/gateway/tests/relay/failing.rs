//! Channels that fail, before and after their answers begin.

use std::time::{Duration, Instant};

use phial_gateway::upstreams::{ChannelKey, ChannelSettings};
use serde_json::json;

use crate::stub::*;

fn failing() -> Vec<Behaviour> {
    let page = || "<html>sk-upstream</html>".to_owned();
    vec![
        Behaviour::HangUp,
        Behaviour::Silence,
        Behaviour::Answer(500, "text/html", page()),
        Behaviour::Answer(503, "application/json", error_body("busy")),
        Behaviour::Answer(429, "application/json", error_body("slow down, sk-upstream")),
        Behaviour::Answer(401, "application/json", error_body("wrong key sk-upstream")),
        Behaviour::Answer(404, "application/json", error_body("no such model")),
        Behaviour::Answer(302, "text/html", page()),
        Behaviour::Answer(200, "text/html", page()),
        Behaviour::Answer(200, "application/json", error_body("broken sk-upstream")),
        Behaviour::Answer(200, "application/json", "{\"choices\":".into()),
        Behaviour::Stream(vec![], Duration::ZERO, Ending::Whole),
        Behaviour::Stream(vec![], Duration::ZERO, Ending::Broken),
        Behaviour::Stream(vec![], Duration::ZERO, Ending::Silent),
        Behaviour::Stream(
            vec![format!(
                ": ping\n\ndata: {}\n\ndata: [DONE]\n\n",
                error_body("broken sk-upstream")
            )],
            Duration::ZERO,
            Ending::Whole,
        ),
    ]
}

fn impatient(stub: &Stub, id: i64, priority: i32) -> ChannelSettings {
    let mut settings = stub.channel(id);
    settings.priority = priority;
    settings.key = ChannelKey::new("sk-upstream");
    settings.patience.first_byte = Duration::from_millis(300);
    settings.patience.idle = Duration::from_millis(300);
    settings
}

#[tokio::test]
async fn another_channel_takes_over_before_the_first_byte() {
    let good = Stub::new(completion("phi")).await;
    for behaviour in failing() {
        let bad = Stub::new(behaviour.clone()).await;
        let settings = vec![impatient(&bad, 1, 9), impatient(&good, 2, 0)];
        let (status, body, heard) = ask_all(&channels(settings), CHAT, &chat(false)).await;
        assert_eq!(status, 200, "{behaviour:?}: {body}");
        assert!(body.contains("hello"), "{behaviour:?}");
        assert!(bad.requests() > 0, "{behaviour:?}");
        assert_eq!(heard.counts(), Some((9, 4, 3)), "paid once: {behaviour:?}");
    }
    // Nobody listens there.
    let mut nowhere = impatient(&good, 1, 9);
    nowhere.base_url = "http://127.0.0.1:9/v1".into();
    let settings = vec![nowhere, impatient(&good, 2, 0)];
    assert_eq!(ask_all(&channels(settings), CHAT, &chat(false)).await.0, 200);
}

#[tokio::test]
async fn when_all_fail_the_client_reads_neither_keys_nor_addresses_and_pays_nothing() {
    for behaviour in failing() {
        let bad = Stub::new(behaviour.clone()).await;
        let channels = channels(vec![impatient(&bad, 1, 0)]);
        for route in [CHAT, "/v1/messages"] {
            let (status, body, heard) = ask_all(&channels, route, &chat(true)).await;
            let expected = match &behaviour {
                Behaviour::Silence | Behaviour::Stream(_, _, Ending::Silent) => 504,
                Behaviour::Answer(429, ..) => 429,
                Behaviour::Answer(404, ..) => 404,
                _ => 502,
            };
            assert_eq!(status, expected, "{behaviour:?}: {body}");
            let shows = ["sk-upstream", "127.0.0.1", "channel 1"].iter().any(|t| body.contains(t));
            assert!(!shows, "{behaviour:?}: {body}");
            let error: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(error["error"]["message"].is_string(), "{body}");
            assert_eq!(heard.counts(), None, "{behaviour:?}");
        }
    }
}

#[tokio::test]
async fn the_requests_own_mistakes_are_told_and_not_tried_elsewhere() {
    let strict = Stub::new(Behaviour::Answer(
        400,
        "application/json",
        error_body("max_tokens is too large for key sk-upstream"),
    ))
    .await;
    let other = Stub::new(completion("phi")).await;
    let channels = channels(vec![impatient(&strict, 1, 9), impatient(&other, 2, 0)]);
    for _ in 0..10 {
        let (status, body, heard) = ask_all(&channels, CHAT, &chat(false)).await;
        assert_eq!(status, 400);
        assert!(body.contains("max_tokens is too large for key ***"), "{body}");
        assert_eq!(heard.counts(), None);
    }
    assert_eq!((strict.requests(), other.requests()), (10, 0), "and the channel is not to blame");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_is_paid_as_far_as_it_came() {
    for ending in [Ending::Broken, Ending::Silent] {
        let pieces = vec![chunk("phi", "hello"), chunk("phi", " you")];
        let bad = Stub::new(Behaviour::Stream(pieces, Duration::ZERO, ending)).await;
        let good = Stub::new(completion("phi")).await;
        let channels = channels(vec![impatient(&bad, 1, 9), impatient(&good, 2, 0)]);
        let (status, body, heard) = ask_all(&channels, CHAT, &chat(true)).await;
        assert_eq!(status, 200);
        assert!(body.contains("hello"), "{body}");
        let last = body.trim_end().rsplit("data: ").next().unwrap();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["error"]["code"], "upstream_error");
        assert!(!body.contains("[DONE]"));
        assert_eq!(good.requests(), 0, "nothing is said twice");
        assert_eq!(heard.counts().unwrap().2, 9, "bytes of the text that came");
    }
}

#[tokio::test]
async fn a_channel_that_keeps_failing_is_left_alone_and_tried_again() {
    let stub = Stub::new(Behaviour::Answer(500, "text/plain", String::new())).await;
    let channels = channels(vec![impatient(&stub, 1, 0)]);
    for _ in 0..5 {
        assert_eq!(ask_all(&channels, CHAT, &chat(false)).await.0, 502);
    }
    let (response, _) = ask(&channels, CHAT, &chat(false)).await;
    assert_eq!(response.status(), 503);
    let delay: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&delay), "{delay}");
    assert_eq!(stub.requests(), 5, "it is left alone");
    assert_eq!(channels.health(1).unwrap().state.name(), "open");

    *stub.behaviour.lock().unwrap() = completion("phi");
    let deadline = Instant::now() + Duration::from_secs(20);
    while ask_all(&channels, CHAT, &chat(false)).await.0 != 200 {
        assert!(Instant::now() < deadline, "it is never tried again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(channels.health(1).unwrap().state.name(), "up");
    assert_eq!(channels.health(1).unwrap().last_error, "");
}

#[tokio::test]
async fn weights_share_the_requests() {
    let (one, three) = (Stub::new(completion("phi")).await, Stub::new(completion("phi")).await);
    let mut settings = vec![one.channel(1), three.channel(2)];
    settings[1].weight = 3;
    let channels = channels(settings);
    for _ in 0..400 {
        assert_eq!(ask_all(&channels, CHAT, &chat(false)).await.0, 200);
    }
    assert_eq!(one.requests() + three.requests(), 400);
    // Five standard deviations around 100.
    assert!((57..=143).contains(&one.requests()), "{}", one.requests());
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let pieces = (0..80).map(|_| " ".repeat(1 << 20)).collect();
    let stub = Stub::new(Behaviour::Stream(pieces, Duration::ZERO, Ending::Whole)).await;
    let channels = channels(vec![impatient(&stub, 1, 0)]);
    let (status, body, _) = ask_all(&channels, CHAT, &chat(true)).await;
    assert_eq!(status, 200);
    assert!(body.contains("upstream_error"), "an event of 80 MiB is no event");
    let huge = json!({"x": "y".repeat(65 << 20)}).to_string();
    *stub.behaviour.lock().unwrap() = Behaviour::Answer(200, "application/json", huge);
    assert_eq!(ask_all(&channels, CHAT, &chat(false)).await.0, 502);
}

/// A server of HTTP/1.0 tells the end of an answer by closing, and so does one that dies.
async fn closing_server(events: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let head = "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let _ = stream.write_all(format!("{head}{events}").as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_stream_whose_connection_ends_before_its_answer_is_no_whole_answer() {
    const PART: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"},\"finish_reason\":null}]}\n\n";
    const WHOLE: &str =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\ndata: [DONE]\n\n";
    for (events, is_whole) in [(PART, false), (WHOLE, true)] {
        let url = closing_server(events).await;
        let settings = ChannelSettings::openai(1, "old", &url, vec!["phi".into()]);
        let (status, body, _) = ask_all(&channels(vec![settings]), CHAT, &chat(true)).await;
        assert_eq!(status, 200);
        assert!(body.contains("hel"), "{body}");
        assert_eq!(!body.contains("upstream_error"), is_whole, "{body}");
    }
}
