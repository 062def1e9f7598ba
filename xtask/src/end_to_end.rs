//! The program as its users meet it: the starter is pulled, the server started, and public
//! clients talk to it.

use std::fs;
use std::path::PathBuf;
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

/// Clients whose packages do not go together with those of the others.
const FRAMEWORKS: &[&str] = &["crates/serve/tests/clients/langchain_client.py"];

/// The clients for Node: a folder with their packages, and the script to run.
const NODE_CLIENTS: (&str, &str) = ("crates/serve/tests/clients/node", "clients.mjs");

/// What clients do when that server has no time.
const RETRIES: &str = "crates/serve/tests/clients/retries_client.py";

/// Makes requests out of the server's own description.
const SCHEMA_FUZZ: &str = "crates/serve/tests/clients/schema_fuzz.py";

/// A server that answers at once, an example of phial-serve, and its model.
const FAKE: (&str, &str) = ("fake", "fake/echo");

/// Drives a server whose model writes what it is told to.
const FUNCTION_CALLING: &str = "crates/serve/tests/clients/function_calling.py";

/// That server, an example of phial-serve, and its model.
const SCRIPTED: (&str, &str) = ("scripted", "scripted/phi4");

/// Small enough to be pulled and run anywhere.
pub const MODEL: &str = "starter";

pub fn check(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace, "venv", "xtask/requirements.txt")?;
    let phial = release_binary(workspace)?;
    let home = home(workspace);
    process::run(Command::new(&phial).args(["pull", MODEL]).env("PHIAL_HOME", &home))?;
    let mut command = Command::new(&phial);
    command.args(["serve", "--model", MODEL, "--port", "0"]).env("PHIAL_HOME", &home);
    let server = Server::start(command)?;
    for client in CLIENTS {
        server.drive(workspace, &python, client, MODEL)?;
    }
    drop(server);
    let (example, model) = FAKE;
    let mut command = Command::new(release_example(workspace, example)?);
    command.arg("127.0.0.1:0").arg(empty_folder(workspace, "stored-by-clients")?);
    let server = Server::start(command)?;
    for client in ROUTE_CLIENTS {
        server.drive(workspace, &python, client, model)?;
    }
    let mut command = Command::new(release_example(workspace, example)?);
    command.args(["127.0.0.1:0", "hurried"]);
    Server::start(command)?.drive(workspace, &python, RETRIES, model)?;
    let requirements = "xtask/requirements-frameworks.txt";
    let frameworks = python::environment(workspace, "venv-frameworks", requirements)?;
    for client in FRAMEWORKS.iter().chain(&[SCHEMA_FUZZ]) {
        server.drive(workspace, &frameworks, client, model)?;
    }
    node::run(workspace, NODE_CLIENTS, &[&format!("{}/v1", server.address), model])?;
    drop(server);
    let requirements = "xtask/requirements-function-calling.txt";
    let python = python::environment_of(workspace, "venv-function-calling", requirements)?;
    let (example, model) = SCRIPTED;
    let mut command = Command::new(release_example(workspace, example)?);
    command.arg("127.0.0.1:0");
    Server::start(command)?.drive(workspace, &python, FUNCTION_CALLING, model)
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

/// Builds an example of phial-serve, optimised.
fn release_example(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let mut command = workspace.cargo();
    process::run(command.args(["build", "--release", "-p", "phial-serve", "--example", name]))?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.target.join("release").join("examples").join(file))
}
