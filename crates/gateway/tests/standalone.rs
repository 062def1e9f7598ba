//! A gateway as `phial gateway` runs it: from its configuration file to a paid answer.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use phial_gateway::{Configuration, Standalone, Urls};
use serde_json::{Value, json};

/// A server that has the model and tells what it took.
async fn model_server() -> SocketAddr {
    let answer = async |headers: HeaderMap| {
        assert_eq!(headers["authorization"], "Bearer sk-upstream");
        json!({"id": "1", "model": "theirs", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "hello"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
        .to_string()
    };
    let routes = Router::new().route("/v1/chat/completions", post(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    headers: HeaderMap,
}

impl Browser {
    /// Status and headers of an answer to a request with these headers.
    async fn head(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap) {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.request(request.body(Full::default()).unwrap()).await.unwrap();
        (answer.status(), answer.headers().clone())
    }

    async fn ask(&mut self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let mut request = request.body(Full::from(body.to_string())).unwrap();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let answer = self.client.request(request).await.unwrap();
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.headers.insert("cookie", cookie.parse().unwrap());
        }
        let status = answer.status();
        let body = Body::new(answer.into_body()).collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

fn configuration(folder: &std::path::Path, upstream: SocketAddr) -> Configuration {
    let key = folder.join("key");
    std::fs::write(&key, "sk-upstream").unwrap();
    let text = format!(
        "[gateway]\nlisten = '127.0.0.1:0'\naccounts = '{}'\ntrusted_proxies = ['127.0.0.1']\n\
         [gateway.prices.'*']\ninput = 1000000\noutput = 2000000\n\
         [[gateway.upstreams]]\nname = 'one'\nbase_url = 'http://{upstream}'\nmodels = ['phi']\n\
         model_mapping = {{ phi = 'theirs' }}\nkey_file = '{}'\nhealth_seconds = 0\n",
        folder.join("accounts").display(),
        key.display()
    );
    Configuration::parse(&text).unwrap().unwrap()
}

#[tokio::test]
async fn from_the_first_start_to_a_paid_answer() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), model_server().await);
    let gateway = Standalone::open(&configuration, Duration::from_secs(5)).await.unwrap();
    let base = gateway.urls().api.clone();
    let secret = gateway.setup_secret().await.unwrap().unwrap();
    let greeting = gateway.urls().greeting(Some(&secret));
    assert!(greeting.contains(&format!("listening on {base}\n")), "{greeting}");
    assert!(greeting.contains(&format!("  {base}/console/setup#{secret}\n")), "{greeting}");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(gateway.serve(async move { drop(stopped.await) }));

    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut browser = Browser { client, base, headers: HeaderMap::new() };
    let set_up = json!({"secret": secret, "username": "ada", "password": "correct horse battery"});
    let (status, told) = browser.ask("POST", "/api/setup", set_up).await;
    assert_eq!(status, 200, "{told}");
    let csrf = told["data"]["csrf_token"].as_str().unwrap().to_owned();
    browser.headers.insert("x-csrf-token", csrf.parse().unwrap());
    // The key is good behind the proxy for one client alone.
    let token = json!({"name": "test", "expired_time": -1, "unlimited_quota": true,
        "allow_ips": "203.0.113.7"});
    let (status, told) = browser.ask("POST", "/api/token/", token).await;
    assert_eq!(status, 200, "{told}");
    let key = told["data"]["key"].as_str().unwrap().to_owned();

    let chat = json!({"model": "phi", "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 16});
    let mut caller = Browser { headers: HeaderMap::new(), base: browser.base.clone(), ..browser };
    caller.headers.insert("authorization", format!("Bearer {key}").parse().unwrap());
    for (forwarded, expected) in [("198.51.100.1", 403), ("203.0.113.7, 198.51.100.1", 403)] {
        caller.headers.insert("x-forwarded-for", forwarded.parse().unwrap());
        let (status, told) = caller.ask("POST", "/v1/chat/completions", chat.clone()).await;
        assert_eq!(status, expected, "{forwarded}: {told}");
    }
    caller.headers.insert("x-forwarded-for", "203.0.113.7".parse().unwrap());
    let (status, told) = caller.ask("POST", "/v1/chat/completions", chat).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!((told["model"].as_str(), &told["usage"]["total_tokens"]), (Some("phi"), &json!(15)));
    let (_, models) = caller.ask("GET", "/v1/models", Value::Null).await;
    assert_eq!(models["data"][0]["id"], "phi");

    let mut owner = Browser { headers: HeaderMap::new(), ..caller };
    let login = json!({"username": "ada", "password": "correct horse battery"});
    assert_eq!(owner.ask("POST", "/api/user/login", login).await.0, 200);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let used = loop {
        let (_, log) = owner.ask("GET", "/api/log/self", Value::Null).await;
        if let Some(used) = log["data"]["items"].get(0) {
            break used.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{log}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&used["prompt_tokens"], &used["completion_tokens"]), (&json!(10), &json!(5)));
    assert_eq!(used["quota"], 10 + 2 * 5);

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn administrators_make_channels_beside_those_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), model_server().await);
    let gateway = Standalone::open(&configuration, Duration::from_secs(5)).await.unwrap();
    let base = gateway.urls().api.clone();
    let secret = gateway.setup_secret().await.unwrap().unwrap();
    tokio::spawn(gateway.serve(std::future::pending()));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut browser = Browser { client, base, headers: HeaderMap::new() };
    assert_eq!(browser.ask("GET", "/api/channel/", Value::Null).await.0, 401);
    let set_up = json!({"secret": secret, "username": "ada", "password": "correct horse battery"});
    let (_, told) = browser.ask("POST", "/api/setup", set_up).await;
    let csrf = told["data"]["csrf_token"].as_str().unwrap().to_owned();
    browser.headers.insert("x-csrf-token", csrf.parse().unwrap());

    let second = model_server().await;
    let draft = json!({"name": "two", "type": "openai", "base_url": format!("http://{second}/v1"),
        "key": "sk-upstream", "models": "psi, phi", "model_mapping": {"psi": "theirs"},
        "weight": 2, "priority": -1, "timeout_seconds": 20});
    let (status, made) = browser.ask("POST", "/api/channel/", draft.clone()).await;
    assert_eq!(status, 200, "{made}");
    let id = made["data"]["id"].as_i64().unwrap();
    assert!(!made.to_string().contains("sk-upstream"));
    assert_eq!(made["data"]["models"], "psi,phi");
    assert_eq!(browser.ask("POST", "/api/channel/", draft.clone()).await.0, 409);
    let (_, listed) = browser.ask("GET", "/api/channel/", Value::Null).await;
    assert_eq!(listed["data"]["total"], 2, "{listed}");
    assert!(!listed.to_string().contains("sk-upstream"));
    let (_, status) = browser.ask("GET", "/api/status", Value::Null).await;
    assert_eq!(status["data"]["models"], json!(["phi", "psi"]));
    // Its server lists no models.
    let test = format!("/api/channel/{id}/test");
    let (_, tested) = browser.ask("POST", &test, Value::Null).await;
    assert!(tested["data"]["health"]["last_error"].as_str().unwrap().contains("404"), "{tested}");

    let refused = async |browser: &mut Browser, change: Value, expected: u16| {
        let (status, told) = browser.ask("PUT", "/api/channel/", change.clone()).await;
        assert_eq!(status, expected, "{change}: {told}");
    };
    let moved = "http://127.0.0.1:9/v1";
    refused(&mut browser, json!({"id": id, "base_url": moved}), 400).await;
    refused(&mut browser, json!({"id": id, "base_url": "http://169.254.169.254/v1"}), 400).await;
    refused(&mut browser, json!({"id": id, "weight": -1}), 400).await;
    refused(&mut browser, json!({"id": id, "timeout_seconds": 0}), 400).await;
    refused(&mut browser, json!({"id": id, "quota": 1}), 400).await;
    refused(&mut browser, json!({"id": -1, "weight": 1}), 409).await;
    refused(&mut browser, json!({"id": 99, "weight": 1}), 404).await;
    refused(&mut browser, json!({"id": id, "status": 2}), 200).await;
    let (_, status) = browser.ask("GET", "/api/status", Value::Null).await;
    assert_eq!(status["data"]["models"], json!(["phi"]));
    let one = format!("/api/channel/{id}");
    assert_eq!(browser.ask("DELETE", &one, Value::Null).await.0, 200);
    assert_eq!(browser.ask("DELETE", &one, Value::Null).await.0, 404);
    assert_eq!(browser.ask("DELETE", "/api/channel/-1", Value::Null).await.0, 409);

    // At rest, the key cannot be read.
    assert_eq!(browser.ask("POST", "/api/channel/", draft).await.0, 200);
    let files = std::fs::read_dir(folder.path().join("accounts")).unwrap();
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"sk-upstream"));
    }
}

