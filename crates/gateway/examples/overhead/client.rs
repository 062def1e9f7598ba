//! The least that HTTP/1.1 needs, of both sides.

use std::io::{Read, Write};
use std::net::TcpStream;

const BODY: &str = r#"{"model":"stub","messages":[{"role":"user","content":"What is the capital of France?"}],"max_tokens":32}"#;

/// What every answer must have in it, whoever passes it on.
const ANSWERED: &[u8] = b"Paris.";

/// The question, with its head.
pub fn question(address: &str, key: &str) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    head.into_bytes()
}

/// A connection that stays.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> Self {
        Self::of(TcpStream::connect(address).expect("a connection"))
    }

    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("an option");
        Self { stream, buffer: Vec::with_capacity(8192) }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// Asks, and waits for all of the answer.
    pub fn ask(&mut self, question: &[u8]) {
        self.write(question);
        let answer = self.read().expect("an answer");
        let is_right = answer.starts_with(b"HTTP/1.1 200 ")
            && answer.windows(ANSWERED.len()).any(|part| part == ANSWERED);
        assert!(is_right, "{}", String::from_utf8_lossy(answer));
    }

    /// The next message with its head, of either side; `None`: there is none.
    pub fn read(&mut self) -> Option<&[u8]> {
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            // Whoever is killed at the end of a measurement resets its connections.
            let count = self.stream.read(&mut chunk).unwrap_or(0);
            if count == 0 {
                assert!(self.buffer.is_empty(), "closed in the middle");
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..count]);
            if is_whole(&self.buffer) {
                return Some(&self.buffer);
            }
        }
    }
}

fn is_whole(message: &[u8]) -> bool {
    let Some(head) = message.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let (head, body) = message.split_at(head + 4);
    let head = std::str::from_utf8(head).expect("text");
    let fields = || head.lines().filter_map(|line| line.split_once(':'));
    let field = |name: &str| {
        let mut fields = fields();
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    match field("content-length") {
        Some(length) => body.len() >= length.parse().expect("a length"),
        None if field("transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}
