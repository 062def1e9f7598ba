//! A hub with one repository, `owner/name`, that misbehaves as it is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The content of `model.safetensors`.
pub const WEIGHTS: &[u8] = b"thirty-two bytes of weights, ok.";
pub const WEIGHTS_SHA256: &str = "3a39584aed4a9de15c824787bdc74a1554700c4c291b0aa4a24c5f93604b33ce";

/// What goes wrong. `cut_after`, `failures` and `shifts_range` go wrong once each.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Close the connection after so many bytes of the file.
    pub cut_after: Option<usize>,
    /// Statuses of the first answers.
    pub failures: Vec<u16>,
    /// Answer a range with the whole file.
    pub ignores_range: bool,
    /// Answer a range with another one.
    pub shifts_range: bool,
    /// Answer a range with 416.
    pub refuses_range: bool,
    /// Change a byte.
    pub corrupts: bool,
    /// Send more than announced.
    pub appends: usize,
    /// Send no Content-Length.
    pub hides_length: bool,
    /// Send file requests to this address.
    pub redirects_to: Option<String>,
    /// Answer listings with this.
    pub listing: Option<String>,
}

pub struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves until the test process ends.
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut behaviour = behaviour;
            for stream in listener.incoming().flatten() {
                // A client that goes away is no concern of ours.
                let _ = answer(stream, &mut behaviour, &log);
            }
        });
        Self { address, requests }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The heads of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    behaviour: &mut Behaviour,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    log.lock().unwrap().push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if !behaviour.failures.is_empty() {
        let status = behaviour.failures.remove(0);
        return send(&mut stream, &format!("{status} Failure"), "", b"no", true);
    }
    if path.starts_with("/api/models/owner/name/revision/main") {
        let listing = behaviour.listing.clone().unwrap_or_else(listing);
        return send(&mut stream, "200 OK", "", listing.as_bytes(), true);
    }
    if let Some(target) = &behaviour.redirects_to {
        let location = format!("Location: {target}{path}\r\n");
        return send(&mut stream, "302 Found", &location, b"", true);
    }
    match path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/")) {
        Some("model.safetensors") => send_weights(&mut stream, &head, behaviour),
        Some("config.json") => send(&mut stream, "200 OK", "", b"{}", true),
        _ => send(&mut stream, "404 Not Found", "", b"", true),
    }
}

fn send_weights(
    stream: &mut TcpStream,
    head: &str,
    behaviour: &mut Behaviour,
) -> std::io::Result<()> {
    let mut bytes = WEIGHTS.to_vec();
    if behaviour.corrupts {
        bytes[3] ^= 1;
    }
    bytes.resize(bytes.len() + behaviour.appends, b'x');
    let cut = behaviour.cut_after.take();
    let (start, end) = range(head, bytes.len()).unwrap_or((0, bytes.len()));
    let has_range = range(head, bytes.len()).is_some();
    if has_range && (behaviour.refuses_range || start >= bytes.len()) {
        return send(stream, "416 Range Not Satisfiable", "", b"", true);
    }
    let (status, extra, body) = if has_range && !behaviour.ignores_range {
        let start = if std::mem::take(&mut behaviour.shifts_range) { start + 1 } else { start };
        let range = format!("Content-Range: bytes {start}-{}/{}\r\n", end - 1, bytes.len());
        ("206 Partial Content", range, &bytes[start..end])
    } else {
        ("200 OK", String::new(), &bytes[..])
    };
    match cut {
        None => send(stream, status, &extra, body, !behaviour.hides_length),
        Some(count) => {
            let length = body.len();
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{extra}\r\n")?;
            stream.write_all(&body[..count.min(length)])
        }
    }
}

fn send(
    stream: &mut TcpStream,
    status: &str,
    extra: &str,
    body: &[u8],
    has_length: bool,
) -> std::io::Result<()> {
    let length =
        if has_length { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{length}{extra}\r\n")?;
    stream.write_all(body)
}

fn range(head: &str, length: usize) -> Option<(usize, usize)> {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("range:"))?;
    let (start, last) = line.split_once("bytes=")?.1.trim().split_once('-')?;
    let end = last.parse::<usize>().map_or(length, |last| last + 1).min(length);
    Some((start.parse().ok()?, end))
}

fn listing() -> String {
    let length = WEIGHTS.len();
    format!(
        r#"{{"sha": "{COMMIT}", "siblings": [
            {{"rfilename": ".gitattributes", "size": 9}},
            {{"rfilename": "config.json", "size": 2, "blobId": "0"}},
            {{"rfilename": "pytorch_model.bin", "size": 9}},
            {{"rfilename": "model.safetensors", "size": {length},
              "lfs": {{"sha256": "{WEIGHTS_SHA256}", "size": {length}, "pointerSize": 1}}}}]}}"#
    )
}
