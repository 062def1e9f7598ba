//! Signing in, against a provider that is honest, and against one that is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use phial_gateway::openid::{Callback, OpenId, OpenIdError, OpenIdSettings};
use phial_gateway::{Configuration, Standalone};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const NOW: u64 = 1_800_000_000;
const REDIRECT: &str = "https://phial.example/api/oauth/openid/callback";

/// A provider on loopback.
#[derive(Clone)]
struct Fake(Arc<Parts>);

struct Parts {
    issuer: String,
    /// Seconds since the epoch, by its clock.
    now: u64,
    key: Mutex<(String, EcdsaKeyPair)>,
    /// Codes that were given out, with what the browser was sent with.
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
    /// What is changed in the token.
    lie: Mutex<Option<(&'static str, Value)>>,
    document_lie: Mutex<Option<(&'static str, Value)>>,
    key_fetches: Mutex<usize>,
}

fn new_key() -> EcdsaKeyPair {
    let way = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(way, &random).unwrap();
    EcdsaKeyPair::from_pkcs8(way, key.as_ref(), &random).unwrap()
}

impl Fake {
    async fn new() -> Self {
        Self::at(NOW).await
    }

    async fn at(now: u64) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self(Arc::new(Parts {
            issuer: format!("http://{}/realm", listener.local_addr().unwrap()),
            now,
            key: Mutex::new(("1".into(), new_key())),
            codes: Mutex::default(),
            lie: Mutex::default(),
            document_lie: Mutex::default(),
            key_fetches: Mutex::default(),
        }));
        let routes = Router::new()
            .route("/realm/.well-known/openid-configuration", get(document))
            .route("/realm/keys", get(keys))
            .route("/realm/token", post(token))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    fn settings(&self) -> OpenIdSettings {
        serde_json::from_value(json!({
            "issuer": self.0.issuer, "client_id": "phial client", "client_secret": "s%cret:+",
            "allow_private": true,
        }))
        .unwrap()
    }

    fn client(&self) -> OpenId {
        OpenId::new(self.settings(), REDIRECT, b"server secret").unwrap()
    }

    /// What the provider's page does when somebody has signed in there.
    fn sign_in(&self, url: &str) -> Callback {
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", self.0.issuer));
        let sent: HashMap<String, String> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(sent["response_type"], "code");
        assert_eq!(sent["client_id"], "phial client");
        assert_eq!(sent["redirect_uri"], REDIRECT);
        assert_eq!(sent["scope"], "openid profile email");
        assert_eq!(sent["code_challenge_method"], "S256");
        let state = sent["state"].clone();
        let mut codes = self.0.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), sent);
        Callback { code: Some(code), state: Some(state), ..Callback::default() }
    }
}

async fn document(State(fake): State<Fake>) -> Json<Value> {
    let issuer = &fake.0.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    });
    if let Some((name, value)) = &*fake.0.document_lie.lock().unwrap() {
        document[*name] = value.clone();
    }
    Json(document)
}

async fn keys(State(fake): State<Fake>) -> Json<Value> {
    *fake.0.key_fetches.lock().unwrap() += 1;
    let key = fake.0.key.lock().unwrap();
    let point = key.1.public_key().as_ref();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Json(json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "kid": key.0,
        "x": text(&point[1..33]), "y": text(&point[33..])}]}))
}