#[tokio::test]
async fn management_can_have_an_address_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = configuration(folder.path(), model_server().await);
    // Some free port, found by taking it for a moment.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configuration.management_listen = Some(free);
    let gateway = Standalone::open(&configuration, Duration::from_secs(5)).await.unwrap();
    let urls = gateway.urls().clone();
    assert_eq!(urls.console, format!("http://{free}"));
    assert!(urls.greeting(None).contains(&format!("console at http://{free}/console/\n")));
    tokio::spawn(gateway.serve(std::future::pending()));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let base = format!("http://{free}");
    let mut browser = Browser { client, base: base.clone(), headers: HeaderMap::new() };
    let (status, told) = browser.ask("GET", "/api/status", Value::Null).await;
    assert_eq!(status, 200);
    // What pages and programs are told is where the API is, not where the console is.
    assert_eq!(told["data"]["base_url"], format!("{}/v1", urls.api));
    assert_eq!(told["data"]["api_origin"], urls.api);
    let policy = browser.head("GET", "/console/reference", &[]).await.1;
    let policy = policy["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains(&format!("connect-src 'self' {};", urls.api)), "{policy}");
    let (status, _) = browser.head("GET", "/metrics", &[]).await;
    assert_eq!(status, 200);
    assert_eq!(browser.ask("GET", "/v1/models", Value::Null).await.0, 404);
    assert_eq!(browser.ask("GET", "/console/", Value::Null).await.0, 200);
    browser.base = urls.api;
    let preflight = [("origin", &*base), ("access-control-request-method", "POST")];
    let (status, heard) = browser.head("OPTIONS", "/v1/chat/completions", &preflight).await;
    assert_eq!(
        (status, heard["access-control-allow-origin"].as_bytes()),
        (StatusCode::NO_CONTENT, base.as_bytes())
    );
    let (status, heard) = browser.head("GET", "/v1/models", &preflight[..1]).await;
    assert_eq!(
        (status.as_u16(), heard["access-control-allow-origin"].as_bytes()),
        (401, base.as_bytes())
    );
    for stranger in ["http://127.0.0.1:1", "null", "https://evil.example"] {
        let preflight = [("origin", stranger), ("access-control-request-method", "POST")];
        let (status, heard) = browser.head("OPTIONS", "/v1/chat/completions", &preflight).await;
        assert!(status != 204 && !heard.contains_key("access-control-allow-origin"), "{stranger}");
    }
    assert_eq!(browser.ask("GET", "/metrics", Value::Null).await.0, 404);
    assert_eq!(browser.ask("GET", "/console/", Value::Null).await.0, 404);
    assert_eq!(browser.ask("GET", "/api/status", Value::Null).await.0, 404);
    assert_eq!(browser.ask("GET", "/v1/models", Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let usual = configuration(folder.path(), "127.0.0.1:9".parse().unwrap());
    let refused =
        async |configuration: Configuration| match Standalone::open(&configuration, Duration::ZERO)
            .await
        {
            Ok(_) => panic!("it is taken"),
            Err(problem) => problem,
        };
    let mut nameless = usual.clone();
    nameless.upstreams[0].models.clear();
    assert!(refused(nameless).await.contains("models"));
    let nowhere = Configuration { accounts: None, ..usual.clone() };
    assert!(refused(nowhere).await.contains("accounts"));
    let openid = json!({"issuer": "https://id.example", "client_id": "x"});
    let openid = Some(serde_json::from_value(openid).unwrap());
    assert!(refused(Configuration { openid, ..usual.clone() }).await.contains("public_url"));
    let management_url = Some("https://console.example".to_owned());
    let together = Configuration { management_url, ..usual.clone() };
    assert!(refused(together).await.contains("management_listen"));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let told = refused(Configuration { listen: Some(address), ..usual.clone() }).await;
    assert!(told.contains(&address.to_string()), "{told}");
    let told = refused(Configuration { management_listen: Some(address), ..usual }).await;
    assert!(told.contains(&address.to_string()), "{told}");
}

#[tokio::test]
async fn administrators_read_what_channels_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut configuration = configuration(folder.path(), model_server().await);
    // Asked first, and nobody listens there.
    let mut dead = configuration.upstreams[0].clone();
    dead.name = "dead".to_owned();
    dead.base_url = "http://127.0.0.1:1".to_owned();
    dead.priority = Some(1);
    configuration.upstreams.push(dead);
    let gateway = Standalone::open(&configuration, Duration::from_secs(5)).await.unwrap();
    let base = gateway.urls().api.clone();
    let secret = gateway.setup_secret().await.unwrap().unwrap();
    tokio::spawn(gateway.serve(std::future::pending()));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut browser = Browser { client, base, headers: HeaderMap::new() };
    let set_up = json!({"secret": secret, "username": "ada", "password": "correct horse battery"});
    let (_, told) = browser.ask("POST", "/api/setup", set_up).await;
    let csrf = told["data"]["csrf_token"].as_str().unwrap().to_owned();
    browser.headers.insert("x-csrf-token", csrf.parse().unwrap());
    let token = json!({"name": "test", "unlimited_quota": true});
    let (_, told) = browser.ask("POST", "/api/token/", token).await;
    let key = told["data"]["key"].as_str().unwrap().to_owned();
    let (_, told) = browser.ask("GET", "/api/user/token", Value::Null).await;
    let personal = told["data"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {key}");
    browser.headers = HeaderMap::new();
    browser.headers.insert("authorization", bearer.parse().unwrap());
    let chat = json!({"model": "phi", "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 16});
    for _ in 0..6 {
        assert_eq!(browser.ask("POST", "/v1/chat/completions", chat.clone()).await.0, 200);
    }
    // A key of the API is not enough, and nothing less.
    assert_eq!(browser.ask("GET", "/metrics", Value::Null).await.0, 401);
    browser.headers = HeaderMap::new();
    assert_eq!(browser.ask("GET", "/metrics", Value::Null).await.0, 401);
    let request = Request::get(format!("{}/metrics", browser.base));
    let request = request.header("authorization", format!("Bearer {personal}"));
    let answer = browser.client.request(request.body(Full::default()).unwrap()).await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    let body = Body::new(answer.into_body()).collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    for line in [
        "phial_channel_requests_total{channel=\"one\"} 6",
        "phial_channel_errors_total{channel=\"one\"} 0",
        // The sixth found it left alone.
        "phial_channel_requests_total{channel=\"dead\"} 5",
        "phial_channel_errors_total{channel=\"dead\"} 5",
        "phial_channel_retries_total{channel=\"one\"} 5",
        "phial_channel_response_seconds_count{channel=\"one\"} 6",
        "phial_channel_circuit_open{channel=\"dead\"} 1",
        "phial_channel_circuit_open{channel=\"one\"} 0",
    ] {
        assert!(text.lines().any(|have| have == line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn addresses_that_people_read_are_ones_that_they_can_open() {
    let settings = phial_gateway::Settings::in_folder("unused");
    let urls = |settings: &_, public: &str, management: Option<&str>| {
        let management = management.map(|address| address.parse().unwrap());
        Urls::new(settings, false, public.parse().unwrap(), management)
    };
    assert_eq!(urls(&settings, "0.0.0.0:80", None).console, "http://127.0.0.1:80");
    assert_eq!(urls(&settings, "[::]:8080", None).api, "http://[::1]:8080");
    let told = phial_gateway::Settings {
        public_url: Some("https://phial.example/".into()),
        ..settings.clone()
    };
    assert_eq!(urls(&told, "0.0.0.0:80", None).console, "https://phial.example");
    // The public address has no console then.
    let apart = urls(&told, "0.0.0.0:80", Some("127.0.0.1:81"));
    assert_eq!(apart.console, "http://127.0.0.1:81");
    let both = phial_gateway::Settings { management_url: Some("https://c.example".into()), ..told };
    assert_eq!(urls(&both, "0.0.0.0:80", Some("127.0.0.1:81")).console, "https://c.example");
}
