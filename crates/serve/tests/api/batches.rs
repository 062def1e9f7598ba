//! Files, and batches of requests in them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use phial_serve::{Server, ServerOptions, Storage, StorageLimits};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::client::{Reply, begin, chat, get, post_to, send, server};
use crate::fake::{self, MODEL};

fn limits() -> StorageLimits {
    StorageLimits { file_bytes_max: 4000, files_max: 8, ..StorageLimits::default() }
}

fn server_with(folder: &Path, step_millis: u64) -> Server {
    let storage = Arc::new(Storage::open(folder, limits()).expect("a storage"));
    let options = ServerOptions { storage: Some(storage), ..ServerOptions::default() };
    fake::server(Duration::from_millis(step_millis), fake::engine_limits(), options)
}

async fn upload(server: &Server, content: &str, fields: &[(&str, &str)]) -> Reply {
    let mut form = String::new();
    for (name, value) in fields {
        form += &format!(
            "--edge\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    form += &format!(
        "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\
         content-type: application/jsonl\r\n\r\n{content}\r\n--edge--\r\n"
    );
    let request = Request::post("/v1/files")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(Body::from(form))
        .expect("a request");
    let response = phial_serve::router(server).oneshot(request).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
    Reply { status, headers, body }
}

fn line(name: &str, content: &str) -> String {
    let body = chat(content, json!({}));
    let line =
        json!({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body});
    format!("{line}\n")
}

async fn batch(server: &Server, content: &str) -> Value {
    let file = upload(server, content, &[("purpose", "batch")]).await.json();
    let body = json!({
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"night": "1"},
    });
    let reply = post_to(server, "/v1/batches", &body).await;
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.json());
    reply.json()
}

async fn wait(server: &Server, id: &Value, until: &[&str]) -> Value {
    let path = format!("/v1/batches/{}", id.as_str().expect("an id"));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let batch = get(server, &path).await.json();
        if until.contains(&batch["status"].as_str().expect("a status")) {
            return batch;
        }
        assert!(Instant::now() < deadline, "{batch}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn lines(server: &Server, id: &Value) -> Vec<Value> {
    let path = format!("/v1/files/{}/content", id.as_str().expect("a file"));
    let text = String::from_utf8(get(server, &path).await.body).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn files_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 0);
    let reply = upload(&server, "some\ntext", &[("purpose", "user_data")]).await;
    assert_eq!(reply.status, StatusCode::OK);
    let file = reply.json();
    let id = file["id"].as_str().unwrap();
    assert!(id.starts_with("file-"));
    for (name, expected) in [
        ("object", json!("file")),
        ("bytes", json!(9)),
        ("filename", json!("in.jsonl")),
        ("purpose", json!("user_data")),
        ("status", json!("processed")),
    ] {
        assert_eq!(file[name], expected);
    }
    let expiring = [
        ("purpose", "batch"),
        ("expires_after[anchor]", "created_at"),
        ("expires_after[seconds]", "3600"),
    ];
    let other = upload(&server, "{}", &expiring).await.json();
    let span = other["expires_at"].as_u64().unwrap() - other["created_at"].as_u64().unwrap();
    assert_eq!(span, 3600);

    // The next server finds them.
    let server = server_with(folder.path(), 0);
    assert_eq!(get(&server, &format!("/v1/files/{id}")).await.json(), file);
    assert_eq!(get(&server, &format!("/v1/files/{id}/content")).await.body, b"some\ntext");
    let list = get(&server, "/v1/files?purpose=user_data").await.json();
    assert_eq!((&list["data"], &list["has_more"]), (&json!([file]), &json!(false)));
    let first = get(&server, "/v1/files?limit=1&order=asc").await.json();
    assert_eq!(first["has_more"], true);
    let deleted = send(&server, "DELETE", &format!("/v1/files/{id}"), Vec::new()).await.json();
    assert_eq!(deleted, json!({"id": id, "object": "file", "deleted": true}));
    for path in [format!("/v1/files/{id}"), format!("/v1/files/{id}/content")] {
        assert_eq!(get(&server, &path).await.status, StatusCode::NOT_FOUND);
    }
    let left = std::fs::read_dir(folder.path().join("files")).unwrap().count();
    assert_eq!(left, 2, "the other file and what is known of it");
}

#[tokio::test]
async fn uploads_are_bounded_and_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 0);
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "purpose"),
        (&[("purpose", "fine-tune")], "purpose"),
        (&[("purpose", "batch"), ("more", "x")], "more"),
        (&[("purpose", "batch"), ("expires_after[seconds]", "3600")], "expires_after[anchor]"),
        (
            &[
                ("purpose", "batch"),
                ("expires_after[anchor]", "created_at"),
                ("expires_after[seconds]", "5"),
            ],
            "expires_after[seconds]",
        ),
    ];
    for (fields, param) in cases {
        let reply = upload(&server, "x", fields).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{param}");
        assert_eq!(reply.json()["error"]["param"], param);
    }
    let reply = upload(&server, &"x".repeat(4001), &[("purpose", "batch")]).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let reply = send(&server, "POST", "/v1/files", b"{}".to_vec()).await;
    assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for _ in 0..8 {
        assert_eq!(upload(&server, "x", &[("purpose", "batch")]).await.status, StatusCode::OK);
    }
    let reply = upload(&server, "x", &[("purpose", "batch")]).await;
    assert_eq!(reply.json()["error"]["code"], "storage_full");
    // What was refused left nothing behind.
    let left = std::fs::read_dir(folder.path().join("files")).unwrap().count();
    assert_eq!(left, 16);
}

