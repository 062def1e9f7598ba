//! How requests, the engine and the server end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use http_body_util::BodyExt;
use phial_serve::{EngineState, Server, ServerOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Events, begin, chat, get, post, server, slow_server, wait_active};
use crate::fake;

/// Serves on a port of this machine until the sender speaks.
async fn bind(server: &Server) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let serving = phial_serve::serve(server.clone(), listener, shutdown);
    let task = tokio::spawn(async { serving.await.expect("served to the end") });
    (address, stop, task)
}

/// Writes a chat request as it goes over the wire.
async fn connect(address: SocketAddr, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    stream.write_all(body.as_bytes()).await.expect("written");
    stream
}

#[tokio::test]
async fn dropping_a_stream_cancels() {
    let server = slow_server(2);
    let ask = chat("forever", json!({"stream": true, "n": 2})).to_string().into_bytes();
    let response = begin(&server, "POST", "/v1/chat/completions", ask).await;
    let mut body = response.into_body();
    for _ in 0..6 {
        body.frame().await.expect("a frame").expect("data");
    }
    assert_eq!(server.engine().requests_active(), 2);
    drop(body);
    wait_active(&server, 0).await;
}

#[tokio::test]
async fn closing_the_connection_cancels() {
    let server = slow_server(10);
    let (address, _stop, _task) = bind(&server).await;
    for streamed in [false, true] {
        let stream = connect(address, &chat("forever", json!({"stream": streamed}))).await;
        wait_active(&server, 1).await;
        drop(stream);
        wait_active(&server, 0).await;
    }
}

