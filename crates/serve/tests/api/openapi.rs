//! The description of the API.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use crate::client::{get, send, server};

#[tokio::test]
async fn every_route_is_described_and_every_description_is_a_route() {
    let server = server();
    let reply = get(&server, "/openapi.json").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.header("content-type"), "application/json");
    let document = reply.json();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let routes: BTreeSet<(String, String)> = phial_serve::routes()
        .map(|(method, path)| (method.to_owned(), path.replace("{*", "{")))
        .collect();
    assert_eq!(described, routes);
    for (method, path) in described {
        let reply = send(&server, &method, &path.replace("{id}", "x"), Vec::new()).await;
        assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        if reply.status == StatusCode::NOT_FOUND {
            assert_ne!(reply.json()["error"]["code"], "unknown_url", "{method} {path}");
        }
    }
}
