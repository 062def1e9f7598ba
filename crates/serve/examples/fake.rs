//! Serves a model that repeats what it is told, to try clients against.
//!
//! `cargo run -p phial-serve --example fake -- 127.0.0.1:8000`

#[path = "../tests/api/fake.rs"]
mod fake;

use std::time::Duration;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let options = phial_serve::ServerOptions::default();
    let server = fake::server(Duration::from_millis(2), fake::engine_limits(), options);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{} on http://{}/v1", fake::MODEL, listener.local_addr()?);
    phial_serve::serve(server, listener, std::future::pending()).await
}
