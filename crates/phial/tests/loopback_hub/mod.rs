//! A hub on a loopback port that holds one repository, and can stop in the middle of a file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A file that is sent by half once, after which the connection stays open without a byte.
struct Pause {
    file: String,
    reached: Sender<()>,
}

struct Shared {
    /// `owner/name`.
    repository: String,
    folder: PathBuf,
    pause: Mutex<Option<Pause>>,
    /// `FILE RANGE` of every request for a file.
    requests: Mutex<Vec<String>>,
}

pub struct LoopbackHub {
    address: String,
    shared: Arc<Shared>,
}

impl LoopbackHub {
    /// Serves the files of `folder` as `repository`, until the test process ends.
    pub fn start(repository: &str, folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            repository: repository.to_owned(),
            folder: folder.to_path_buf(),
            pause: Mutex::new(None),
            requests: Mutex::new(Vec::new()),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                // A client that was killed is no concern of ours.
                std::thread::spawn(move || drop(answer(stream, &served)));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Holds the next answer that brings more than the header of `file`; the receiver hears of it.
    pub fn pause_within(&self, file: &str) -> Receiver<()> {
        let (reached, receiver) = channel();
        *self.shared.pause.lock().unwrap() = Some(Pause { file: file.to_owned(), reached });
        receiver
    }

    /// Requests for files since the last call.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.requests.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let path = head.split(' ').nth(1).unwrap_or_default();
    let repository = &shared.repository;
    if path.starts_with(&format!("/api/models/{repository}/revision/main")) {
        let listing = listing(&shared.folder);
        let length = listing.len();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{listing}"
        );
    }
    let name = path.strip_prefix(&format!("/{repository}/resolve/{COMMIT}/")).unwrap_or("/");
    let Ok(bytes) = std::fs::read(shared.folder.join(name)) else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("range:"));
    let range = line.and_then(|line| line.split_once("bytes=")?.1.trim().split_once('-'));
    shared.requests.lock().unwrap().push(match range {
        Some((first, last)) => format!("{name} {first}-{last}"),
        None => format!("{name} whole"),
    });
    let length = bytes.len();
    let (start, end) = range.map_or((0, length), |(first, last)| {
        let end = last.parse().map_or(length, |last: usize| last + 1);
        (first.parse().unwrap_or(0), end.min(length))
    });
    let body = &bytes[start..end];
    let status = match range {
        Some(_) => {
            format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{length}", end - 1)
        }
        None => "200 OK".to_owned(),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
    let pause = {
        let mut pause = shared.pause.lock().unwrap();
        let is_now = pause.as_ref().is_some_and(|pause| pause.file == name && end == bytes.len());
        if is_now { pause.take() } else { None }
    };
    let Some(pause) = pause else { return stream.write_all(body) };
    stream.write_all(&body[..length / 2])?;
    stream.flush()?;
    // A test that no longer listens has failed already.
    let _ = pause.reached.send(());
    // Until the client is gone.
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn listing(folder: &Path) -> String {
    let files = std::fs::read_dir(folder).unwrap().flatten().map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let mut file = serde_json::json!({"rfilename": name, "size": bytes.len()});
        if name.ends_with(".safetensors") {
            let digest: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            file["lfs"] = serde_json::json!({"sha256": digest, "size": bytes.len()});
        }
        file
    });
    serde_json::json!({"sha": COMMIT, "siblings": files.collect::<Vec<_>>()}).to_string()
}
