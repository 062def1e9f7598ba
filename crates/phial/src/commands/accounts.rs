//! `phial accounts`, and opening the accounts of `phial serve`.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use phial_gateway::{Maintenance, Settings};

use crate::cli;
use crate::commands::gateway;

/// Where the console is when nothing else is said.
const USUAL_URL: &str = "http://127.0.0.1:8080";

/// Accounts in a folder, or in PostgreSQL with a folder for what is the node's own.
pub fn settings(accounts: &str, folder: Option<&PathBuf>) -> Result<Settings> {
    if accounts.starts_with("postgres://") || accounts.starts_with("postgresql://") {
        let folder = folder.context(
            "accounts in PostgreSQL need --accounts-folder DIR, for the pepper and the journal",
        )?;
        return Ok(Settings { database: Some(accounts.to_owned()), ..Settings::in_folder(folder) });
    }
    ensure!(folder.is_none(), "--accounts-folder goes with accounts in PostgreSQL only");
    ensure!(!accounts.contains("://"), "--accounts is a folder or postgres://…");
    Ok(Settings::in_folder(accounts))
}

/// Runs a command on accounts.
pub fn run(arguments: &cli::Accounts) -> Result<()> {
    let settings = match &arguments.config {
        Some(file) => gateway::read(file)?.settings().map_err(|problem| anyhow!(problem))?,
        None => settings(&arguments.accounts, arguments.accounts_folder.as_ref())?,
    };
    let public_url = settings.public_url.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if let cli::AccountsCommand::Restore { file } = &arguments.command {
            phial_gateway::restore(&settings, file).await?;
            println!("restored; the server may be started");
            return Ok(());
        }
        let maintenance = Maintenance::open(settings).await?;
        match &arguments.command {
            cli::AccountsCommand::SetupLink { url } => {
                let secret = maintenance.setup_secret().await?;
                let url = url.clone().or(public_url).unwrap_or_else(|| USUAL_URL.to_owned());
                println!("{}/console/setup#{secret}", url.trim_end_matches('/'));
            }
            cli::AccountsCommand::Backup { file } => {
                maintenance.back_up(file).await?;
                println!(
                    "{} and, to be kept as a secret, {}.pepper",
                    file.display(),
                    file.display()
                );
            }
            cli::AccountsCommand::ResetPassword { name } => {
                maintenance.reset_password(name, &read_password()?).await?;
                println!("{name} has a new password and is signed out everywhere");
            }
            cli::AccountsCommand::Restore { .. } => {}
        }
        maintenance.close().await;
        Ok(())
    })
}

/// A password from standard input: never from the command line, which others can read.
fn read_password() -> Result<String> {
    if std::io::stdin().is_terminal() {
        eprint!("new password (it is shown as it is typed): ");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("cannot read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password was given; write it to standard input");
    }
    Ok(password.to_owned())
}
