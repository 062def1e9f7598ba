//! Serves a model that repeats what it is told, to try clients against.
//!
//! `cargo run -p phial-serve --example fake -- 127.0.0.1:8000 [FOLDER | hurried]`, with a folder for
//! files and batches; or `hurried`, to work on one request at a time, a token each 5 ms, none longer
//! than 1.5 s, none waiting longer than 0.3 s.

#[path = "../tests/api/fake.rs"]
mod fake;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use phial_serve::{Limits, Server, ServerOptions, Storage, StorageLimits};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let server = match std::env::args().nth(2) {
        Some(word) if word == "hurried" => hurried(),
        folder => {
            let open = |folder: String| Storage::open(Path::new(&folder), StorageLimits::default());
            let storage = folder.map(open).transpose()?.map(Arc::new);
            let options = ServerOptions { storage, ..ServerOptions::default() };
            fake::server(Duration::ZERO, fake::engine_limits(), options)
        }
    };
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{} is listening on http://{}", fake::MODEL, listener.local_addr()?);
    phial_serve::serve(server, listener, std::future::pending()).await
}

fn hurried() -> Server {
    let limits = Limits {
        request_time_max: Some(Duration::from_millis(1500)),
        queue_time_max: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    let engine = phial_engine::Limits {
        running_max: 1,
        // Guesses would be right, and answers too quick.
        draft_tokens_max: 0,
        ..fake::engine_limits()
    };
    let options = ServerOptions { limits, ..ServerOptions::default() };
    fake::server(Duration::from_millis(5), engine, options)
}
