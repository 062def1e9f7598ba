//! A running server: what it generates, and how it stops.

mod driving;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use driving::{argmax, feed, logits, phial, succeed};
use phial_convert::tokenizer_of;
use phial_formats::Gguf;
use serde_json::{Value, json};

/// A server on a free port, killed when the test is over.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(home: &Path, model: &Path) -> Self {
        Self::start_with(home, model, &[])
    }

    fn start_with(home: &Path, model: &Path, arguments: &[&str]) -> Self {
        let mut command = phial(home);
        // As long contexts of large models are kept.
        command.args(["serve", "--port", "0", "--kv", "int8", "--model"]).arg(model);
        command.args(arguments);
        Self::spawn(command, Stdio::null())
    }

    fn spawn(mut command: Command, errors: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("an address");
        Self { child, address: address.to_owned() }
    }

    /// Sends a chat request; what follows the head of the answer.
    fn chat(&self, body: &Value) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        reader
    }

    /// Sends Ctrl-C's signal and waits for the end.
    #[cfg(unix)]
    fn interrupt(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        while asked.elapsed() < Duration::from_secs(60) {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, asked.elapsed());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server still runs a minute after the signal");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nano(home: &Path) -> PathBuf {
    let path = home.join("nano.gguf");
    succeed(phial(home).args(["synth", "--preset", "phi-4-mini-nano"]).arg(&path));
    path
}

/// The logarithm of the probability of `id`.
fn log_probability(row: &[f32], id: u32) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|value| f64::from(value - largest).exp()).sum();
    f64::from(row[id as usize] - largest) - total.ln()
}

/// An answer that begins before the boundary of LongRoPE and ends behind it, against a fresh
/// reading of the whole sequence at every length.
#[test]
fn an_answer_across_the_boundary_is_that_of_a_fresh_prompt_at_every_length() {
    let home = tempfile::tempdir().unwrap();
    let model = nano(home.path());
    let gguf = Gguf::open(&model).unwrap();
    let tokenizer = tokenizer_of(gguf.metadata(), "nano").unwrap().unwrap();
    let tokenize = |text: &str| -> Vec<u32> {
        let mut command = phial(home.path());
        command.args(["tokenize", "--special", "-", "--model"]).arg(&model);
        let output = feed(&mut command, text.as_bytes());
        let line = String::from_utf8(output.stdout).unwrap();
        line.split_whitespace().map(|id| id.parse().unwrap()).collect()
    };
    let question = " the".repeat(4089);
    let mut ids = tokenize(&format!("<|user|>{question}<|end|><|assistant|>"));
    assert!((4090..=4094).contains(&ids.len()), "{} tokens", ids.len());

    let server = Running::start(home.path(), &model);
    let request = json!({
        "model": "nano", "temperature": 0, "max_tokens": 10, "logprobs": true,
        "messages": [{"role": "user", "content": question}],
    });
    let mut answer = String::new();
    server.chat(&request).read_to_string(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"], ids.len(), "{}", answer["usage"]);
    let choice = &answer["choices"][0];
    let steps = choice["logprobs"]["content"].as_array().unwrap();
    let first = ids.len();
    for step in steps {
        let as_served = ["--precision", "auto", "--kv", "int8"];
        let row = logits(home.path(), &model, &ids, 1, &as_served).remove(0);
        let best = argmax(&row);
        let bytes = step["bytes"].as_array().unwrap();
        let bytes: Vec<_> = bytes.iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
        assert_eq!(tokenizer.token_bytes(best).unwrap(), bytes, "after {} tokens", ids.len());
        let difference = step["logprob"].as_f64().unwrap() - log_probability(&row, best);
        assert!(difference.abs() < 1e-4, "after {} tokens: {difference}", ids.len());
        ids.push(best);
    }
    assert!(ids.len() > 4098, "the answer ended after {} tokens, before the boundary", ids.len());
    assert_eq!(choice["message"]["content"], tokenizer.decode(&ids[first..], true));
}

/// With a folder of prefixes a prompt is not read again, neither by the same server nor by the
/// next, and the answers are the same.
#[cfg(unix)]
#[test]
fn cached_prefixes_survive_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let model = nano(home.path());
    let folder = home.path().join("prefixes");
    let arguments = ["--prefix-cache", folder.to_str().unwrap(), "--prefix-cache-size", "1GB"];
    let request = json!({
        "model": "nano", "temperature": 0, "max_tokens": 30,
        "messages": [{"role": "user", "content": " the".repeat(500) + &" cat".repeat(500)}],
    });
    let ask = |server: &Running| {
        let mut answer = String::new();
        server.chat(&request).read_to_string(&mut answer).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        (answer["choices"][0]["message"]["content"].clone(), cached)
    };
    let mut server = Running::start_with(home.path(), &model, &arguments);
    let (expected, cached) = ask(&server);
    assert_eq!(cached, 0);
    let (again, cached) = ask(&server);
    assert!(again == expected && cached > 1000, "{cached} tokens");
    server.interrupt();
    let mut server = Running::start_with(home.path(), &model, &arguments);
    let (after, cached) = ask(&server);
    assert!(after == expected && cached >= 992, "{cached} tokens");
    server.interrupt();
    // Whatever became of the files.
    for file in std::fs::read_dir(&folder).unwrap() {
        std::fs::write(file.unwrap().path(), "damaged").unwrap();
    }
    let server = Running::start_with(home.path(), &model, &arguments);
    assert_eq!(ask(&server), (expected, 0));
}