async fn token(
    State(fake): State<Fake>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    let pair = STANDARD.encode("phial+client:s%25cret%3A%2B");
    if headers["authorization"] != format!("Basic {pair}") {
        return refused("invalid_client");
    }
    let Some(sent) = fake.0.codes.lock().unwrap().remove(&form["code"]) else {
        return refused("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    if challenge != sent["code_challenge"] || form["redirect_uri"] != sent["redirect_uri"] {
        return refused("invalid_grant");
    }
    let mut claims = json!({"iss": fake.0.issuer, "sub": "user-7", "aud": "phial client",
        "exp": fake.0.now + 300, "iat": fake.0.now, "nonce": sent["nonce"], "preferred_username": "ada",
        "name": "Ada L.", "email": "ada@example.org", "email_verified": true});
    if let Some((name, value)) = &*fake.0.lie.lock().unwrap() {
        claims[*name] = value.clone();
    }
    let key = fake.0.key.lock().unwrap();
    let text = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", text(json!({"alg": "ES256", "kid": key.0})), text(claims));
    let signature = key.1.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    (StatusCode::OK, Json(json!({"id_token": token, "token_type": "Bearer"})))
}

fn is_refused<T>(result: &Result<T, OpenIdError>) -> bool {
    matches!(result, Err(OpenIdError::Refused(_)))
}

#[tokio::test]
async fn somebody_signs_in_on_whichever_node() {
    let fake = Fake::new().await;
    let (one, other) = (fake.client(), fake.client());
    let begun = one.begin(NOW).await.unwrap();
    let callback = fake.sign_in(&begun.url);
    let identity = other.finish(&begun.cookie, &callback, NOW + 5).await.unwrap();
    assert_eq!((identity.issuer.as_str(), identity.subject.as_str()), (&*fake.0.issuer, "user-7"));
    assert_eq!(identity.username.as_deref(), Some("ada"));
    assert_eq!(identity.display_name.as_deref(), Some("Ada L."));
    assert_eq!(identity.email.as_deref(), Some("ada@example.org"));
    assert!(identity.email_is_verified);
    let again = other.finish(&begun.cookie, &callback, NOW + 6).await;
    assert!(is_refused(&again), "a code counts once: {again:?}");
    let next = one.begin(NOW).await.unwrap();
    assert_ne!(next.url, begun.url);
}

#[tokio::test]
async fn nobody_finishes_anothers_login() {
    let fake = Fake::new().await;
    let client = fake.client();
    let (mine, theirs) = (client.begin(NOW).await.unwrap(), client.begin(NOW).await.unwrap());
    let callback = fake.sign_in(&theirs.url);
    let attempt = async |cookie: &str, change: &dyn Fn(&mut Callback), now: u64| {
        let mut callback = callback.clone();
        change(&mut callback);
        is_refused(&client.finish(cookie, &callback, now).await)
    };
    assert!(attempt(&mine.cookie, &|_| {}, NOW).await, "my browser, their link");
    assert!(attempt("", &|_| {}, NOW).await, "no cookie");
    assert!(attempt("AAAA", &|_| {}, NOW).await, "a forged cookie");
    assert!(attempt(&theirs.cookie, &|c| c.state = None, NOW).await);
    assert!(attempt(&theirs.cookie, &|c| c.code = None, NOW).await);
    assert!(attempt(&theirs.cookie, &|c| c.code = Some("guess".into()), NOW).await);
    assert!(attempt(&theirs.cookie, &|c| c.error = Some("access_denied".into()), NOW).await);
    assert!(attempt(&theirs.cookie, &|c| c.iss = Some("https://evil".into()), NOW).await);
    assert!(attempt(&theirs.cookie, &|_| {}, NOW + OpenId::COOKIE_SECONDS).await, "too late");
    let stranger = OpenId::new(fake.settings(), REDIRECT, b"another secret").unwrap();
    assert!(is_refused(&stranger.finish(&theirs.cookie, &callback, NOW).await));
    let finished = client.finish(&theirs.cookie, &callback, NOW).await;
    assert!(finished.is_ok(), "none of which has spent the code: {finished:?}");
}

#[tokio::test]
async fn tokens_that_were_not_made_for_this_are_not_believed() {
    let fake = Fake::new().await;
    let client = fake.client();
    for (name, value) in [
        ("nonce", json!("another")),
        ("aud", json!("another client")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(NOW - 100)),
        ("sub", json!("")),
    ] {
        *fake.0.lie.lock().unwrap() = Some((name, value));
        let begun = client.begin(NOW).await.unwrap();
        let callback = fake.sign_in(&begun.url);
        let finished = client.finish(&begun.cookie, &callback, NOW).await;
        assert!(matches!(finished, Err(OpenIdError::Provider(_))), "{name}: {finished:?}");
    }
}

#[tokio::test]
async fn new_keys_are_asked_for_but_not_all_the_time() {
    let fake = Fake::new().await;
    let client = fake.client();
    let sign_in = async |now: u64| {
        let begun = client.begin(now).await.unwrap();
        let callback = fake.sign_in(&begun.url);
        client.finish(&begun.cookie, &callback, now).await
    };
    assert!(sign_in(NOW).await.is_ok());
    *fake.0.key.lock().unwrap() = ("2".into(), new_key());
    assert!(matches!(sign_in(NOW + 1).await, Err(OpenIdError::Provider(_))), "just asked");
    assert!(sign_in(NOW + 40).await.is_ok());
    assert_eq!(*fake.0.key_fetches.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_provider_has_to_be_who_it_is_said_to_be_and_where_it_may_be() {
    let fake = Fake::new().await;
    let problem = async |lie: Option<(&'static str, Value)>, settings: OpenIdSettings| {
        *fake.0.document_lie.lock().unwrap() = lie;
        match OpenId::new(settings, REDIRECT, b"secret") {
            Ok(client) => client.begin(NOW).await.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        }
    };
    let contains = |problem: Option<String>, word: &str| {
        assert!(problem.as_deref().is_some_and(|text| text.contains(word)), "{problem:?}");
    };
    assert_eq!(problem(None, fake.settings()).await, None);
    let other = Some(("issuer", json!("https://evil.example")));
    contains(problem(other, fake.settings()).await, "evil.example");
    let script = Some(("authorization_endpoint", json!("javascript:alert(1)")));
    contains(problem(script, fake.settings()).await, "authorization_endpoint");
    let metadata = Some(("jwks_uri", json!("http://169.254.169.254/keys")));
    contains(problem(metadata, fake.settings()).await, "169.254.169.254");

    let mut public = fake.settings();
    public.allow_private = false;
    contains(problem(None, public.clone()).await, "https://");
    public.issuer = "https://127.0.0.1/realm".into();
    contains(problem(None, public).await, "127.0.0.1");
    let mut nameless = fake.settings();
    nameless.client_id.clear();
    contains(problem(None, nameless).await, "client_id");
    assert!(!format!("{:?}", fake.settings()).contains("s%cret"));
}

/// A page as a browser gets it, which keeps its cookies.
struct Browser {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    cookies: HashMap<String, String>,
}

impl Browser {
    fn new(base: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: base.to_owned(), cookies: HashMap::new() }
    }

    async fn visit(&mut self, path: &str) -> (StatusCode, HeaderMap, Value) {
        self.ask("GET", path, "", Value::Null).await
    }

    /// Asks with a session's token, and a body unless it is null.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        csrf: &str,
        body: Value,
    ) -> (StatusCode, HeaderMap, Value) {
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("cookie", cookies.join("; ")).header("x-csrf-token", csrf);
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.header("content-type", "application/json");
        let request = request.body(Full::from(text)).unwrap();
        let (head, body) = self.client.request(request).await.unwrap().into_parts();
        for cookie in head.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Lax; "), "{cookie}");
            assert!(cookie.starts_with("__Host-") && cookie.ends_with("; Secure"), "{cookie}");
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// A gateway whose users sign in at `fake`.
async fn gateway(fake: &Fake, sign_up: bool) -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[gateway]\nlisten = '127.0.0.1:0'\npublic_url = 'https://phial.example/'\n\
         accounts = '{}'\n[gateway.openid]\nname = 'Team'\nissuer = '{}'\n\
         client_id = 'phial client'\nclient_secret = 's%cret:+'\nallow_private = true\n\
         sign_up = {sign_up}\n",
        folder.path().display(),
        fake.0.issuer
    );
    let configuration = Configuration::parse(&text).unwrap().unwrap();
    let gateway = Standalone::open(&configuration, Duration::ZERO).await.unwrap();
    let base = gateway.urls().api.clone();
    let secret = gateway.setup_secret().await.unwrap().unwrap();
    tokio::spawn(gateway.serve(std::future::pending()));
    (folder, base, secret)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn sign_in(fake: &Fake, browser: &mut Browser) -> (StatusCode, HeaderMap, Value) {
    let (status, headers, told) = browser.visit("/api/oauth/openid").await;
    assert_eq!(status, 303, "{told}");
    let callback = fake.sign_in(headers["location"].to_str().unwrap());
    let (code, state) = (callback.code.unwrap(), callback.state.unwrap());
    browser.visit(&format!("/api/oauth/openid/callback?code={code}&state={state}")).await
}

#[tokio::test]
async fn a_browser_is_signed_in_to_the_same_account_each_time() {
    let fake = Fake::at(unix_seconds()).await;
    let (_folder, base, _) = gateway(&fake, true).await;
    let mut browser = Browser::new(&base);
    let (_, _, status) = browser.visit("/api/status").await;
    assert_eq!(status["data"]["openid"], json!({"enabled": true, "name": "Team"}));
    let mut accounts = Vec::new();
    for mut browser in [Browser::new(&base), Browser::new(&base)] {
        let (status, headers, told) = sign_in(&fake, &mut browser).await;
        assert_eq!(
            (status, &headers["location"]),
            (StatusCode::SEE_OTHER, &"/console/".parse().unwrap()),
            "{told}"
        );
        let (_, _, own) = browser.visit("/api/user/self").await;
        assert_eq!((&own["data"]["username"], &own["data"]["role"]), (&json!("ada"), &json!(1)));
        accounts.push(own["data"]["id"].clone());
    }
    assert_eq!(accounts[0], accounts[1]);
    // Somebody else by the same name is somebody else.
    *fake.0.lie.lock().unwrap() = Some(("sub", json!("user-8")));
    let mut other = Browser::new(&base);
    assert_eq!(sign_in(&fake, &mut other).await.0, 303);
    let (_, _, own) = other.visit("/api/user/self").await;
    assert_ne!(own["data"]["id"], accounts[0]);

    let stranger = Browser::new(&base).visit("/api/oauth/openid/callback?code=x&state=y").await;
    assert_eq!(stranger.0, 401);
    assert!(!stranger.1.contains_key("set-cookie"));
}

#[tokio::test]
async fn nobody_gets_an_account_where_signing_up_is_off() {
    let fake = Fake::at(unix_seconds()).await;
    let (_folder, base, _) = gateway(&fake, false).await;
    let mut browser = Browser::new(&base);
    let (status, headers, told) = sign_in(&fake, &mut browser).await;
    assert_eq!(status, 403, "{told}");
    assert!(!headers.contains_key("set-cookie"));
    assert_eq!(browser.visit("/api/user/self").await.0, 401);
}

#[tokio::test]
async fn an_account_is_tied_to_an_identity_by_who_has_both_and_by_nobody_else() {
    const LINK: &str = "/api/oauth/openid/link";
    let fake = Fake::at(unix_seconds()).await;
    let (_folder, base, secret) = gateway(&fake, true).await;
    let mut owner = Browser::new(&base);
    // The name is the one that the provider suggests for the person.
    let set_up = json!({"secret": secret, "username": "ada", "password": "correct horse battery"});
    let (status, _, told) = owner.ask("POST", "/api/setup", "", set_up).await;
    assert_eq!(status, 200, "{told}");
    let csrf = told["data"]["csrf_token"].as_str().unwrap().to_owned();
    let id = told["data"]["id"].clone();
    // A name or an address is not enough.
    let mut other = Browser::new(&base);
    assert_eq!(sign_in(&fake, &mut other).await.0, 303);
    let (_, _, own) = other.visit("/api/user/self").await;
    assert_ne!(own["data"]["id"], id);
    let other_csrf = own["data"]["csrf_token"].as_str().unwrap().to_owned();
    // Who has no password keeps the only way in.
    let (status, _, told) = other.ask("DELETE", LINK, &other_csrf, Value::Null).await;
    assert_eq!(status, 409, "{told}");

    // Another site cannot begin it for somebody who is signed in, nor anybody who is not.
    assert_eq!(owner.ask("POST", LINK, "", Value::Null).await.0, 403);
    assert_eq!(Browser::new(&base).ask("POST", LINK, "", Value::Null).await.0, 401);
    let link = async |owner: &mut Browser| {
        let (status, _, told) = owner.ask("POST", LINK, &csrf, Value::Null).await;
        assert_eq!(status, 200, "{told}");
        let callback = fake.sign_in(told["data"].as_str().unwrap());
        let (code, state) = (callback.code.unwrap(), callback.state.unwrap());
        owner.visit(&format!("/api/oauth/openid/callback?code={code}&state={state}")).await
    };
    // It is somebody else's here.
    assert_eq!(link(&mut owner).await.0, 409);
    *fake.0.lie.lock().unwrap() = Some(("sub", json!("user-9")));
    let (status, headers, told) = link(&mut owner).await;
    assert_eq!(
        (status.as_u16(), headers["location"].as_bytes()),
        (303, &b"/console/account"[..]),
        "{told}"
    );
    assert_eq!(link(&mut owner).await.0, 303, "twice is as good as once");
    let (_, _, told) = owner.visit(LINK).await;
    let identities = told["data"]["identities"].as_array().unwrap();
    assert_eq!((identities.len(), &identities[0]["subject"]), (1, &json!("user-9")));
    assert_eq!(told["data"]["has_password"], true);

    let mut later = Browser::new(&base);
    assert_eq!(sign_in(&fake, &mut later).await.0, 303);
    let (_, _, own) = later.visit("/api/user/self").await;
    assert_eq!((&own["data"]["id"], &own["data"]["role"]), (&id, &json!(10)));

    let (status, _, told) = owner.ask("DELETE", LINK, &csrf, Value::Null).await;
    assert_eq!((status.as_u16(), &told["data"]["identities"]), (200, &json!([])), "{told}");
    let mut last = Browser::new(&base);
    assert_eq!(sign_in(&fake, &mut last).await.0, 303);
    let (_, _, own) = last.visit("/api/user/self").await;
    assert_ne!(own["data"]["id"], id);
}
