//! A test for each class of mistake that gateways of this kind were broken by.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::service::{CHAT, Home, Place, Service, Session, chat, in_both, post};

in_both! {
    async fn sql_in_keys_and_names_is_text(place) {
        let service = Service::start(place).await;
        let (_, key) = service.key(&service.administrator, json!({})).await;
        let secret = &key[15..];
        for attack in [
            "sk-' OR '1'='1".to_owned(),
            format!("sk-a' OR 1=1 ----{secret}"),
            format!("sk-');DROP TABL-{secret}"),
            "' UNION SELECT * FROM users --".to_owned(),
            "sk-%-%".to_owned(),
            "\\".to_owned(),
        ] {
            let heard = service.hear(post(CHAT, &attack, &chat(false, 5, json!({})))).await;
            assert_eq!(heard.code(), (401, "invalid_api_key".to_owned()), "{attack}");
        }
        let nobody = Session::default();
        for attack in ["root' --", "' OR ''='", "root\u{0}", "root\"; DROP TABLE users; --"] {
            let told = json!({ "username": attack, "password": "' OR ''='" });
            let heard = service.api("POST", "/api/user/login", &nobody, Some(told)).await;
            assert_eq!(heard.status, 401, "{attack}: {heard:?}");
        }
        let name = "'); DELETE FROM keys; --";
        let (id, _) = service.key(&service.administrator, json!({ "name": name })).await;
        let path = format!("/api/token/{id}");
        let shown = service.api("GET", &path, &service.administrator, None).await.data();
        assert_eq!(shown["name"], name);
        for model in ["'%20OR%201=1%20--", "%00", "%22"] {
            let path = format!("/api/log/self?model={model}");
            let heard = service.api("GET", &path, &service.administrator, None).await;
            assert_eq!(heard.data()["total"], 0, "{model}");
        }
        let audit = "/api/audit?p=1;DROP%20TABLE%20audit";
        assert_eq!(service.api("GET", audit, &service.administrator, None).await.status, 400);
        assert_eq!(service.chat(&key, json!({})).await.status, 200);
    }

    async fn what_is_one_users_is_nobody_elses(place) {
        let service = Service::start(place).await;
        let ann = service.user("ann", 1000).await;
        let bob = service.user("bob", 1000).await;
        let (id, key) = service.key(&ann, json!({})).await;
        service.chat(&key, json!({})).await;
        service.gateway.flush().await;
        let of_ann = format!("/api/token/{id}");
        let change = json!({ "id": id, "name": "mine", "status": 2 });
        for (method, path, told) in [
            ("GET", of_ann.clone(), None),
            ("DELETE", of_ann.clone(), None),
            ("POST", format!("{of_ann}/rotate"), None),
            ("PUT", "/api/token/".to_owned(), Some(change.clone())),
            ("PUT", "/api/token/?status_only=true".to_owned(), Some(change)),
        ] {
            let heard = service.api(method, &path, &bob, told).await;
            assert_eq!(heard.status, 404, "{method} {path}: {heard:?}");
        }
        assert_eq!(service.chat(&key, json!({})).await.status, 200);
        service.gateway.flush().await;
        let path = format!("/api/log/self?token_id={id}");
        assert_eq!(service.api("GET", &path, &bob, None).await.data()["total"], 0);
        assert_eq!(service.api("GET", &path, &ann, None).await.data()["total"], 2);
        let path = "/api/data/self?by=token";
        assert_eq!(service.api("GET", path, &bob, None).await.data(), json!([]));
        assert_eq!(service.api("GET", "/api/token/", &bob, None).await.data()["total"], 0);
        // Everything that only administrators may do.
        for (method, path) in [
            ("GET", "/api/user/"), ("POST", "/api/user/"), ("PUT", "/api/user/"),
            ("DELETE", "/api/user/1"), ("POST", "/api/user/1/credit"), ("GET", "/api/log/"),
            ("GET", "/api/data/"), ("GET", "/api/invitation"), ("POST", "/api/invitation"),
            ("GET", "/api/option/"), ("PUT", "/api/option/"), ("GET", "/api/audit"),
        ] {
            let heard = service.api(method, path, &bob, Some(json!({}))).await;
            assert_eq!(heard.status, 403, "{method} {path}: {heard:?}");
            let heard = service.api(method, path, &Session::default(), Some(json!({}))).await;
            assert_eq!(heard.status, 401, "{method} {path}: {heard:?}");
        }
        // What a request leaves with an upstream is marked with whose it is.
        let seen = service.stub.seen.lock().unwrap().clone();
        assert!(seen.iter().all(|(_, owner, _)| *owner == ann.id.to_string()), "{seen:?}");
    }

    async fn a_profile_has_no_money_and_no_role(place) {
        let service = Service::start(place).await;
        let ann = service.user("ann", 7).await;
        for field in ["quota", "used_quota", "unlimited_quota", "role", "status", "balance", "id"] {
            let told = json!({ "display_name": "Ann", field: 1_000_000 });
            let heard = service.api("PUT", "/api/user/self", &ann, Some(told)).await;
            assert_eq!(heard.status, 400, "{field}: {heard:?}");
        }
        let told = json!({ "display_name": "Ann" });
        service.api("PUT", "/api/user/self", &ann, Some(told)).await.data();
        let own = service.api("GET", "/api/user/self", &ann, None).await.data();
        assert_eq!((&own["quota"], &own["role"]), (&json!(7), &json!(1)));
        assert_eq!(own["display_name"], "Ann");
        // A key's own limit is no money: the account's stays the bound.
        let (_, key) = service.key(&ann, json!({ "remain_quota": 1_000_000 })).await;
        assert_eq!(service.chat(&key, json!({})).await.code().1, "insufficient_quota");
    }
}