#[tokio::test]
async fn without_a_folder_there_are_none() {
    let server = server();
    for (method, path) in [
        ("GET", "/v1/files"),
        ("GET", "/v1/files/x"),
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches"),
    ] {
        let reply = send(&server, method, path, b"{}".to_vec()).await;
        assert_eq!(reply.json()["error"]["code"], "files_not_configured", "{method} {path}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains("--files"));
    }
}

#[tokio::test]
async fn a_batch_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 0);
    let wrong = json!({"custom_id": "wrong", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": MODEL, "messages": []}});
    let content = line("one", "Hello") + &line("two", "World") + &format!("\n{wrong}\n");
    let started = batch(&server, &content).await;
    assert_eq!((&started["object"], &started["status"]), (&json!("batch"), &json!("validating")));
    let done = wait(&server, &started["id"], &["completed"]).await;
    assert_eq!(done["request_counts"], json!({"total": 3, "completed": 2, "failed": 1}));
    assert_eq!(done["metadata"], json!({"night": "1"}));
    for moment in ["created_at", "in_progress_at", "finalizing_at", "completed_at", "expires_at"] {
        assert!(done[moment].is_u64(), "{moment}");
    }
    let mut output = lines(&server, &done["output_file_id"]).await;
    output.sort_by_key(|line| line["custom_id"].to_string());
    let says = |line: &Value| line["response"]["body"]["choices"][0]["message"]["content"].clone();
    assert_eq!(output.iter().map(says).collect::<Vec<_>>(), ["Hello", "World"]);
    assert_eq!(output[0]["custom_id"], "one");
    assert_eq!(output[0]["error"], Value::Null);
    assert_eq!(output[0]["response"]["status_code"], 200);
    assert!(output[0]["response"]["request_id"].as_str().unwrap().starts_with("req_"));
    let errors = lines(&server, &done["error_file_id"]).await;
    assert_eq!((errors.len(), &errors[0]["response"]["status_code"]), (1, &json!(400)));
    let list = get(&server, "/v1/batches").await.json();
    assert_eq!(list["data"], json!([done]));
}

#[tokio::test]
async fn inputs_are_checked_before_anything_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 0);
    let other = json!({"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": {}});
    for (content, code, number) in [
        (String::new(), "empty_file", Value::Null),
        ("{".to_owned(), "invalid_json_line", json!(1)),
        (line("a", "x") + &line("a", "y"), "duplicate_custom_id", json!(2)),
        (line("a", "x") + &other.to_string(), "mismatched_endpoint", json!(2)),
    ] {
        let started = batch(&server, &content).await;
        let failed = wait(&server, &started["id"], &["failed"]).await;
        let error = &failed["errors"]["data"][0];
        assert_eq!((&error["code"], &error["line"]), (&json!(code), &number), "{failed}");
        assert!(failed.get("output_file_id").is_none());
    }
    let body = |endpoint: &str, window: &str| json!({"input_file_id": "file-x", "endpoint": endpoint, "completion_window": window});
    let post = async |body: Value| post_to(&server, "/v1/batches", &body).await;
    assert_eq!(post(body("/v1/completions", "24h")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(post(body("/v1/completions", "1h")).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(post(body("/v1/moderations", "24h")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_batch_can_be_cancelled() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 3);
    let content: String = (0..20).map(|index| line(&format!("r{index}"), "Hello")).collect();
    let started = batch(&server, &content).await;
    wait(&server, &started["id"], &["in_progress"]).await;
    let path = format!("/v1/batches/{}/cancel", started["id"].as_str().unwrap());
    let reply = send(&server, "POST", &path, Vec::new()).await;
    assert_eq!(reply.json()["status"], "cancelling");
    let done = wait(&server, &started["id"], &["cancelled"]).await;
    let counts = &done["request_counts"];
    assert_eq!(counts["total"], 20);
    assert_eq!(counts["completed"].as_u64().unwrap() + counts["failed"].as_u64().unwrap(), 20);
    let errors = lines(&server, &done["error_file_id"]).await;
    assert_eq!(errors.last().unwrap()["error"]["code"], "batch_cancelled");
    assert!(done["cancelled_at"].is_u64());
}

#[tokio::test]
async fn a_batch_survives_its_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 3);
    let content: String = (0..12).map(|index| line(&format!("r{index}"), "Hello")).collect();
    let started = batch(&server, &content).await;
    let path = format!("/v1/batches/{}", started["id"].as_str().unwrap());
    while get(&server, &path).await.json()["request_counts"]["completed"].as_u64() < Some(3) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.engine().stop();
    server.engine().join();
    // The task of the batch sees the end of the engine.
    tokio::time::sleep(Duration::from_millis(200)).await;

    let server = server_with(folder.path(), 0);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let serving = phial_serve::serve(server.clone(), listener, std::future::pending());
    let serving = tokio::spawn(serving);
    let done = wait(&server, &started["id"], &["completed"]).await;
    assert_eq!(done["request_counts"], json!({"total": 12, "completed": 12, "failed": 0}));
    let mut names: Vec<String> = lines(&server, &done["output_file_id"])
        .await
        .iter()
        .map(|line| line["custom_id"].to_string())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 12);
    serving.abort();
}

#[tokio::test]
async fn clients_come_before_batches() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_with(folder.path(), 2);
    // Clients fill the engine, and one of them waits.
    let ask = chat("forever", json!({"stream": true})).to_string().into_bytes();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(begin(&server, "POST", "/v1/chat/completions", ask.clone()).await);
    }
    crate::client::wait_active(&server, 5).await;
    let started = batch(&server, &line("one", "Hello")).await;
    wait(&server, &started["id"], &["in_progress"]).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(server.engine().requests_active(), 5, "the batch keeps back");
    clients.clear();
    wait(&server, &started["id"], &["completed"]).await;
}
