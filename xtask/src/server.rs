//! A server of ours, from its start until it is dropped.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// What the server prints before its address.
const LISTENING: &str = "listening on ";

/// Patience for the server to load a model; the first time, weights are packed.
const START_TIME_MAX: Duration = Duration::from_secs(300);

/// Patience for the server to end by itself.
const END_TIME_MAX: Duration = Duration::from_secs(20);

/// A running server; ends with its value.
pub struct Server {
    child: Child,
    /// `http://127.0.0.1:8080`
    pub address: String,
    /// What it printed before it was ready.
    pub greeting: String,
    /// What it prints since.
    lines: Mutex<Receiver<String>>,
}

impl Server {
    /// Starts a server and waits until it listens. What it prints is passed on.
    pub fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", process::shown(&command)))?;
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take(), sender.clone());
        forward(child.stderr.take(), sender);
        let lines = Mutex::new(lines);
        let mut server = Self { child, address: String::new(), greeting: String::new(), lines };
        let deadline = Instant::now() + START_TIME_MAX;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match server.next_line(left) {
                Ok(line) => {
                    server.greeting += &format!("{line}\n");
                    if let Some(address) = address(&line) {
                        server.address = address;
                        return Ok(server);
                    }
                }
                Err(_) => bail!("the server printed no '{LISTENING}http://…'"),
            }
        }
    }

    /// What `find` finds in what the server printed, or will.
    pub fn printed(&self, what: &str, find: fn(&str) -> Option<String>) -> Result<String> {
        let deadline = Instant::now() + START_TIME_MAX;
        let mut text = self.greeting.clone();
        loop {
            if let Some(found) = find(&text) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.next_line(left);
            text = line.with_context(|| format!("the server printed no {what}"))?;
        }
    }

    fn next_line(&self, patience: Duration) -> Result<String, RecvTimeoutError> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(patience)
    }

    /// Runs a client, a script of the workspace, against the server.
    pub fn drive(
        &self,
        workspace: &Workspace,
        python: &Path,
        client: &str,
        model: &str,
    ) -> Result<()> {
        println!("{client} against {}", self.address);
        let mut command = Command::new(python);
        // What a client leaves behind is no part of the tree.
        command.current_dir(&workspace.target).arg(workspace.root.join(client));
        process::run(command.arg(format!("{}/v1", self.address)).arg(model))
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as service managers do, and waits: what it keeps on disk is whole then.
    pub fn end(mut self) -> Result<()> {
        let id = self.id().to_string();
        process::run(Command::new("kill").args(["-TERM", &id]))?;
        let deadline = Instant::now() + END_TIME_MAX;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server did not end in {} seconds", END_TIME_MAX.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints every line of a stream and passes it on, also after nobody listens any more: a server
/// whose output is not read stops at a full pipe.
fn forward(stream: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(stream) = stream else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            println!("  server: {line}");
            let _ = sender.send(line);
        }
    });
}

/// `http://127.0.0.1:8080` out of `listening on http://127.0.0.1:8080 …`.
fn address(line: &str) -> Option<String> {
    let rest = line.split_once(LISTENING)?.1;
    let address = rest.split_whitespace().next()?.trim_end_matches(['/', '.', ',']);
    address.starts_with("http://").then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_off_the_servers_line() {
        let line = "phial is listening on http://127.0.0.1:4711/ (starter)";
        assert_eq!(address(line).as_deref(), Some("http://127.0.0.1:4711"));
        assert_eq!(address("listening on a socket"), None);
        assert_eq!(address("loading"), None);
    }
}
