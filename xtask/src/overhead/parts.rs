//! Processes that are measured, from their start until they are dropped.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::process;
use crate::workspace::Workspace;

/// Resident memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now: u64,
    pub most: u64,
}

impl Memory {
    fn of(id: u32) -> Result<Self> {
        let bytes = |field| process::memory_bytes(id, field);
        Ok(Self { now: bytes("VmRSS")?, most: bytes("VmHWM")? })
    }
}

/// A process that prints a line when it is ready, and may be asked for more.
pub struct Part {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub first_line: String,
}

impl Part {
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", process::shown(command)))?;
        let lines = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let mut part = Self { child, lines, first_line: String::new() };
        part.first_line = part.next_line()?;
        Ok(part)
    }

    /// Says a word and gives the line that comes back.
    pub fn ask(&mut self, word: &str) -> Result<String> {
        writeln!(self.child.stdin.as_mut().context("it has no input")?, "{word}")?;
        self.next_line()
    }

    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    fn next_line(&mut self) -> Result<String> {
        Ok(self.lines.next().context("it ended without a word")??)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A plain proxy.
pub struct Nginx {
    child: Child,
    pub address: String,
    pub version: String,
}

/// Looks for it this often, at most.
const LOOKS: usize = 100;
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

impl Nginx {
    /// Starts `program` before `upstream`, with everything it writes in `folder`.
    pub fn start(
        program: &Path,
        folder: &Path,
        upstream: &str,
        connections: usize,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, &address, upstream, connections))?;
        let mut command = Command::new(program);
        command.arg("-e").arg(folder.join("nginx.log")).arg("-c").arg(&file);
        let child = command.stdin(Stdio::null()).spawn().context("cannot run nginx")?;
        let mut nginx = Self { child, version: version(program)?, address };
        for _ in 0..LOOKS {
            if TcpStream::connect(&nginx.address).is_ok() {
                return Ok(nginx);
            }
            if let Some(status) = nginx.child.try_wait()? {
                bail!("nginx ended ({status}); see {}", folder.join("nginx.log").display());
            }
            thread::sleep(LOOK_INTERVAL);
        }
        bail!("nginx does not listen on {}", nginx.address)
    }

    /// Of all its processes.
    pub fn memory(&self) -> Result<Memory> {
        let id = self.child.id();
        let mut sum = Memory::of(id)?;
        for worker in children(id)? {
            let Memory { now, most } = Memory::of(worker)?;
            sum = Memory { now: sum.now + now, most: sum.most + most };
        }
        Ok(sum)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let id = self.child.id().to_string();
        let _ = process::run(Command::new("kill").args(["-TERM", &id]));
        let _ = self.child.wait();
    }
}

fn children(id: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{id}/task/{id}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

/// As its makers advise for a proxy whose connections stay, with a worker for every core.
fn configuration(folder: &Path, address: &str, upstream: &str, connections: usize) -> String {
    let folder = folder.display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|place| format!("{place}_temp_path {folder}/nginx-{place};"));
    let places = places.join("\n    ");
    format!(
        "daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
events {{
    worker_connections 4096;
}}
http {{
    access_log off;
    {places}
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    upstream stub {{
        server {upstream};
        keepalive {connections};
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
        keepalive_time 1h;
    }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://stub;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("-v").output().context("cannot run nginx")?;
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
}

/// The nginx of this system, or Debian's, unpacked among our tools.
pub fn find_nginx(workspace: &Workspace) -> Result<PathBuf> {
    for program in ["nginx", "/usr/sbin/nginx"] {
        if process::answers(Command::new(program).arg("-v")) {
            return Ok(program.into());
        }
    }
    let folder = workspace.target.join("tools/nginx");
    let program = folder.join("usr/sbin/nginx");
    if !program.exists() {
        fs::create_dir_all(&folder)?;
        debian::unpack("nginx", &folder)?;
    }
    if !process::answers(Command::new(&program).arg("-v")) {
        bail!("{} does not run here: install nginx", program.display());
    }
    Ok(program)
}
