//! A client that streams answers and notes when each piece came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// Patience for one read of an answer; a long prompt is silent for minutes, but for pings.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// An answer that was streamed to its end.
pub struct Streamed {
    pub asked: Instant,
    /// When each piece of text came.
    pub pieces: Vec<Instant>,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub generated_tokens: u64,
}

impl Streamed {
    /// From the request to the first piece.
    pub fn first(&self) -> Result<Duration> {
        Ok(*self.pieces.first().context("the answer has no text")? - self.asked)
    }

    /// As [`Streamed::first`], in seconds.
    pub fn first_seconds(&self) -> Result<f64> {
        Ok(self.first()?.as_secs_f64())
    }

    /// The longest time between two pieces, in seconds.
    pub fn longest_pause(&self) -> f64 {
        let pauses = self.pieces.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64());
        pauses.fold(0.0, f64::max)
    }

    /// Tokens per second after the first.
    pub fn speed(&self) -> Result<f64> {
        let (first, last) = (self.pieces.first(), self.pieces.last());
        let (Some(first), Some(last)) = (first, last) else { bail!("the answer has no text") };
        let time = (*last - *first).as_secs_f64();
        ensure!(self.generated_tokens > 1 && time > 0.0, "the answer is too short to measure");
        Ok((self.generated_tokens - 1) as f64 / time)
    }
}

/// Asks the chat API at `address` (`http://…`) for a stream and reads it to its end.
pub fn chat(address: &str, model: &str, messages: &Value, more: Value) -> Result<Streamed> {
    let mut body = json!({
        "model": model, "messages": messages, "stream": true,
        "stream_options": {"include_usage": true},
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    let asked = Instant::now();
    let answer = post(address, "/v1/chat/completions", &body)?;
    let mut streamed = Streamed {
        asked,
        pieces: Vec::new(),
        prompt_tokens: 0,
        cached_tokens: 0,
        generated_tokens: 0,
    };
    for line in answer.lines() {
        let line = line.context("the stream broke")?;
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            return Ok(streamed);
        }
        let chunk: Value = serde_json::from_str(data).context("a chunk is no JSON")?;
        ensure!(chunk.get("error").is_none(), "the server says {}", chunk["error"]["message"]);
        let content = chunk["choices"][0]["delta"]["content"].as_str();
        if content.is_some_and(|text| !text.is_empty()) {
            streamed.pieces.push(Instant::now());
        }
        if let Some(usage) = chunk["usage"].as_object() {
            let count = |value: &Value| value.as_u64().unwrap_or(0);
            streamed.prompt_tokens = count(&usage["prompt_tokens"]);
            streamed.generated_tokens = count(&usage["completion_tokens"]);
            streamed.cached_tokens = count(&usage["prompt_tokens_details"]["cached_tokens"]);
        }
    }
    bail!("the stream ended without [DONE]")
}

/// Tokens of a text.
pub fn tokens(address: &str, model: &str, text: &str) -> Result<Vec<u64>> {
    let body = json!({"model": model, "prompt": text, "add_special_tokens": false});
    let mut text = String::new();
    post(address, "/tokenize", &body)?.read_to_string(&mut text)?;
    let answer: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
    let tokens = answer["tokens"].as_array().context("the answer has no tokens")?;
    Ok(tokens.iter().filter_map(Value::as_u64).collect())
}

/// The value of a metric that has one.
pub fn metric(address: &str, name: &str) -> Result<f64> {
    let mut text = String::new();
    send(address, "GET", "/metrics", "")?.read_to_string(&mut text)?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.with_context(|| format!("the server has no metric {name}"))
}

/// Sends `body`; gives the body of an answer that is no error.
fn post(address: &str, path: &str, body: &Value) -> Result<Box<dyn BufRead>> {
    send(address, "POST", path, &body.to_string())
}

fn send(address: &str, method: &str, path: &str, body: &str) -> Result<Box<dyn BufRead>> {
    let host = address.strip_prefix("http://").context("the address has no http://")?;
    let mut stream =
        TcpStream::connect(host).with_context(|| format!("cannot connect to {host}"))?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_nodelay(true)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status)?;
    let mut chunked = false;
    loop {
        let mut header = String::new();
        ensure!(reader.read_line(&mut header)? > 0, "the head of the answer is cut");
        if header.trim().is_empty() {
            break;
        }
        chunked |= header.trim().eq_ignore_ascii_case("transfer-encoding: chunked");
    }
    let mut answer: Box<dyn BufRead> = match chunked {
        true => Box::new(BufReader::new(Chunked { inner: reader, left: 0, ended: false })),
        false => Box::new(reader),
    };
    if !status.starts_with("HTTP/1.1 200") {
        let mut text = String::new();
        // What can be read of it is worth telling.
        let _ = answer.read_to_string(&mut text);
        bail!("{}: {text}", status.trim());
    }
    Ok(answer)
}

/// A body in chunks, put together again.
struct Chunked<R> {
    inner: R,
    /// Bytes of this chunk that are yet to be read.
    left: usize,
    ended: bool,
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let broken = |what: &str| std::io::Error::other(format!("a chunk has no {what}"));
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let mut line = String::new();
            self.inner.read_line(&mut line)?;
            let digits = line.trim().split(';').next().unwrap_or_default();
            self.left = usize::from_str_radix(digits, 16).map_err(|_| broken("length"))?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let most = self.left.min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(broken("end"));
        }
        self.left -= count;
        if self.left == 0 {
            let mut end = String::new();
            self.inner.read_line(&mut end)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        let read = |text: &'static str| {
            let mut all = String::new();
            let mut body = Chunked { inner: text.as_bytes(), left: 0, ended: false };
            body.read_to_string(&mut all).map(|_| all)
        };
        assert_eq!(
            read("3\r\nabc\r\nb;x=y\r\n0123456789a\r\n0\r\n\r\n").unwrap(),
            "abc0123456789a"
        );
        assert!(read("3\r\nab").is_err());
        assert!(read("x\r\nab").is_err());
    }
}