#[cfg(unix)]
#[test]
fn the_signal_of_ctrl_c_ends_streams_and_the_server() {
    let home = tempfile::tempdir().unwrap();
    let model = nano(home.path());
    let mut server = Running::start(home.path(), &model);
    let request = json!({
        "model": "nano", "temperature": 0, "max_tokens": 100_000, "stream": true,
        // Nothing ends the answer but its length.
        "logit_bias": {"8000": -100, "8005": -100},
        "messages": [{"role": "user", "content": "Go on for ever."}],
    });
    let mut stream = server.chat(&request);
    let mut line = String::new();
    while !line.contains("\"content\"") {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended early");
    }
    let (status, taken) = server.interrupt();
    assert_eq!(status.code(), Some(0));
    assert!(taken < Duration::from_secs(10), "it took {taken:?}");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the stream ends as HTTP streams do");
    assert!(rest.contains("error") || rest.contains("[DONE]"), "the last was {rest:?}");

    // Without a request, it ends at once.
    let mut idle = Running::start(home.path(), &model);
    let (status, taken) = idle.interrupt();
    assert_eq!(status.code(), Some(0));
    assert!(taken < Duration::from_secs(2), "it took {taken:?}");
}

/// A line for each request, and a trace of it, without what was asked.
#[cfg(unix)]
#[test]
fn logs_and_traces_tell_of_requests_and_not_what_they_say() {
    let home = tempfile::tempdir().unwrap();
    let model = nano(home.path());
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", collector.local_addr().unwrap());
    let traces = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut sent = Vec::new();
        let mut buffer = [0; 4096];
        while !sent.windows(11).any(|part| part == b"input_token") {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(count) => sent.extend(&buffer[..count]),
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8_lossy(&sent).into_owned()
    });
    let log = home.path().join("log");
    let mut command = phial(home.path());
    command.args(["serve", "--port", "0", "--kv", "int8", "--model"]).arg(&model);
    command.args(["--log-format", "json", "--otlp", &address]);
    let mut server = Running::spawn(command, std::fs::File::create(&log).unwrap().into());
    let request = json!({
        "model": "nano", "temperature": 0, "max_tokens": 3,
        "messages": [{"role": "user", "content": "Xylophones"}],
    });
    let mut answer = String::new();
    server.chat(&request).read_to_string(&mut answer).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    server.interrupt();

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("Xylophones"), "{text}");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let told: Vec<_> = lines.iter().filter(|line| line["target"] == "phial::requests").collect();
    assert_eq!(told.len(), 1, "{text}");
    let line = told[0];
    assert_eq!(line["message"], "request");
    assert_eq!(line["route"], "/v1/chat/completions");
    assert_eq!((&line["status"], &line["disconnected"]), (&json!(200), &json!(false)));
    assert_eq!(line["generated_tokens"], answer["usage"]["completion_tokens"]);
    assert_eq!(line["prompt_tokens"], answer["usage"]["prompt_tokens"]);
    assert_eq!(line["answer"], answer["id"]);
    assert!(line["request_id"].as_str().unwrap().starts_with("req_"), "{line}");
    for time in ["milliseconds", "first_token_milliseconds", "queued_milliseconds", "timestamp"] {
        assert!(!line[time].is_null(), "{time} in {line}");
    }

    let sent = traces.join().unwrap();
    assert!(sent.starts_with("POST /v1/traces HTTP/1.1"), "{sent}");
    for part in ["chat nano", "gen_ai.operation.name", "gen_ai.usage.input_tokens", "phial"] {
        assert!(sent.contains(part), "{part} in {sent}");
    }
    assert!(!sent.contains("Xylophones"), "{sent}");
}

#[test]
fn traces_that_cannot_be_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let refuse = |arguments: &[&str]| {
        let mut command = phial(home.path());
        command.arg("serve").args(arguments).env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
        driving::refuse(&mut command)
    };
    let error = refuse(&["--otlp", "localhost:4318"]);
    assert!(error.contains("begins with http:// or https://"), "{error}");
    let error = refuse(&["--trace-content"]);
    assert!(error.contains("needs a collector"), "{error}");
}
