//! What the gateway costs: `overhead run FOLDER [CONNECTIONS] [SECONDS]`.
//!
//! Three processes: this one asks, over connections that stay; the second is the gateway with
//! accounts, keys, prices, limits, reservation and ledger on, in front of an upstream in the same
//! process that answers at once. Latency is told for a few connections and for many, throughput
//! for many, memory as the gateway's own after all of it. `overhead load ADDRESS KEY CONNECTIONS
//! SECONDS` asks anything else, such as a plain proxy in front of `overhead upstream PORT`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use phial_gateway::{BoxFuture, Demand, Gateway, Refusal, Settings, Upstream};
use phial_openai::metering::{Meter, TokenCounts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

const BODY: &str = r#"{"model":"stub","messages":[{"role":"user","content":"What is the capital of France?"}],"max_tokens":32}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}],"usage":{"prompt_tokens":14,"completion_tokens":3,"total_tokens":17}}"#;

/// Answers at once.
struct Instantly;

impl Upstream for Instantly {
    fn models(&self) -> Vec<String> {
        vec!["stub".to_owned()]
    }

    fn measure<'a>(
        &'a self,
        _: &'a str,
        _: &'a Bytes,
    ) -> BoxFuture<'a, Result<Option<Demand>, Refusal>> {
        let demand = Demand { prompt_tokens: 14, completion_tokens_max: 32 };
        Box::pin(async move { Ok(Some(demand)) })
    }

    fn call<'a>(&'a self, _: Request<Body>, meter: Meter) -> BoxFuture<'a, Response<Body>> {
        meter.finish(TokenCounts { prompt_tokens: 14, cached_tokens: 4, completion_tokens: 3 });
        Box::pin(async { answer() })
    }
}

fn answer() -> Response<Body> {
    let mut response = Response::new(Body::from(ANSWER));
    let json = axum::http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    match words[..] {
        ["serve", folder] => runtime.block_on(serve(folder)),
        ["upstream", port] => runtime.block_on(upstream(port)),
        ["load", address, key, connections, seconds] => {
            let (connections, seconds) = (number(connections), number(seconds));
            runtime.block_on(load(address, key, connections, seconds)).show(connections);
        }
        ["run", folder] => run(&runtime, folder, 64, 10),
        ["run", folder, connections, seconds] => {
            run(&runtime, folder, number(connections), number(seconds));
        }
        _ => eprintln!("overhead run FOLDER [CONNECTIONS SECONDS]"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn run(runtime: &tokio::runtime::Runtime, folder: &str, connections: usize, seconds: usize) {
    let program = std::env::current_exe().expect("this program");
    let mut child =
        Command::new(program).args(["serve", folder]).stdout(Stdio::piped()).spawn().expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next().expect("a line").expect("text");
    let (address, key) = line.split_once(' ').expect("address and key");
    for connections in [1, 4, connections] {
        // Pages and caches fill first.
        runtime.block_on(load(address, key, connections, 1));
        runtime.block_on(load(address, key, connections, seconds)).show(connections);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    for line in status.unwrap_or_default().lines() {
        if line.starts_with("VmRSS") || line.starts_with("VmHWM") {
            println!("{line}");
        }
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
}

/// The gateway, with everything on.
async fn serve(folder: &str) {
    let mut settings = Settings::in_folder(folder);
    settings.database = std::env::var("OVERHEAD_DATABASE").ok();
    let prices = json!({ "*": { "input": 150_000, "cached_input": 75_000, "output": 600_000 } });
    settings.prices = serde_json::from_value(prices).ok();
    let gateway = Gateway::open(settings, Arc::new(Instantly)).await.expect("a gateway");
    let routes = gateway.routes();
    let key = make_key(&gateway, &routes).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{} {key}", listener.local_addr().expect("an address"));
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).await.expect("serves");
}

/// A key with every limit, none of which is reached.
async fn make_key(gateway: &Gateway, routes: &Router) -> String {
    let secret = gateway.setup_secret().await.expect("a database").expect("an empty folder");
    let told = json!({ "secret": secret, "username": "root", "password": "overhead" });
    let request = Request::post("/api/setup").header("content-type", "application/json");
    let request = request.body(Body::from(told.to_string())).expect("a request");
    let response = routes.clone().oneshot(request).await.expect("infallible");
    let cookie = response.headers()["set-cookie"].to_str().expect("text").to_owned();
    let data = read(response).await;
    let told = json!({
        "name": "overhead", "remain_quota": 1_000_000_000_000i64, "unlimited_quota": false,
        "remain_tokens": 1_000_000_000_000i64, "unlimited_tokens": false,
        "model_limits": "stub", "model_limits_enabled": true, "allow_ips": "127.0.0.0/8",
        "modalities": "text", "requests_per_minute": 100_000_000, "tokens_per_minute": 1_000_000_000,
        "parallel_requests": 100_000,
    });
    let request = Request::post("/api/token/")
        .header("content-type", "application/json")
        .header("cookie", cookie.split(';').next().expect("a pair"))
        .header("x-csrf-token", data["csrf_token"].as_str().expect("text"))
        .body(Body::from(told.to_string()))
        .expect("a request");
    let response = routes.clone().oneshot(request).await.expect("infallible");
    read(response).await["key"].as_str().expect("a key").to_owned()
}

async fn read(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(json["success"], true, "{json}");
    json["data"].clone()
}

/// The answer alone, for a plain proxy to stand before.
async fn upstream(port: &str) {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.expect("a port");
    let routes = Router::new().fallback(|_: Bytes| async { answer() });
    axum::serve(listener, routes).await.expect("serves");
}

/// What was measured.
struct Measured {
    /// In order.
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Measured {
    fn show(&self, connections: usize) {
        let count = self.latencies.len();
        let at = |share: f64| {
            let index = ((count as f64 * share) as usize).min(count.saturating_sub(1));
            self.latencies.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        println!(
            "{connections} connections: {:.0} requests/s, p50 {:.3} ms, p90 {:.3} ms, \
             p99 {:.3} ms, p99.9 {:.3} ms, {count} requests",
            count as f64 / self.elapsed.as_secs_f64(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
        );
    }
}

async fn load(address: &str, key: &str, connections: usize, seconds: usize) -> Measured {
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let request: Arc<[u8]> = request.into_bytes().into();
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds as u64);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (request, address) = (Arc::clone(&request), address.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.set_nodelay(true).expect("an option");
            let mut latencies = Vec::new();
            let mut buffer = Vec::with_capacity(4096);
            while Instant::now() < end {
                let asked = Instant::now();
                stream.write_all(&request).await.expect("sent");
                buffer.clear();
                while !buffer.ends_with(ANSWER.as_bytes()) {
                    assert!(stream.read_buf(&mut buffer).await.expect("read") > 0, "closed");
                    let is_error = buffer.len() > 12 && !buffer.starts_with(b"HTTP/1.1 200");
                    assert!(!is_error, "{}", String::from_utf8_lossy(&buffer));
                }
                latencies.push(asked.elapsed());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a client"));
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    Measured { latencies, elapsed }
}