/// The prompt is read in parts; what is left of it is not read for a client that is gone.
#[tokio::test]
async fn closing_the_connection_cancels_while_the_prompt_is_read() {
    let limits = phial_engine::Limits { step_tokens_max: 8, ..fake::engine_limits() };
    let server = fake::server(Duration::from_millis(20), limits, ServerOptions::default());
    let (address, _stop, _task) = bind(&server).await;
    let prompt = "long ".repeat(90);
    for streamed in [false, true] {
        let started = Instant::now();
        let stream = connect(address, &chat(&prompt, json!({"stream": streamed}))).await;
        wait_active(&server, 1).await;
        drop(stream);
        wait_active(&server, 0).await;
        // All of it takes more than a second.
        assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
    }
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    for line in [
        "phial_generation_tokens_total{model_name=\"fake/echo\"} 0",
        "phial_requests_finished_total{model_name=\"fake/echo\",finished_reason=\"abort\"} 2",
        "phial_kv_cache_usage_ratio{model_name=\"fake/echo\"} 0.0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

/// What client number `index` does with its answer before it closes the connection.
async fn come_and_go(address: SocketAddr, index: u64) {
    let mix = index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let content = match mix % 4 {
        0 => "Hello".to_owned(),
        1 => "forever".to_owned(),
        2 => "long ".repeat(60),
        _ => format!("forever {index}"),
    };
    let more = json!({"stream": mix % 8 < 5, "n": 1 + mix / 8 % 2, "max_tokens": 20});
    let mut stream = connect(address, &chat(&content, more)).await;
    let bytes = match mix / 16 % 4 {
        // At once; within the head; within the answer; after its end.
        0 => 0,
        1 => 20,
        2 => 600,
        _ => 1 << 20,
    };
    let mut read = 0;
    let mut buffer = [0; 256];
    while read < bytes {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing_behind() {
    const CLIENTS: u64 = 240;
    let limits = phial_engine::Limits {
        step_tokens_max: 32,
        waiting_max: 20,
        // A few sequences at a time, so that some have to make room.
        kv_bytes_max: 24 << 10,
        ..fake::engine_limits()
    };
    let server = fake::server(Duration::from_micros(300), limits, ServerOptions::default());
    let (address, _stop, _task) = bind(&server).await;
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        clients.spawn(come_and_go(address, index));
        if clients.len() == 24 {
            clients.join_next().await.expect("a client").expect("no panic");
        }
    }
    while let Some(client) = clients.join_next().await {
        client.expect("no panic");
    }
    wait_active(&server, 0).await;
    let text = String::from_utf8(get(&server, "/metrics").await.body).expect("UTF-8");
    for name in ["requests_running", "requests_waiting"] {
        assert!(text.contains(&format!("phial_{name}{{model_name=\"fake/echo\"}} 0\n")), "{text}");
    }
    assert!(text.contains("phial_kv_cache_usage_ratio{model_name=\"fake/echo\"} 0.0\n"), "{text}");
    // Some were answered, some were turned away, and many left early.
    for part in ["finished_reason=\"stop\"}", "finished_reason=\"abort\"}"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Every place is free: as many requests are let in as at the beginning.
    let places = server.engine().requests_max();
    let body = chat("forever", json!({"stream": true})).to_string().into_bytes();
    let mut held = Vec::new();
    for _ in 0..places {
        let response = begin(&server, "POST", "/v1/chat/completions", body.clone()).await;
        assert_eq!(response.status(), StatusCode::OK);
        held.push(response);
    }
    let response = begin(&server, "POST", "/v1/chat/completions", body).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(held);
    wait_active(&server, 0).await;
}

#[tokio::test]
async fn headers_come_before_the_first_token() {
    let server = slow_server(400);
    let (address, _stop, _task) = bind(&server).await;
    let started = Instant::now();
    let mut stream = connect(address, &chat("Hi", json!({"stream": true}))).await;
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.expect("a status line");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    assert!(started.elapsed() < Duration::from_millis(390), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_panic_of_the_model_ends_everything_properly() {
    let server = slow_server(2);
    let ask = |content: &str| chat(content, json!({"stream": true}));
    let path = "/v1/chat/completions";
    let bystander = begin(&server, "POST", path, ask("forever").to_string().into_bytes()).await;
    wait_active(&server, 1).await;
    let reply = post(&server, &chat("panic", json!({}))).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.json()["error"]["type"], "server_error");

    // The stream of someone else ends, with an error and without [DONE].
    let body = bystander.into_body().collect().await.expect("an end").to_bytes();
    let events = Events::parse(&body);
    assert!(!events.done);
    let error = &events.chunks.last().expect("an error")["error"];
    assert_eq!(error["type"], "server_error");
    assert_eq!(error["code"], "internal_error");

    assert_eq!(server.engine().state(), EngineState::Failed);
    let health = get(&server, "/health").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.json(), json!({"status": "failed"}));
    for more in [json!({}), json!({"stream": true})] {
        let reply = post(&server, &chat("Hi", more)).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    server.engine().join();
}

#[tokio::test]
async fn answers_are_finished_before_the_end() {
    let server = slow_server(10);
    let (address, stop, task) = bind(&server).await;
    let mut stream = connect(address, &chat("Hello", json!({"stream": true}))).await;
    wait_active(&server, 1).await;
    stop.send(()).expect("still serving");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("data: [DONE]\n\n"), "{answer}");
    task.await.expect("no panic");
    assert_eq!(server.engine().state(), EngineState::Stopped);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn answers_that_take_too_long_are_cut_with_an_error() {
    let options =
        ServerOptions { shutdown_grace: Duration::from_millis(50), ..ServerOptions::default() };
    let server = fake::server(Duration::from_millis(20), fake::engine_limits(), options);
    let (address, stop, task) = bind(&server).await;
    let mut streamed = connect(address, &chat("forever", json!({"stream": true}))).await;
    let mut plain = connect(address, &chat("forever", json!({}))).await;
    wait_active(&server, 2).await;
    stop.send(()).expect("still serving");
    let mut answer = String::new();
    streamed.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.contains("server_shutting_down"), "{answer}");
    assert!(!answer.contains("[DONE]"));
    answer.clear();
    plain.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    task.await.expect("no panic");
}

#[tokio::test]
async fn many_clients_get_their_own_answers() {
    let server = server();
    let asks = (0..12).map(|index| {
        let server = server.clone();
        tokio::spawn(async move {
            let content = format!("answer number {index}");
            let reply = post(&server, &chat(&content, json!({}))).await;
            assert_eq!(reply.json()["choices"][0]["message"]["content"], content);
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.expect("no panic");
    }
    wait_active(&server, 0).await;
}
