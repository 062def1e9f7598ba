//! Every token is paid for once, however a request ends.

use http_body_util::BodyExt;
use serde_json::json;

use crate::service::{CHAT, Service, chat, in_both, post};

in_both! {
    async fn an_answer_costs_what_was_made(place) {
        let service = Service::start(place).await;
        let user = service.user("ann", 1000).await;
        let (_, key) = service.key(&user, json!({ "remain_quota": 100 })).await;
        let stub = json!({ "prompt": 10, "cached": 4, "tokens": 3 });
        assert_eq!(service.chat(&key, stub).await.status, 200);
        let books = service.books().await;
        books.check();
        let entry = books.only_settled();
        // 6 + 4 / 2 + 3 * 2
        assert_eq!((entry.cost, entry.finish.as_str(), entry.status), (14, "stop", 200));
        let seen = service.api("GET", "/api/token/", &user, None).await.data();
        let item = &seen["items"][0];
        assert_eq!((item["remain_quota"].as_i64(), item["used_quota"].as_i64()), (Some(86), Some(14)));
        let own = service.api("GET", "/api/user/self", &user, None).await.data();
        assert_eq!((own["quota"].as_i64(), own["used_quota"].as_i64()), (Some(986), Some(14)));
        let log = service.api("GET", "/api/log/self", &user, None).await.data();
        assert_eq!(log["items"][0]["quota"], 14);
        assert_eq!(log["items"][0]["cached_tokens"], 4);
        assert_eq!(log["items"][0]["token_name"], "a key");
        for (by, bucket) in [("token", "a key"), ("model", "stub")] {
            let path = format!("/api/data/self?by={by}");
            let data = service.api("GET", &path, &user, None).await.data();
            assert_eq!((&data[0]["bucket"], &data[0]["quota"]), (&json!(bucket), &json!(14)));
        }
        let days = service.api("GET", "/api/data/self", &user, None).await.data();
        assert_eq!(days[0]["requests"], 1);
        assert_eq!(days[0]["bucket"].as_str().unwrap().len(), 10);
    }

    async fn a_stream_that_is_left_costs_what_was_made_until_then(place) {
        let service = Service::start(place).await;
        let (_, key) = service.key(&service.administrator, json!({})).await;
        let request = post(CHAT, &key, &chat(true, 100, json!({ "tokens": 100 })));
        let mut body = service.send(request).await.into_body();
        for _ in 0..7 {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        let books = service.books().await;
        books.check();
        let entry = books.only_settled();
        assert_eq!((entry.completion, entry.finish.as_str()), (7, "aborted"));
        let counted = service.stub.counted();
        assert_eq!(counted[&entry.request].completion_tokens, 7);
    }

    async fn failures_cost_what_was_made_before_them(place) {
        let service = Service::start(place).await;
        let (_, key) = service.key(&service.administrator, json!({})).await;
        assert_eq!(service.chat(&key, json!({ "status": 400 })).await.status, 400);
        let books = service.books().await;
        books.check();
        let entry = books.only_settled();
        assert_eq!((entry.cost, entry.finish.as_str(), entry.status), (0, "error", 400));
        let broken = chat(true, 50, json!({ "tokens": 50, "breaks_at": 20 }));
        service.ask(CHAT, &key, &broken).await;
        let books = service.books().await;
        books.check();
        let entry = books.entries.last().unwrap();
        assert_eq!((entry.completion, entry.finish.as_str()), (20, "error"));
    }

    async fn money_is_given_taken_back_and_never_made_up(place) {
        let service = Service::start(place).await;
        let user = service.user("ann", 0).await;
        let by = &service.administrator;
        let (_, key) = service.key(&user, json!({})).await;
        assert_eq!(service.chat(&key, json!({})).await.code().1, "insufficient_quota");
        let path = format!("/api/user/{}/credit", user.id);
        let credit = |amount: i64| service.api("POST", &path, by, Some(json!({ "amount": amount })));
        credit(30).await.data();
        assert_eq!(service.chat(&key, json!({})).await.status, 200);
        assert_eq!(service.chat(&key, json!({})).await.code().1, "insufficient_quota");
        assert_eq!(credit(-11).await.status, 409);
        credit(-10).await.data();
        for amount in [0, i64::MAX, i64::MIN] {
            assert_eq!(credit(amount).await.status, 400, "{amount}");
        }
        // The sum stays within what a database adds exactly.
        for _ in 0..1000 {
            credit(1_000_000_000_000_000).await;
        }
        assert_eq!(credit(1_000_000_000_000_000).await.status, 409);
        let list = service.api("GET", "/api/user/", by, None).await.data();
        let ann = &list["items"][1];
        assert_eq!(ann["quota"], 1_000_000_000_000_000_000i64, "{ann}");
        service.gateway.flush().await;
        service.books().await.check();
    }

    async fn requests_at_the_same_time_never_spend_more_than_there_is(place) {
        let service = std::sync::Arc::new(Service::start(place).await);
        let user = service.user("ann", 400).await;
        let (_, limited) = service.key(&user, json!({ "remain_quota": 130 })).await;
        let (_, other) = service.key(&user, json!({})).await;
        let mut tasks = Vec::new();
        for number in 0..60 {
            let key = if number % 2 == 0 { limited.clone() } else { other.clone() };
            let service = std::sync::Arc::clone(&service);
            tasks.push(tokio::spawn(async move {
                let stub = json!({ "tokens": 5, "delay_us": 300 });
                service.chat(&key, stub).await.status
            }));
        }
        let mut served = 0;
        for task in tasks {
            match task.await.unwrap() {
                200 => served += 1,
                429 => {}
                other => panic!("{other}"),
            }
        }
        let books = service.books().await;
        books.check();
        // Each costs 20, and 400 are there.
        assert_eq!(books.settled().len(), served);
        assert!((6..=20).contains(&served), "{served}");
    }
}
