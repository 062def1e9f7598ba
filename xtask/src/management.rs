//! The management API: requests made out of its own description, by an ordinary user and by an
//! administrator.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::server::Server;
use crate::workspace::Workspace;
use crate::{console, end_to_end, process, python};

/// Is called with the link to the first administrator's page.
const FUZZ: &str = "crates/gateway/tests/clients/management_fuzz.py";

pub fn check(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace, "venv-frameworks", end_to_end::FRAMEWORK_PACKAGES)?;
    let (example, model) = end_to_end::FAKE;
    let mut command = Command::new(end_to_end::release_example(workspace, "phial-serve", example)?);
    command.arg("127.0.0.1:0");
    let upstream = Server::start(command)?;
    let folder = end_to_end::empty_folder(workspace, "management")?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Channels are for gateways that have some.
    let configuration = format!(
        "[gateway]\nlisten = '127.0.0.1:0'\naccounts = '{}'\n\
         [[gateway.upstreams]]\nname = 'fake'\nbase_url = '{}/v1'\nmodels = ['{model}']\n",
        folder.join("accounts").display(),
        upstream.address,
    );
    let file = folder.join("gateway.toml");
    fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new(end_to_end::release_binary(workspace)?);
    command.args(["gateway", "--config"]).arg(&file);
    let gateway = Server::start(command)?;
    let link = gateway.printed("link to its first page", console::link)?;
    println!("{FUZZ} against {}", gateway.address);
    let mut command = Command::new(python);
    // What it leaves behind is no part of the tree.
    command.current_dir(&folder).arg(workspace.root.join(FUZZ)).arg(link);
    process::run(&mut command)
}
