//! What a request takes, as whoever bills for it hears it, and whose what it leaves is.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use phial_openai::metering::{Meter, Owner, Payer, TokenCounts, UsageSink};
use phial_serve::{Server, ServerOptions, Storage, StorageLimits};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::client::{chat, server, slow_server, wait_active};
use crate::fake::{self, MODEL};

/// What was told, and whether the end of it was.
#[derive(Clone, Default)]
struct Bill(Arc<Mutex<(TokenCounts, bool)>>);

struct Sink(Bill);

impl UsageSink for Sink {
    fn report(&self, counts: TokenCounts) {
        let mut bill = self.0.0.lock().unwrap();
        assert_eq!(counts, bill.0.max(counts), "totals never fall");
        bill.0 = counts;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().1 = true;
    }
}

impl Bill {
    /// The counts, once nothing more can come.
    async fn ended(&self) -> TokenCounts {
        let patience = Instant::now();
        loop {
            let (counts, ended) = *self.0.lock().unwrap();
            if ended {
                return counts;
            }
            assert!(patience.elapsed() < Duration::from_secs(5), "the bill stays open");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn begin(server: &Server, path: &str, body: &Value) -> (Response, Bill) {
    let bill = Bill::default();
    let request = Request::post(path)
        .header("content-type", "application/json")
        .extension(Meter::new(Arc::new(Sink(bill.clone()))))
        .body(Body::from(body.to_string()))
        .unwrap();
    (phial_serve::router(server).oneshot(request).await.unwrap(), bill)
}

/// The answer, and what it was billed.
async fn answer(server: &Server, path: &str, body: &Value) -> (Value, TokenCounts) {
    let measured = server.measure(path, body.to_string().as_bytes()).await;
    let measured = measured.unwrap().unwrap();
    let (response, bill) = begin(server, path, body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let counts = bill.ended().await;
    assert_eq!(measured.prompt_tokens, counts.prompt_tokens, "{path}");
    assert!(counts.completion_tokens <= measured.generated_tokens_max, "{path}");
    (serde_json::from_slice(&bytes).unwrap_or_default(), counts)
}

#[tokio::test]
async fn the_bill_is_the_usage_that_the_answer_tells() {
    let server = server();
    let bodies = [
        ("/v1/chat/completions", chat("Hello", json!({}))),
        ("/v1/chat/completions", chat("Hello", json!({"n": 3, "max_tokens": 4}))),
        ("/v1/chat/completions", chat("forever", json!({"max_tokens": 7}))),
        ("/v1/completions", json!({"model": MODEL, "prompt": ["abc", "ab"], "n": 2})),
        (
            "/v1/completions",
            json!({"model": MODEL, "prompt": "abc", "max_tokens": 0, "echo": true}),
        ),
    ];
    for (path, body) in bodies {
        let (answer, counts) = answer(&server, path, &body).await;
        let usage = &answer["usage"];
        assert_eq!(usage["prompt_tokens"], counts.prompt_tokens, "{answer}");
        assert_eq!(usage["completion_tokens"], counts.completion_tokens, "{answer}");
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
        assert_eq!(cached, counts.cached_tokens, "{answer}");
    }
    let embed = json!({"model": MODEL, "input": ["abc", "de"]});
    let (answer_, counts) = answer(&server, "/v1/embeddings", &embed).await;
    assert_eq!(answer_["usage"]["prompt_tokens"], counts.prompt_tokens);
    assert_eq!(counts.completion_tokens, 0);
    let ask = json!({"model": MODEL, "input": "Hello"});
    let (answer_, counts) = answer(&server, "/v1/responses", &ask).await;
    assert_eq!(answer_["usage"]["output_tokens"], counts.completion_tokens);
    let ask = chat("Hello", json!({"max_tokens": 20}));
    let (answer_, counts) = answer(&server, "/v1/messages", &ask).await;
    assert_eq!(answer_["usage"]["output_tokens"], counts.completion_tokens);
}

#[tokio::test]
async fn a_second_time_is_cached_and_billed_so() {
    let server = server();
    let body = chat(&"x".repeat(200), json!({"max_tokens": 1}));
    let (_, first) = answer(&server, "/v1/chat/completions", &body).await;
    let (told, second) = answer(&server, "/v1/chat/completions", &body).await;
    assert_eq!(first.cached_tokens, 0);
    assert!(second.cached_tokens > 100);
    let cached = &told["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert_eq!(*cached, second.cached_tokens);
}

#[tokio::test]
async fn what_is_left_is_billed_as_far_as_the_engine_came() {
    let server = slow_server(5);
    let body = chat("forever", json!({"stream": true, "max_tokens": 400}));
    let (response, bill) = begin(&server, "/v1/chat/completions", &body).await;
    let mut body = response.into_body();
    let mut seen = String::new();
    while seen.matches("\"content\":\"x\"").count() < 5 {
        let frame = body.frame().await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    drop(body);
    let counts = bill.ended().await;
    wait_active(&server, 0).await;
    assert!(counts.prompt_tokens > 0);
    assert!((5..50).contains(&counts.completion_tokens), "{counts:?}");
}

#[tokio::test]
async fn what_is_refused_is_billed_nothing() {
    let server = server();
    for body in [chat("x", json!({"temperature": 9})), chat(&"x".repeat(600), json!({}))] {
        let path = "/v1/chat/completions";
        let measured = server.measure(path, body.to_string().as_bytes()).await;
        let refused = measured.unwrap_err();
        let (response, bill) = begin(&server, path, &body).await;
        assert_eq!(refused.status(), response.status());
        drop(response);
        assert_eq!(bill.ended().await, TokenCounts::default());
    }
    assert_eq!(server.measure("/tokenize", b"{}").await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_and_its_files_are_their_owners_and_its_requests_are_its_payers() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path(), StorageLimits::default()).unwrap();
    let options = ServerOptions { storage: Some(Arc::new(storage)), ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    // What stands before the server hears whose each request is, and answers it itself.
    let heard: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let hearing = Arc::clone(&heard);
    let answering = move |request: Request<Body>| {
        let owner = request.extensions().get::<Owner>().unwrap().0.to_string();
        let payer = request.extensions().get::<Payer>().unwrap().0.to_string();
        hearing.lock().unwrap().push((owner, payer));
        async { axum::Json(json!({"answered": true})) }
    };
    let batch_routes = axum::Router::new().fallback(answering);
    let answer = |_| pending::<Result<(), std::convert::Infallible>>();
    tokio::spawn(phial_serve::serve_behind(server.clone(), batch_routes, pending(), answer));
    let ask = async |owner: &str, request: axum::http::request::Builder, body: String| {
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Owner(owner.into()));
        request.extensions_mut().insert(Payer("payer1".into()));
        let response = phial_serve::router(&server).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
                      "body": chat("Hello", json!({}))});
    let form = format!(
        "--e\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--e\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"in\"\r\n\r\n{line}\n\r\n--e--\r\n"
    );
    let upload =
        Request::post("/v1/files").header("content-type", "multipart/form-data; boundary=e");
    let (status, file) = ask("7", upload, form).await;
    assert_eq!(status, 200, "{file}");
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    let made = json!({"input_file_id": file["id"], "endpoint": "/v1/chat/completions",
                      "completion_window": "24h"});
    let create = || Request::post("/v1/batches").header("content-type", "application/json");
    assert_eq!(ask("7", Request::get(&path), String::new()).await.0, 200);
    for stranger in ["8", "../7", ""] {
        assert_ne!(ask(stranger, Request::get(&path), String::new()).await.0, 200);
        assert_ne!(ask(stranger, create(), made.to_string()).await.0, 200);
    }
    let list = ask("8", Request::get("/v1/files"), String::new()).await.1;
    assert_eq!(list["data"], json!([]));
    let (status, batch) = ask("7", create(), made.to_string()).await;
    assert_eq!(status, 200, "{batch}");
    let path = format!("/v1/batches/{}", batch["id"].as_str().unwrap());
    let patience = Instant::now();
    while ask("7", Request::get(&path), String::new()).await.1["status"] != "completed" {
        assert!(patience.elapsed() < Duration::from_secs(5), "the batch does not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ask("8", Request::get(&path), String::new()).await.0, 404);
    assert_eq!(*heard.lock().unwrap(), [("7".to_owned(), "payer1".to_owned())]);
}

#[tokio::test]
async fn a_stored_response_is_its_owners() {
    let server = server();
    let ask = async |owner: Option<&str>, method: &str, path: &str, body: Value| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        if let Some(owner) = owner {
            request.extensions_mut().insert(Owner(owner.into()));
        }
        let response = phial_serve::router(&server).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default())
    };
    let hello = json!({"model": MODEL, "input": "Hello"});
    let (_, stored) = ask(Some("ann"), "POST", "/v1/responses", hello).await;
    let id = stored["id"].as_str().unwrap();
    let path = format!("/v1/responses/{id}");
    let items = format!("{path}/input_items");
    let go_on = json!({"model": MODEL, "input": "more", "previous_response_id": id});
    for stranger in [Some("bob"), None] {
        assert_eq!(ask(stranger, "GET", &path, json!({})).await.0, 404);
        assert_eq!(ask(stranger, "GET", &items, json!({})).await.0, 404);
        assert_eq!(ask(stranger, "DELETE", &path, json!({})).await.0, 404);
        let status = ask(stranger, "POST", "/v1/responses", go_on.clone()).await.0;
        assert!((400..500).contains(&status), "{status}");
    }
    assert_eq!(ask(Some("ann"), "GET", &path, json!({})).await.0, 200);
    assert_eq!(ask(Some("ann"), "POST", "/v1/responses", go_on).await.0, 200);
    assert_eq!(ask(Some("ann"), "DELETE", &path, json!({})).await.0, 200);
}
