//! The management API answers as its description says.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::service::{Heard, PASSWORD, Place, Service, Session};

const BODY_BYTES_MAX: usize = 256 << 10;

/// The description, as everybody gets it.
async fn document(service: &Service) -> Value {
    let heard = service.api("GET", "/api/openapi.json", &Session::default(), None).await;
    assert_eq!(heard.status, 200);
    assert_eq!(heard.headers["content-type"], "application/json");
    heard.json()
}

/// Holds an answer against what is described for its route and status.
fn check(document: &Value, method: &str, pattern: &str, heard: &Heard) {
    let route = format!("{method} {pattern}");
    let operation = &document["paths"][pattern][method.to_lowercase()];
    let described = &operation["responses"][heard.status.to_string()];
    assert!(described.is_object(), "{route} does not promise {heard:?}");
    let schema = &described["content"]["application/json"]["schema"];
    let mut root = schema.as_object().unwrap_or_else(|| panic!("{route}: {heard:?}")).clone();
    root.insert("components".to_owned(), document["components"].clone());
    let validator = jsonschema::validator_for(&Value::Object(root)).unwrap();
    if let Err(error) = validator.validate(&heard.json()) {
        panic!("{route}: {error} at {}: {heard:?}", error.instance_path());
    }
    let headers = described["headers"].as_object().into_iter().flatten();
    for (name, _) in headers {
        assert!(heard.headers.contains_key(name), "{route}: {heard:?}");
    }
}

#[tokio::test]
async fn what_is_done_is_answered_as_described() {
    let service = Service::start(Place::Sqlite).await;
    let document = document(&service).await;
    let by = service.administrator.clone();
    let (key, spelling) = service.key(&by, json!({ "remain_quota": 1_000_000 })).await;
    assert_eq!(service.chat(&spelling, json!({})).await.status, 200);
    service.gateway.flush().await;
    let user = service.user("amelia", 5).await.id;
    let name = |name: &str| json!({ "username": name, "password": PASSWORD });
    let steps = [
        ("GET", "/api/status", "", None),
        ("POST", "/api/user/login", "", Some(name("amelia"))),
        ("POST", "/api/user/", "", Some(name("berta"))),
        ("PUT", "/api/user/", "", Some(json!({ "id": user, "display_name": "Amelia" }))),
        ("POST", "/api/user/{id}/credit", "", Some(json!({ "amount": 1 }))),
        ("GET", "/api/user/", "?size=1", None),
        ("GET", "/api/user/self", "", None),
        ("GET", "/api/oauth/openid/link", "", None),
        ("DELETE", "/api/oauth/openid/link", "", None),
        ("PUT", "/api/user/self", "", Some(json!({ "display_name": "Root" }))),
        ("GET", "/api/user/token", "", None),
        ("POST", "/api/token/", "", Some(json!({ "name": "another" }))),
        ("PUT", "/api/token/", "?status_only=true", Some(json!({ "id": key, "status": 2 }))),
        ("GET", "/api/token/", "?p=1", None),
        ("GET", "/api/token/{id}", "", None),
        ("POST", "/api/token/{id}/rotate", "", None),
        ("DELETE", "/api/token/{id}", "", None),
        ("GET", "/api/log/self", "", None),
        ("GET", "/api/log/", "?model=stub", None),
        ("GET", "/api/data/self", "?by=token", None),
        ("GET", "/api/data/", "?by=model", None),
        ("POST", "/api/invitation", "", None),
        ("GET", "/api/invitation", "", None),
        ("GET", "/api/option/", "", None),
        ("PUT", "/api/option/", "", Some(json!({ "sign_up": "open" }))),
        ("POST", "/api/user/register", "", Some(name("carla"))),
        ("GET", "/api/audit", "?size=100", None),
        ("GET", "/api/engine", "", None),
        ("DELETE", "/api/user/{id}", "", None),
        ("POST", "/api/user/logout", "", None),
    ];
    for (method, pattern, query, told) in steps {
        let id = if pattern.contains("/user/") { user } else { key };
        let path = format!("{}{query}", pattern.replace("{id}", &id.to_string()));
        let heard = service.api(method, &path, &by, told).await;
        assert_eq!(heard.status, 200, "{method} {path}: {heard:?}");
        check(&document, method, pattern, &heard);
    }
}

#[tokio::test]
async fn what_is_refused_is_answered_as_described() {
    let service = Service::start(Place::Sqlite).await;
    let document = document(&service).await;
    let by = service.administrator.clone();
    let nobody = Session::default();
    let forged = Session { csrf: "forged".to_owned(), ..by.clone() };
    let login = json!({ "username": "root", "password": "another" });
    let steps = [
        (401, "GET", "/api/user/self", &nobody, None),
        (401, "POST", "/api/user/login", &nobody, Some(login)),
        (403, "POST", "/api/token/", &forged, Some(json!({ "name": "a" }))),
        (
            403,
            "POST",
            "/api/user/register",
            &nobody,
            Some(json!({ "username": "a", "password": "" })),
        ),
        (400, "POST", "/api/token/", &by, Some(json!({ "name": 1 }))),
        (400, "PUT", "/api/option/", &by, Some(json!({ "quota": 1 }))),
        (400, "PUT", "/api/option/", &by, Some(json!([null, null]))),
        (404, "PUT", "/api/token/", &by, Some(json!({ "id": 99 }))),
        (404, "GET", "/api/channel/", &by, None),
        (404, "GET", "/api/oauth/openid", &nobody, None),
        (404, "POST", "/api/oauth/openid/link", &by, None),
        (409, "PUT", "/api/option/", &by, Some(json!({ "prices": {} }))),
        (409, "PUT", "/api/user/", &by, Some(json!({ "id": by.id, "status": 2 }))),
    ];
    for (status, method, path, of, told) in steps {
        let heard = service.api(method, path, of, told).await;
        assert_eq!(heard.status, status, "{method} {path}: {heard:?}");
        check(&document, method, path, &heard);
    }
}

#[tokio::test]
async fn bodies_that_are_too_large_or_no_json_have_statuses_of_their_own() {
    let service = Service::start(Place::Sqlite).await;
    let document = document(&service).await;
    let by = service.administrator.clone();
    let name = "a".repeat(BODY_BYTES_MAX);
    let heard = service.api("POST", "/api/token/", &by, Some(json!({ "name": name }))).await;
    assert_eq!(heard.status, 413, "{heard:?}");
    check(&document, "POST", "/api/token/", &heard);
    for kind in ["text/plain", ""] {
        let request = Request::post("/api/token/")
            .header("content-type", kind)
            .header("cookie", &by.cookie)
            .header("x-csrf-token", &by.csrf)
            .body(Body::from("{\"name\":\"a\"}"))
            .unwrap();
        let heard = service.hear(request).await;
        assert_eq!(heard.status, 415, "{heard:?}");
        check(&document, "POST", "/api/token/", &heard);
    }
}
