//! Every field of a key is enforced on every route that costs something.

use axum::body::Body;
use axum::http::{Extensions, Request};
use phial_openai::metering::Payer;
use serde_json::{Value, json};

use crate::service::{CHAT, Place, Service, chat, hear, in_both, post};

/// The routes that take tokens.
const COSTLY: [&str; 5] =
    [CHAT, "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"];

fn request_marks(payer: Option<Payer>) -> Extensions {
    let mut marks = Extensions::new();
    if let Some(payer) = payer {
        marks.insert(payer);
    }
    marks
}

fn body() -> Value {
    chat(false, 5, json!({}))
}

/// A key with `fields` is refused on every costly route, or not, and pays only if it is not.
async fn refused_everywhere(service: &Service, fields: Value, body: Value, expected: (u16, &str)) {
    let user = service.administrator.clone();
    for route in COSTLY {
        let (_, key) = service.key(&user, fields.clone()).await;
        let before = service.stub.seen.lock().unwrap().len();
        let heard = service.ask(route, &key, &body).await;
        assert_eq!(heard.status, expected.0, "{route} {fields}: {heard:?}");
        if route == "/v1/messages" {
            assert_eq!(heard.json()["type"], "error", "{heard:?}");
        } else {
            assert_eq!(heard.code().1, expected.1, "{route} {fields}");
        }
        assert_eq!(service.stub.seen.lock().unwrap().len(), before, "{route} was reached");
    }
}

