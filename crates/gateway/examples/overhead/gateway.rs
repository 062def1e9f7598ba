//! The gateway, with everything on.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use phial_gateway::networks::Proxies;
use phial_gateway::upstreams::{ChannelSettings, Channels};
use phial_gateway::{ClientAddress, Gateway, Listening, Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt;

use crate::stub::TOKENS;

/// What the key may spend, and as many tokens.
const QUOTA: i64 = 1_000_000_000_000;

/// Of one token, in units of money: not cached, cached, generated.
const PRICES: [i64; 3] = [2, 1, 8];

/// Prices are for so many tokens.
const PRICED_TOKENS: i64 = 1_000_000;

/// Serves until its standard input ends.
pub fn run(folder: &str, upstream: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("threads").block_on(serve(folder, upstream));
}

async fn serve(folder: &str, upstream: &str) {
    let mut settings = Settings::in_folder(folder);
    let [input, cached_input, output] = PRICES.map(|price| price * PRICED_TOKENS);
    let prices = json!({ "*": { "input": input, "cached_input": cached_input, "output": output } });
    settings.prices = serde_json::from_value(prices).ok();
    let channels = Arc::new(Channels::new(None));
    let channel =
        ChannelSettings::openai(-1, "stub", &format!("http://{upstream}/v1"), vec!["stub".into()]);
    let gateway = Gateway::open_with_channels(settings, Arc::clone(&channels), vec![channel]);
    let gateway = gateway.await.expect("a gateway");
    tokio::spawn(channels.watch());
    let administrator = Administrator::new(&gateway).await;
    let token = administrator.make_key().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let proxies = Proxies::default();
    let listening = Listening { listener, tls: None, proxies, grace: Duration::ZERO };
    tokio::spawn(listening.serve(gateway.routes(), pending()));
    println!("{address} {}", token["key"].as_str().expect("a key"));
    let next_line = || async {
        let read = || std::io::stdin().lines().next().and_then(Result::ok);
        tokio::task::spawn_blocking(read).await.expect("no panic")
    };
    while next_line().await.as_deref() == Some("settle") {
        gateway.flush().await;
        println!("{}", administrator.settled(&token["id"]).await);
    }
}

/// Who made the key, signed in.
struct Administrator {
    routes: Router,
    cookie: String,
    csrf_token: String,
}

impl Administrator {
    async fn new(gateway: &Gateway) -> Self {
        let secret = gateway.setup_secret().await.expect("a database").expect("an empty folder");
        let mut new =
            Self { routes: gateway.routes(), cookie: String::new(), csrf_token: String::new() };
        let told = json!({ "secret": secret, "username": "root", "password": "overhead" });
        let response = new.send("POST", "/api/setup", told.to_string()).await;
        let cookie = response.headers()["set-cookie"].to_str().expect("text");
        new.cookie = cookie.split(';').next().expect("a pair").to_owned();
        new.csrf_token = read(response).await["csrf_token"].as_str().expect("text").to_owned();
        new
    }

    /// With every limit, none of which is reached.
    async fn make_key(&self) -> Value {
        let told = json!({
            "name": "overhead", "remain_quota": QUOTA, "unlimited_quota": false,
            "remain_tokens": QUOTA, "unlimited_tokens": false,
            "model_limits": "stub", "model_limits_enabled": true, "allow_ips": "127.0.0.0/8",
            "modalities": "text", "requests_per_minute": 100_000_000,
            "tokens_per_minute": 1_000_000_000, "parallel_requests": 100_000,
        });
        read(self.send("POST", "/api/token/", told.to_string()).await).await
    }

    /// What the rows of the ledger add up to, and what is kept beside them.
    async fn settled(&self, key: &Value) -> Value {
        let read = async |path: &str| read(self.send("GET", path, String::new()).await).await;
        let rows = read("/api/data/?by=model").await;
        let key = read(&format!("/api/token/{key}")).await;
        let number = |value: &Value| value.as_i64().expect("a number");
        let cost: i64 = TOKENS.iter().zip(PRICES).map(|(tokens, price)| tokens * price).sum();
        json!({
            "requests": rows[0]["requests"], "errors": rows[0]["errors"],
            "cost": rows[0]["quota"], "cost_of_each": cost,
            "taken_from_key": QUOTA - number(&key["remain_quota"]),
            "tokens": number(&rows[0]["prompt_tokens"]) + number(&rows[0]["completion_tokens"]),
            "tokens_of_each": TOKENS.iter().sum::<i64>(),
            "tokens_taken_from_key": QUOTA - number(&key["remain_tokens"]),
        })
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Response<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .extension(ClientAddress(IpAddr::from([127, 0, 0, 1])))
            .header("content-type", "application/json")
            .header("cookie", &self.cookie)
            .header("x-csrf-token", &self.csrf_token)
            .body(Body::from(body))
            .expect("a request");
        self.routes.clone().oneshot(request).await.expect("infallible")
    }
}

async fn read(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(json["success"], true, "{json}");
    json["data"].clone()
}
