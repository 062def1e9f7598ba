//! A gateway over the stub, and what its clients say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, Response};
use http_body_util::{BodyExt, Collected};
use phial_gateway::{Gateway, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::books::Books;
use crate::postgres;
use crate::stub::Stub;

pub const CHAT: &str = "/v1/chat/completions";
pub const PASSWORD: &str = "correct horse";

/// Where accounts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Sqlite,
    Postgres,
}

/// Runs a test in both places.
macro_rules! in_both {
    ($($(#[$meta:meta])* async fn $name:ident($place:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn run($place: crate::service::Place) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run(crate::service::Place::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if crate::postgres::is_there() {
                    run(crate::service::Place::Postgres).await;
                } else {
                    eprintln!("SKIPPED: no PostgreSQL is installed");
                }
            }
        }
    )*};
}
pub(crate) use in_both;

/// A place of its own for a test's accounts.
pub struct Home {
    folder: PathBuf,
    /// Removes it; a child process leaves that to its parent.
    _guard: Option<TempDir>,
    pub database: Option<String>,
}

impl Home {
    pub fn new(place: Place) -> Self {
        let database = match place {
            Place::Sqlite => None,
            Place::Postgres => Some(postgres::new_database().unwrap()),
        };
        let guard = tempfile::tempdir().unwrap();
        Self { folder: guard.path().to_owned(), _guard: Some(guard), database }
    }

    /// The place of another process.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), _guard: None, database: None }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.clone()
    }

    pub fn settings(&self, node: &str) -> Settings {
        let mut settings = Settings::in_folder(self.folder.join(node));
        settings.database = self.database.clone();
        settings.pepper_file = Some(self.folder.join("pepper"));
        let prices = json!({
            "*": { "input": 1_000_000, "cached_input": 500_000, "output": 2_000_000 },
        });
        settings.prices = Some(serde_json::from_value(prices).unwrap());
        settings
    }

    /// The books, read beside the gateway.
    pub async fn books(&self, node: &str) -> Books {
        let sqlite = self.folder.join(node).join("accounts.sqlite");
        Books::open(self.database.as_deref(), &sqlite).await
    }
}

/// A gateway in this process.
pub struct Service {
    pub home: Home,
    pub gateway: Gateway,
    pub stub: Arc<Stub>,
    pub routes: Router,
    pub administrator: Session,
}

/// Somebody who is signed in.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub cookie: String,
    pub csrf: String,
    pub id: i64,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: axum::http::HeaderMap,
    pub text: String,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The code of an error of the public API.
    pub fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// What the management API answers.
    pub fn data(&self) -> Value {
        let json = self.json();
        assert_eq!(json["success"], true, "{self:?}");
        assert_eq!(self.status, 200, "{self:?}");
        json["data"].clone()
    }
}

impl Service {
    pub async fn start(place: Place) -> Self {
        let home = Home::new(place);
        let settings = home.settings("one");
        Self::with(home, settings).await
    }

    pub async fn with(home: Home, settings: Settings) -> Self {
        let stub = Arc::new(Stub::default());
        let gateway = Gateway::open(settings, stub.clone()).await.unwrap();
        let secret = gateway.setup_secret().await.unwrap().unwrap();
        let routes = gateway.routes();
        let administrator = Session::default();
        let mut service = Self { home, gateway, stub, routes, administrator };
        let told = json!({ "secret": secret, "username": "root", "password": PASSWORD });
        service.administrator = service.enter("/api/setup", told).await;
        service
    }

    /// Comes in by an address that begins a session.
    pub async fn enter(&self, path: &str, told: Value) -> Session {
        let heard = self.api("POST", path, &Session::default(), Some(told)).await;
        let data = heard.data();
        let cookie = heard.headers["set-cookie"].to_str().unwrap();
        Session {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            csrf: data["csrf_token"].as_str().unwrap().to_owned(),
            id: data["id"].as_i64().unwrap(),
        }
    }

    /// A user with so much money.
    pub async fn user(&self, name: &str, quota: i64) -> Session {
        let told = json!({ "username": name, "password": PASSWORD, "quota": quota });
        self.api("POST", "/api/user/", &self.administrator, Some(told)).await.data();
        self.enter("/api/user/login", json!({ "username": name, "password": PASSWORD })).await
    }

    /// A key of a user: its id and the whole of it.
    pub async fn key(&self, of: &Session, fields: Value) -> (i64, String) {
        let mut told = json!({ "name": "a key" });
        told.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let data = self.api("POST", "/api/token/", of, Some(told)).await.data();
        (data["id"].as_i64().unwrap(), data["key"].as_str().unwrap().to_owned())
    }

    /// Asks the management API.
    pub async fn api(&self, method: &str, path: &str, of: &Session, told: Option<Value>) -> Heard {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(path)
            .header("content-type", "application/json");
        if !of.cookie.is_empty() {
            request = request.header("cookie", &of.cookie).header("x-csrf-token", &of.csrf);
        }
        let body = told.map_or_else(Body::empty, |told| Body::from(told.to_string()));
        self.hear(request.body(body).unwrap()).await
    }

    /// Asks the public API with a key.
    pub async fn ask(&self, path: &str, key: &str, body: &Value) -> Heard {
        self.hear(post(path, key, body)).await
    }

    /// A chat, which takes what `stub` says.
    pub async fn chat(&self, key: &str, stub: Value) -> Heard {
        self.ask(CHAT, key, &chat(false, 5, stub)).await
    }

    pub async fn hear(&self, request: Request<Body>) -> Heard {
        hear(self.send(request).await).await
    }

    /// The answer as it comes.
    pub async fn send(&self, mut request: Request<Body>) -> Response<Body> {
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            let address: SocketAddr = "127.0.0.1:4".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(address));
        }
        self.routes.clone().oneshot(request).await.unwrap()
    }

    /// Lets go of the gateway, which was closed; its accounts stay.
    pub fn end(self) -> Home {
        self.home
    }

    /// The books, when everything that has ended is in them.
    pub async fn books(&self) -> Books {
        self.gateway.flush().await;
        self.home.books("one").await
    }
}

pub async fn hear(response: Response<Body>) -> Heard {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Heard { status: head.status.as_u16(), headers: head.headers, text }
}

pub fn post(path: &str, key: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn chat(stream: bool, max_tokens: u64, stub: Value) -> Value {
    let mut body = json!({
        "model": "stub",
        "messages": [{ "role": "user", "content": "hi" }],
        "stream": stream,
        "max_tokens": max_tokens,
    });
    body["stub"] = stub;
    body
}