in_both! {
    async fn a_field_that_forbids_is_enforced_on_every_costly_route(place) {
        let service = Service::start(place).await;
        let image = json!([{ "content": [{ "type": "image_url", "image_url": {} }] }]);
        let audio = json!([{ "content": [{ "type": "input_audio", "input_audio": {} }] }]);
        let with = |name: &str, value: Value| {
            let mut body = body();
            body[name] = value;
            body
        };
        let past = json!({ "expired_time": 1_000_000 });
        refused_everywhere(&service, past, body(), (401, "invalid_api_key")).await;
        let other = json!({ "model_limits": "other", "model_limits_enabled": true });
        refused_everywhere(&service, other, body(), (403, "model_not_allowed")).await;
        let elsewhere = json!({ "allow_ips": "10.0.0.0/8" });
        refused_everywhere(&service, elsewhere, body(), (403, "ip_not_allowed")).await;
        let law = json!({ "adapters": "law" });
        let medicine = with("adapter", json!("medicine"));
        refused_everywhere(&service, law, medicine, (403, "adapter_not_allowed")).await;
        let text = json!({ "modalities": "text" });
        let images = with("messages", image);
        refused_everywhere(&service, text.clone(), images, (403, "modality_not_allowed")).await;
        let sounds = with("messages", audio);
        refused_everywhere(&service, text, sounds, (403, "modality_not_allowed")).await;
        // A prompt of 10 and 5 tokens cost at most 20.
        let poor = json!({ "remain_quota": 19, "unlimited_quota": false });
        refused_everywhere(&service, poor, body(), (429, "insufficient_quota")).await;
        let short = json!({ "remain_tokens": 14, "unlimited_tokens": false });
        refused_everywhere(&service, short, body(), (429, "insufficient_quota")).await;
        let slow = json!({ "tokens_per_minute": 14 });
        refused_everywhere(&service, slow, body(), (400, "tokens_per_minute_exceeded")).await;
        assert!(service.books().await.settled().is_empty());
    }

    async fn a_key_with_every_field_that_allows_is_served_on_every_costly_route(place) {
        let service = Service::start(place).await;
        let fields = json!({
            "expired_time": 99_999_999_999i64, "model_limits": "stub,other",
            "model_limits_enabled": true, "allow_ips": "127.0.0.0/8", "adapters": "law",
            "modalities": "text", "remain_quota": 20, "unlimited_quota": false,
            "remain_tokens": 15, "unlimited_tokens": false, "requests_per_minute": 1,
            "tokens_per_minute": 15, "parallel_requests": 1,
        });
        for route in COSTLY {
            let (_, key) = service.key(&service.administrator, fields.clone()).await;
            let mut body = body();
            body["adapter"] = "law".into();
            let heard = service.ask(route, &key, &body).await;
            assert_eq!(heard.status, 200, "{route}: {heard:?}");
            assert!(heard.headers.contains_key("x-request-id"));
            let again = service.ask(route, &key, &body).await;
            assert_eq!(again.status, 429, "{route}: {again:?}");
        }
        let books = service.books().await;
        books.check();
        assert_eq!(books.settled().len(), COSTLY.len());
    }

    async fn limits_of_a_minute_and_of_a_moment_hold_over_all_routes_together(place) {
        let service = Service::start(place).await;
        let fields = json!({ "requests_per_minute": COSTLY.len() });
        let (_, key) = service.key(&service.administrator, fields).await;
        for route in COSTLY {
            assert_eq!(service.ask(route, &key, &body()).await.status, 200);
        }
        for route in COSTLY {
            let heard = service.ask(route, &key, &body()).await;
            assert_eq!(heard.status, 429, "{route}");
            let wait: u64 = heard.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
        }
        let (_, key) =
            service.key(&service.administrator, json!({ "parallel_requests": 2 })).await;
        let running = [
            service.send(post(CHAT, &key, &chat(true, 5, json!({ "tokens": 1 })))).await,
            service.send(post(COSTLY[1], &key, &chat(true, 5, json!({ "tokens": 1 })))).await,
        ];
        for route in COSTLY {
            assert_eq!(service.ask(route, &key, &body()).await.status, 429, "{route}");
        }
        drop(running);
        service.gateway.flush().await;
        assert_eq!(service.ask(CHAT, &key, &body()).await.status, 200);
        service.books().await.check();
    }

    async fn a_key_without_limits_is_changed_by_what_it_shows(place) {
        let service = Service::start(place).await;
        let by = service.administrator.clone();
        let fields = json!({ "unlimited_quota": true, "unlimited_tokens": true });
        let (id, key) = service.key(&by, fields).await;
        assert_eq!(service.ask(CHAT, &key, &body()).await.status, 200);
        service.gateway.flush().await;
        let path = format!("/api/token/{id}");
        let mut shown = service.api("GET", &path, &by, None).await.data();
        assert_eq!((&shown["remain_quota"], &shown["remain_tokens"]), (&json!(0), &json!(0)));
        assert_ne!(shown["used_quota"], json!(0));
        shown["name"] = "renamed".into();
        for told in ["key", "created_time", "accessed_time", "used_quota"] {
            shown.as_object_mut().unwrap().remove(told);
        }
        let changed = service.api("PUT", "/api/token/", &by, Some(shown)).await.data();
        assert_eq!(changed["name"], "renamed");
        // As scripts that show less than nothing would send it.
        let owing = json!({ "id": id, "remain_tokens": -5, "unlimited_tokens": true });
        let changed = service.api("PUT", "/api/token/", &by, Some(owing)).await.data();
        assert_eq!(changed["unlimited_tokens"], true);
        let owing = json!({ "id": id, "remain_tokens": -5, "unlimited_tokens": false });
        assert_eq!(service.api("PUT", "/api/token/", &by, Some(owing)).await.status, 400);
        assert_eq!(service.ask(CHAT, &key, &body()).await.status, 200);
        service.books().await.check();
    }

    async fn disabling_rotating_and_deleting_count_at_once_everywhere(place) {
        let service = Service::start(place).await;
        let by = service.administrator.clone();
        let free = ["/tokenize", "/detokenize", "/apply-template", "/v1/messages/count_tokens"];
        let (id, first) = service.key(&by, json!({})).await;
        for route in COSTLY.into_iter().chain(free) {
            let status = |status: i64| json!({ "id": id, "status": status });
            let change = |told| service.api("PUT", "/api/token/?status_only=true", &by, Some(told));
            assert_eq!(service.ask(route, &first, &body()).await.status, 200, "{route}");
            change(status(2)).await.data();
            assert_eq!(service.ask(route, &first, &body()).await.status, 401, "{route}");
            change(status(1)).await.data();
        }
        let rotated = service.api("POST", &format!("/api/token/{id}/rotate"), &by, None).await;
        let second = rotated.data()["key"].as_str().unwrap().to_owned();
        assert_eq!(service.chat(&first, json!({})).await.code().1, "invalid_api_key");
        assert_eq!(service.chat(&second, json!({})).await.status, 200);
        service.api("DELETE", &format!("/api/token/{id}"), &by, None).await.data();
        assert_eq!(service.chat(&second, json!({})).await.code().1, "invalid_api_key");
        let get = |path: &str| {
            let key = format!("Bearer {second}");
            Request::get(path).header("authorization", key).body(Body::empty()).unwrap()
        };
        for path in ["/v1/models", "/v1/files", "/v1/batches", "/v1/responses/resp_1"] {
            assert_eq!(service.hear(get(path)).await.status, 401, "{path}");
        }
        service.books().await.check();
    }

    async fn requests_of_a_batch_are_those_of_the_key_that_made_it(place) {
        let service = Service::start(place).await;
        let by = service.administrator.clone();
        // Where the batch was made from is not where its requests come from.
        let fields = json!({
            "remain_quota": 30, "allow_ips": "127.0.0.1", "model_limits": "stub",
            "model_limits_enabled": true,
        });
        let (id, key) = service.key(&by, fields).await;
        let made = service.ask("/v1/batches", &key, &json!({ "input_file_id": "file-1" })).await;
        assert_eq!(made.status, 200, "{made:?}");
        let payer = Payer(key[3..15].into());
        let ask = async |path: &str, body: Value, payer: Option<Payer>| {
            let mut request = Request::post(path).body(Body::from(body.to_string())).unwrap();
            request.extensions_mut().extend(request_marks(payer));
            let routes = service.gateway.batch_routes();
            hear(tower::ServiceExt::oneshot(routes, request).await.unwrap()).await.status
        };
        assert_eq!(ask(CHAT, body(), None).await, 401);
        assert_eq!(ask(CHAT, body(), Some(Payer("nobody".into()))).await, 401);
        assert_eq!(ask("/v1/files", body(), Some(payer.clone())).await, 401);
        let mut other = body();
        other["model"] = "other".into();
        assert_eq!(ask(CHAT, other, Some(payer.clone())).await, 403);
        assert_eq!(ask(CHAT, body(), Some(payer.clone())).await, 200);
        assert_eq!(ask(CHAT, body(), Some(payer.clone())).await, 429, "the quota is used up");
        let told = json!({ "id": id, "status": 2 });
        service.api("PUT", "/api/token/?status_only=true", &by, Some(told)).await.data();
        assert_eq!(ask(CHAT, body(), Some(payer)).await, 401);
        // Clients reach nothing by such a mark, for they cannot make one.
        let books = service.books().await;
        books.check();
        assert_eq!(books.only_settled().cost, 20);
    }

    async fn a_key_sees_only_its_own_models(place) {
        let service = Service::start(place).await;
        let fields = json!({ "model_limits": "other", "model_limits_enabled": true });
        let (_, key) = service.key(&service.administrator, fields).await;
        let get = |path: &str| {
            let key = format!("Bearer {key}");
            Request::get(path).header("authorization", key).body(Body::empty()).unwrap()
        };
        let list = service.hear(get("/v1/models")).await.json();
        assert_eq!(list["data"], json!([{ "id": "other" }]));
        assert_eq!(service.hear(get("/v1/models/other")).await.status, 200);
        assert_eq!(service.hear(get("/v1/models/stub")).await.code().1, "model_not_found");
        let heard = service.ask("/tokenize", &key, &body()).await;
        assert_eq!(heard.code(), (403, "model_not_allowed".to_owned()));
    }
}

#[tokio::test]
async fn a_model_that_no_upstream_has_is_not_paid_for() {
    let service = Service::start(Place::Sqlite).await;
    let (_, key) = service.key(&service.administrator, json!({})).await;
    let mut unknown = body();
    unknown["model"] = "nothing".into();
    assert_eq!(service.ask(CHAT, &key, &unknown).await.code().1, "model_not_found");
    unknown["model"] = Value::Null;
    assert_eq!(service.ask(CHAT, &key, &unknown).await.code().1, "missing_required_parameter");
    assert!(service.books().await.entries.is_empty());
}
