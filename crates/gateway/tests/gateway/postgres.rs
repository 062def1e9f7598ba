//! A PostgreSQL of the tests' own, which ends with their process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Set where a PostgreSQL must be there; elsewhere its tests are skipped without one.
const DEMAND: &str = "PHIAL_TEST_POSTGRES";

struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    as_root: bool,
    /// Its standard input is ours: when we end, however, the watcher ends the server.
    _watcher: Child,
}

static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Whether there is a PostgreSQL.
pub fn is_there() -> bool {
    CLUSTER.get_or_init(start).is_some()
}

/// The address of a new, empty database; `None`: there is no PostgreSQL.
pub fn new_database() -> Option<String> {
    let cluster = CLUSTER.get_or_init(start).as_ref()?;
    let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = cluster.folder.to_string_lossy().into_owned();
    let created = cluster
        .command("createdb")
        .args(["-U", "postgres", "-h", &folder, &name])
        .status()
        .unwrap();
    assert!(created.success());
    Some(format!("postgres://postgres@localhost/{name}?host={folder}"))
}

impl Cluster {
    fn command(&self, program: &str) -> Command {
        command(&self.programs, self.as_root, program)
    }
}

/// The server refuses to be root.
fn command(programs: &Path, as_root: bool, program: &str) -> Command {
    let program = programs.join(program);
    let mut command = if as_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("postgres").exists())
        .collect();
    versions.sort();
    versions.pop()
}

fn start() -> Option<Cluster> {
    let Some(programs) = programs() else {
        let demanded = std::env::var_os(DEMAND).is_some();
        assert!(!demanded, "{DEMAND} is set and no PostgreSQL is installed");
        return None;
    };
    let as_root = Command::new("id").arg("-u").output().ok()?.stdout.starts_with(b"0");
    let folder = tempfile::Builder::new().prefix("phial-postgres").tempdir().unwrap().keep();
    if as_root {
        assert!(Command::new("chown").arg("postgres").arg(&folder).status().unwrap().success());
    }
    let data = folder.join("data");
    let made = command(&programs, as_root, "initdb")
        .args(["-A", "trust", "-U", "postgres", "-N", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
    // The shell ends when its input does, which is when this process is gone.
    let script = "\"$@\" >/dev/null 2>&1 & pid=$!; cat >/dev/null; kill -INT $pid; wait $pid; \
                  rm -rf \"$FOLDER\"";
    let server = command(&programs, as_root, "postgres");
    let mut watcher = Command::new("sh");
    watcher.args(["-c", script, "sh"]).arg(server.get_program()).args(server.get_args());
    watcher.arg("-D").arg(&data).arg("-k").arg(&folder).args([
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
        "-c",
        "max_connections=200",
    ]);
    let watcher = watcher
        .env("FOLDER", &folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let socket = folder.join(".s.PGSQL.5432");
    let patience = Instant::now();
    while !socket.exists() {
        assert!(patience.elapsed() < Duration::from_secs(30), "PostgreSQL does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let cluster = Cluster { programs, folder, as_root, _watcher: watcher };
    let ready = || cluster.command("pg_isready").arg("-h").arg(&cluster.folder).status();
    while !ready().unwrap().success() {
        assert!(patience.elapsed() < Duration::from_secs(30), "PostgreSQL does not get ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(cluster)
}
