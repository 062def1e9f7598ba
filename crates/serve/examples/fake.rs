//! Serves a model that repeats what it is told, to try clients against.
//!
//! `cargo run -p phial-serve --example fake -- 127.0.0.1:8000 [FOLDER]`, with a folder for files and
//! batches.

#[path = "../tests/api/fake.rs"]
mod fake;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use phial_serve::{ServerOptions, Storage, StorageLimits};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let folder = std::env::args().nth(2);
    let storage = folder
        .map(|folder| Storage::open(Path::new(&folder), StorageLimits::default()).map(Arc::new));
    let options = ServerOptions { storage: storage.transpose()?, ..ServerOptions::default() };
    let server = fake::server(Duration::ZERO, fake::engine_limits(), options);
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("{} is listening on http://{}", fake::MODEL, listener.local_addr()?);
    phial_serve::serve(server, listener, std::future::pending()).await
}
