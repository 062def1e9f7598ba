//! Several nodes over one PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use phial_gateway::Gateway;
use serde_json::json;

use crate::crash::{Node, clients, counts};
use crate::postgres;
use crate::service::{CHAT, Place, Service, chat, hear, post};
use crate::stub::Stub;

macro_rules! with_postgres {
    () => {
        if !postgres::is_there() {
            eprintln!("SKIPPED: no PostgreSQL is installed");
            return;
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_disabled_on_one_node_is_refused_on_the_other_at_once() {
    with_postgres!();
    let one = Service::start(Place::Postgres).await;
    let stub = Arc::new(Stub::default());
    let other = Gateway::open(one.home.settings("two"), stub).await.unwrap();
    let routes = other.routes();
    let (id, key) = one.key(&one.administrator, json!({})).await;
    let ask = async |request| {
        let response = tower::ServiceExt::oneshot(routes.clone(), request).await.unwrap();
        hear(response).await.status
    };
    let chat_there = || post(CHAT, &key, &chat(false, 5, json!({})));
    let list_there = || {
        let bearer = format!("Bearer {key}");
        Request::get("/v1/models").header("authorization", bearer).body(Body::empty()).unwrap()
    };
    for status in [2, 1, 2] {
        let expected = if status == 1 { 200 } else { 401 };
        // The other node has just seen the key as it was.
        ask(list_there()).await;
        let told = json!({ "id": id, "status": status });
        let path = "/api/token/?status_only=true";
        one.api("PUT", path, &one.administrator, Some(told)).await.data();
        let since = Instant::now();
        // What costs is checked in the database itself, so a key never outlives its end.
        if status == 2 {
            assert_eq!(ask(chat_there()).await, expected);
        }
        while ask(list_there()).await != expected {
            assert!(since.elapsed() < Duration::from_secs(1), "still not {expected}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(ask(chat_there()).await, expected);
    }
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_loses_nothing_that_was_settled_and_others_settle_the_rest() {
    with_postgres!();
    let service = Service::start(Place::Postgres).await;
    let user = service.user("ann", 1_000_000).await;
    let (_, key) = service.key(&user, json!({ "remain_quota": 500_000 })).await;
    service.gateway.close().await;
    let home = service.end();
    let (one, two) = (Node::start(&home, "two"), Node::start(&home, "three"));
    let numbers = Arc::new(AtomicU64::new(7));
    let stop = Arc::new(AtomicBool::new(false));
    let keys = [key];
    let (first, second) = (one.address.clone(), two.address.clone());
    let killing = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let before = home.books("one").await;
        tokio::task::spawn_blocking(move || one.kill()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.store(true, Ordering::Relaxed);
        before
    };
    let (got_there, got_here, before) = tokio::join!(
        clients(&first, &keys, 15, &stop, &numbers),
        clients(&second, &keys, 15, &stop, &numbers),
        killing
    );
    assert!(got_there.iter().chain(&got_here).filter(|got| got.is_whole).count() > 50);
    // The lease of the one that is gone ends, and the other settles what it left.
    let patience = Instant::now();
    let books = loop {
        let books = home.books("one").await;
        if books.reservations == 0 {
            break books;
        }
        assert!(patience.elapsed() < Duration::from_secs(60), "{} left", books.reservations);
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    books.check();
    let after = books.settled();
    for (request, entry) in before.settled() {
        assert_eq!(after[request].cost, entry.cost, "a settled record is gone or changed");
    }
    for node in ["two", "three"] {
        for (request, made) in counts(&home.path(), node) {
            let entry = after[request.as_str()];
            let paid = entry.completion as u64;
            assert!(paid <= made && (paid == made || entry.finish == "lost"), "{entry:?} {made}");
        }
    }
}
