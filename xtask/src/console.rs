//! The console in a browser: every page against a stand-in, and the whole way of somebody new
//! against the program.

use std::process::Command;

use anyhow::{Context, Result};

use crate::end_to_end::{self, MODEL};
use crate::server::Server;
use crate::workspace::Workspace;
use crate::{debian, node, process};

/// The tests; `CHROMIUM` names another browser than Debian's.
const TESTS: (&str, &str) = ("tests/console", "console.mjs");

const CHROMIUM: &str = "/usr/bin/chromium";

/// What the link to the first administrator's page has in it.
const SETUP: &str = "/console/setup#";

pub fn check(workspace: &Workspace) -> Result<()> {
    install_browser()?;
    let root = workspace.root.to_str().context("the workspace's path is no UTF-8")?;
    node::run(workspace, TESTS, &["pages", root])?;
    let phial = end_to_end::release_binary(workspace)?;
    let home = end_to_end::home(workspace);
    process::run(Command::new(&phial).args(["pull", MODEL]).env("PHIAL_HOME", &home))?;
    let accounts = end_to_end::empty_folder(workspace, "console-accounts")?;
    let mut command = Command::new(&phial);
    command.args(["serve", "--model", MODEL, "--port", "0", "--accounts"]).arg(accounts);
    command.env("PHIAL_HOME", &home);
    let server = Server::start(command)?;
    let link = server.printed("link to its first page", link)?;
    node::run(workspace, TESTS, &["server", &link])
}

/// Debian's, where no other is named.
fn install_browser() -> Result<()> {
    if std::env::var_os("CHROMIUM").is_some()
        || process::answers(Command::new(CHROMIUM).arg("--version"))
    {
        return Ok(());
    }
    debian::install(&["chromium"])
        .context("the console's tests need chromium: install it, or name a browser in CHROMIUM")
}

/// `http://127.0.0.1:8080/console/setup#secret` out of a text that has it.
pub fn link(text: &str) -> Option<String> {
    let is_link = |word: &&str| word.starts_with("http") && word.contains(SETUP);
    text.split_whitespace().find(is_link).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_read_off_the_servers_line() {
        let line = "the first administrator: http://127.0.0.1:4711/console/setup#a1B2 (24 h)";
        assert_eq!(link(line).as_deref(), Some("http://127.0.0.1:4711/console/setup#a1B2"));
        assert_eq!(link("listening on http://127.0.0.1:4711"), None);
    }
}
