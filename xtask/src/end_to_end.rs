//! The program as its users meet it: the starter is pulled, the server started, and public
//! clients talk to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::server::Server;
use crate::workspace::Workspace;
use crate::{node, process, python};

/// Each client is called with the API's address and the model's name.
const CLIENTS: &[&str] =
    &["crates/serve/tests/clients/openai_client.py", "crates/serve/tests/clients/forced_calls.py"];

/// Clients of what there is beside chat; they drive a server that answers at once.
const ROUTE_CLIENTS: &[&str] = &[
    "crates/serve/tests/clients/openai_routes.py",
    "crates/serve/tests/clients/anthropic_client.py",
    "crates/serve/tests/clients/protocol_cases.py",
];

/// Clients whose packages do not go together with those of the others. They need a model with wits,
/// which they lend to the scripted one.
const FRAMEWORKS: &[&str] = &[
    "crates/serve/tests/clients/langchain_client.py",
    "crates/serve/tests/clients/instructor_client.py",
];

/// The client for Rust: a folder with a program.
const RUST_CLIENT: &str = "crates/serve/tests/clients/rust";

/// Stands between clients and server, and notes what goes through.
const RECORDER: &str = "crates/serve/tests/clients/recorder.py";

/// Holds what was noted against the official forms.
const CONFORMANCE: &str = "crates/serve/tests/clients/conformance.py";

/// The official description of the API, beside the workspace; not everybody has it.
const OFFICIAL_SCHEMA: &str = "../shared/field/openai-openapi.json";

/// The clients for Node: a folder with their packages, and the script to run.
const NODE_CLIENTS: (&str, &str) = ("crates/serve/tests/clients/node", "clients.mjs");

/// What clients do when that server has no time.
const RETRIES: &str = "crates/serve/tests/clients/retries_client.py";

/// Packages of [`FRAMEWORKS`] and [`SCHEMA_FUZZ`].
pub const FRAMEWORK_PACKAGES: &str = "xtask/requirements-frameworks.txt";

/// Makes requests out of the server's own description.
const SCHEMA_FUZZ: &str = "crates/serve/tests/clients/schema_fuzz.py";

/// A server that answers at once, an example of phial-serve, and its model.
pub const FAKE: (&str, &str) = ("fake", "fake/echo");

/// Drives a server whose model writes what it is told to.
const FUNCTION_CALLING: &str = "crates/serve/tests/clients/function_calling.py";

/// That server, an example of phial-serve, and its model.
const SCRIPTED: (&str, &str) = ("scripted", "scripted/phi4");

/// Small enough to be pulled and run anywhere.
pub const MODEL: &str = "starter";

pub fn check(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace, "venv", "xtask/requirements.txt")?;
    let captures = empty_folder(workspace, "captures")?;
    fs::create_dir_all(&captures)?;
    let recorded = Recorded { python: &python, captures: captures.join("captures.jsonl") };
    let phial = release_binary(workspace)?;
    let home = home(workspace);
    process::run(Command::new(&phial).args(["pull", MODEL]).env("PHIAL_HOME", &home))?;
    let mut command = Command::new(&phial);
    command.args(["serve", "--model", MODEL, "--port", "0"]).env("PHIAL_HOME", &home);
    let server = Server::start(command)?;
    let recorder = recorded.before(workspace, &server)?;
    for client in CLIENTS {
        recorder.drive(workspace, &python, client, MODEL)?;
    }
    drop((recorder, server));
    check_routes(workspace, &recorded)?;
    check_frameworks(workspace, &recorded)?;
    let mut command = Command::new(&python);
    command.arg(workspace.root.join(CONFORMANCE)).arg(&recorded.captures);
    process::run(command.arg("--schema").arg(workspace.root.join(OFFICIAL_SCHEMA)))
}

/// Clients of a server that answers at once.
fn check_routes(workspace: &Workspace, recorded: &Recorded<'_>) -> Result<()> {
    let (example, model) = FAKE;
    let mut command = Command::new(release_example(workspace, "phial-serve", example)?);
    command.arg("127.0.0.1:0").arg(empty_folder(workspace, "stored-by-clients")?);
    let server = Server::start(command)?;
    let recorder = recorded.before(workspace, &server)?;
    for client in ROUTE_CLIENTS {
        recorder.drive(workspace, recorded.python, client, model)?;
    }
    let address = format!("{}/v1", recorder.address);
    node::run(workspace, NODE_CLIENTS, &[&address, model])?;
    run_rust_client(workspace, &[&address, model])?;
    let mut hurried = Command::new(release_example(workspace, "phial-serve", example)?);
    hurried.args(["127.0.0.1:0", "hurried"]);
    Server::start(hurried)?.drive(workspace, recorded.python, RETRIES, model)?;
    let frameworks = python::environment(workspace, "venv-frameworks", FRAMEWORK_PACKAGES)?;
    // Not what clients send.
    server.drive(workspace, &frameworks, SCHEMA_FUZZ, model)
}

/// Clients of a server whose model writes what it is told to.
fn check_frameworks(workspace: &Workspace, recorded: &Recorded<'_>) -> Result<()> {
    let (example, model) = SCRIPTED;
    let mut command = Command::new(release_example(workspace, "phial-serve", example)?);
    command.arg("127.0.0.1:0");
    let server = Server::start(command)?;
    let frameworks = python::environment(workspace, "venv-frameworks", FRAMEWORK_PACKAGES)?;
    let recorder = recorded.before(workspace, &server)?;
    for client in FRAMEWORKS {
        recorder.drive(workspace, &frameworks, client, model)?;
    }
    let requirements = "xtask/requirements-function-calling.txt";
    let python = python::environment_of(workspace, "venv-function-calling", requirements)?;
    server.drive(workspace, &python, FUNCTION_CALLING, model)
}

/// Runs the client for Rust, a workspace of its own whose packages are built below the target
/// folder.
fn run_rust_client(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    println!("{RUST_CLIENT} with {}", arguments.join(" "));
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--locked", "--manifest-path"]);
    command.arg(workspace.root.join(RUST_CLIENT).join("Cargo.toml"));
    command.arg("--target-dir").arg(workspace.target.join("rust-client"));
    process::run(command.arg("--").args(arguments))
}

/// Where exchanges are noted, and what notes them.
struct Recorded<'a> {
    python: &'a Path,
    captures: PathBuf,
}

impl Recorded<'_> {
    /// A recorder in front of `server`.
    fn before(&self, workspace: &Workspace, server: &Server) -> Result<Server> {
        let mut command = Command::new(self.python);
        command.arg(workspace.root.join(RECORDER)).arg(&server.address).arg(&self.captures);
        Server::start(command)
    }
}

/// A folder for what a server stores, without what the last one left.
pub fn empty_folder(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let folder = workspace.target.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    Ok(folder)
}

/// A store of our own: what a developer has pulled must not decide whether tests pass.
pub fn home(workspace: &Workspace) -> PathBuf {
    workspace.target.join("phial-home")
}

/// Builds the program as it is released.
pub fn release_binary(workspace: &Workspace) -> Result<PathBuf> {
    process::run(workspace.cargo().args(["build", "--release", "--package", "phial"]))?;
    Ok(workspace.target.join("release").join(format!("phial{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds an example of a package, optimised.
pub fn release_example(workspace: &Workspace, package: &str, name: &str) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    process::run(command.args(["build", "--release", "-p", package, "--example", name]))?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target.join("release").join("examples").join(file))
}