#[tokio::test]
async fn no_spelling_of_an_address_leads_past_the_key() {
    let service = Service::start(Place::Sqlite).await;
    for path in [
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/V1/chat/completions",
        "/v1/chat/%63ompletions",
        "/v1/models/../chat/completions",
        "/v1/models/..%2fchat/completions",
        "/console/../v1/chat/completions",
        "/api/../v1/chat/completions",
        "/v1/chat/completions;jsessionid=1",
        "/metrics",
        "/v1/batches",
    ] {
        let body = Body::from(chat(false, 5, json!({})).to_string());
        let request = Request::post(path).header("content-type", "application/json").body(body);
        let status = service.hear(request.unwrap()).await.status;
        assert!(matches!(status, 401 | 404 | 405), "{path}: {status}");
    }
    for method in [Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::PATCH] {
        let request = Request::builder().method(method.clone()).uri(CHAT).body(Body::empty());
        assert_eq!(service.hear(request.unwrap()).await.status, 404, "{method}");
    }
    let absolute = Request::post("http://evil.example/v1/chat/completions");
    let body = Body::from(chat(false, 5, json!({})).to_string());
    assert_eq!(service.hear(absolute.body(body).unwrap()).await.status, 401);
    assert!(service.stub.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn headers_of_a_client_reach_no_upstream_and_change_no_decision() {
    let service = Service::start(Place::Sqlite).await;
    let (_, key) = service.key(&service.administrator, json!({ "allow_ips": "10.1.1.1" })).await;
    let mut request = post(CHAT, &key, &chat(false, 5, json!({})));
    for (name, value) in [
        ("host", "localhost#@evil.example"),
        ("x-forwarded-for", "10.1.1.1"),
        ("forwarded", "for=10.1.1.1"),
        ("x-real-ip", "10.1.1.1"),
        ("x-original-url", "/health"),
        ("x-rewrite-url", "/health"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(service.hear(request).await.code().1, "ip_not_allowed");
    let (_, key) = service.key(&service.administrator, json!({})).await;
    let mut request = post(CHAT, &key, &chat(false, 5, json!({})));
    for name in ["host", "cookie", "x-api-key", "x-forwarded-for", "connection", "x-anything"] {
        request.headers_mut().insert(name, "evil".parse().unwrap());
    }
    assert_eq!(service.hear(request).await.status, 200);
    let seen = service.stub.seen.lock().unwrap().clone();
    let (_, _, names) = &seen[0];
    let mut names = names.clone();
    names.sort();
    assert_eq!(names, ["content-type", "x-request-id"]);
    // What the service calls itself comes back to whoever asked, and only if it is a host.
    let host =
        |host: &str| Request::get("/api/status").header("host", host).body(Body::empty()).unwrap();
    let told = service.hear(host("here.example:8080")).await.data();
    assert_eq!(told["base_url"], "http://here.example:8080/v1");
    for odd in ["a#@b", "a/b", "a\"b", "a b"] {
        let told = service.hear(host(odd)).await.data();
        assert_eq!(told["base_url"], "http://localhost/v1", "{odd}");
    }
}

#[tokio::test]
async fn a_body_says_one_thing_to_everybody() {
    let service = Service::start(Place::Sqlite).await;
    let fields = json!({ "model_limits": "stub", "model_limits_enabled": true });
    let (_, key) = service.key(&service.administrator, fields).await;
    for body in [
        r#"{"model":"stub","model":"other"}"#,
        r#"{"model":"other","model":"stub"}"#,
        r#"{"model":"stub","\u006dodel":"other"}"#,
        r#"{"model":["stub"]}"#,
        r#"{"model":"stub"} {"model":"other"}"#,
        r#"["stub"]"#,
        "",
        "{",
    ] {
        let request = Request::post(CHAT)
            .header("authorization", format!("Bearer {key}"))
            .body(Body::from(body))
            .unwrap();
        assert_eq!(service.hear(request).await.code().1, "invalid_json", "{body}");
    }
    let deep = format!("{{\"model\":\"stub\",\"a\":{}", "[".repeat(1 << 20));
    let request = Request::post(CHAT).header("authorization", format!("Bearer {key}"));
    assert_eq!(service.hear(request.body(Body::from(deep)).unwrap()).await.status, 400);
    assert!(service.stub.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_has_a_size_that_is_known_before_it_is_held() {
    let home = Home::new(Place::Sqlite);
    let mut settings = home.settings("one");
    settings.body_bytes_max = 1000;
    let service = Service::with(home, settings).await;
    let (_, key) = service.key(&service.administrator, json!({})).await;
    let mut body = chat(false, 5, json!({}));
    body["padding"] = "x".repeat(1000).into();
    assert_eq!(service.ask(CHAT, &key, &body).await.code().1, "payload_too_large");
    let unsaid = Body::from_stream(futures_util::stream::iter(
        (0..20).map(|_| Ok::<_, std::io::Error>("x".repeat(100))),
    ));
    let request = Request::post(CHAT).header("authorization", format!("Bearer {key}"));
    let heard = service.hear(request.body(unsaid).unwrap()).await;
    assert_eq!(heard.code().1, "payload_too_large");
    // Without a key nothing is read at all.
    let endless =
        Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    let heard = service.hear(Request::post(CHAT).body(endless).unwrap()).await;
    assert_eq!(heard.status, 401);
}

#[tokio::test]
async fn sessions_need_their_token_and_end_when_they_should() {
    let service = Service::start(Place::Sqlite).await;
    let ann = service.user("ann", 0).await;
    for csrf in ["", "0", &service.administrator.csrf] {
        let forged = Session { csrf: csrf.to_owned(), ..ann.clone() };
        let told = json!({ "name": "forged" });
        let heard = service.api("POST", "/api/token/", &forged, Some(told)).await;
        assert_eq!(heard.status, 403, "{csrf}");
        let heard = service.api("POST", "/api/playground/chat/completions", &forged, None).await;
        assert_eq!(heard.status, 403, "{csrf}");
    }
    let doubled = Session { cookie: format!("{}; phial=x", ann.cookie), ..ann.clone() };
    assert_eq!(service.api("GET", "/api/user/self", &doubled, None).await.status, 401);
    // Another password signs out everywhere.
    let told = json!({ "original_password": "wrong password", "password": "another one" });
    assert_eq!(service.api("PUT", "/api/user/self", &ann, Some(told)).await.status, 401);
    let told = json!({ "original_password": crate::service::PASSWORD, "password": "another one" });
    service.api("PUT", "/api/user/self", &ann, Some(told)).await.data();
    assert_eq!(service.api("GET", "/api/user/self", &ann, None).await.status, 401);
    let told = json!({ "username": "ann", "password": "another one" });
    let ann = service.enter("/api/user/login", told).await;
    service.api("POST", "/api/user/logout", &ann, None).await.data();
    assert_eq!(service.api("GET", "/api/user/self", &ann, None).await.status, 401);
    // Whoever is disabled is out at once, with session and keys.
    let bob = service.user("bob", 1000).await;
    let (_, key) = service.key(&bob, json!({})).await;
    assert_eq!(service.chat(&key, json!({})).await.status, 200);
    let told = json!({ "id": bob.id, "status": 2 });
    service.api("PUT", "/api/user/", &service.administrator, Some(told)).await.data();
    assert_eq!(service.api("GET", "/api/user/self", &bob, None).await.status, 401);
    assert_eq!(service.chat(&key, json!({})).await.code().1, "invalid_api_key");
    let told = json!({ "username": "bob", "password": crate::service::PASSWORD });
    let heard = service.api("POST", "/api/user/login", &Session::default(), Some(told)).await;
    assert_eq!(heard.status, 401);
}

#[tokio::test]
async fn a_personal_token_stands_for_its_user_and_is_told_once() {
    let service = Service::start(Place::Sqlite).await;
    let ann = service.user("ann", 0).await;
    let token = service.api("GET", "/api/user/token", &ann, None).await.data();
    let token = token.as_str().unwrap().to_owned();
    let with = |value: String| {
        Request::get("/api/user/self").header("authorization", value).body(Body::empty()).unwrap()
    };
    for value in [token.clone(), format!("Bearer {token}")] {
        assert_eq!(service.hear(with(value)).await.data()["username"], "ann");
    }
    let again = service.api("GET", "/api/user/token", &ann, None).await.data();
    assert_ne!(again, Value::from(token.clone()));
    assert_eq!(service.hear(with(token)).await.status, 401);
    let cross = Request::get("/api/user/token")
        .header("cookie", &ann.cookie)
        .header("sec-fetch-site", "cross-site")
        .body(Body::empty());
    assert_eq!(service.hear(cross.unwrap()).await.status, 403);
}

#[tokio::test]
async fn the_first_administrator_is_made_once_and_guessing_ends() {
    let service = Service::start(Place::Sqlite).await;
    assert_eq!(service.gateway.setup_secret().await.unwrap(), None);
    let nobody = Session::default();
    let told = json!({ "secret": "x", "username": "eve", "password": "long enough" });
    assert_eq!(service.api("POST", "/api/setup", &nobody, Some(told)).await.status, 403);
    let told = json!({ "username": "eve", "password": "long enough" });
    let heard = service.api("POST", "/api/user/register", &nobody, Some(told.clone())).await;
    assert_eq!(heard.status, 403, "signing up is off");
    let options = json!({ "sign_up": "invitation", "new_user_quota": 77 });
    service.api("PUT", "/api/option/", &service.administrator, Some(options)).await.data();
    let heard = service.api("POST", "/api/user/register", &nobody, Some(told.clone())).await;
    assert_eq!(heard.status, 403, "not invited");
    let invited = service.api("POST", "/api/invitation", &service.administrator, None).await.data();
    let mut with_code = told.clone();
    with_code["invitation"] = invited["code"].clone();
    let eve = service.enter("/api/user/register", with_code.clone()).await;
    let own = service.api("GET", "/api/user/self", &eve, None).await.data();
    assert_eq!(own["quota"], 77);
    with_code["username"] = "mallory".into();
    let heard = service.api("POST", "/api/user/register", &nobody, Some(with_code)).await;
    assert_eq!(heard.status, 403, "an invitation is for one");
    // The last administrator stays.
    let root = service.administrator.id;
    let by = &service.administrator;
    for (method, path, told) in [
        ("DELETE", format!("/api/user/{root}"), None),
        ("PUT", "/api/user/".to_owned(), Some(json!({ "id": root, "status": 2 }))),
        ("PUT", "/api/user/".to_owned(), Some(json!({ "id": root, "role": 1 }))),
    ] {
        assert_eq!(service.api(method, &path, by, told).await.status, 409, "{method}");
    }
    for _ in 0..10 {
        let told = json!({ "username": "eve", "password": "guessing" });
        let heard = service.api("POST", "/api/user/login", &nobody, Some(told)).await;
        assert_eq!(heard.status, 401);
    }
    let heard = service.api("POST", "/api/user/login", &nobody, Some(told)).await;
    assert_eq!(heard.status, 429);
    assert!(heard.headers.contains_key("retry-after"));
    service.books().await.check();
}
