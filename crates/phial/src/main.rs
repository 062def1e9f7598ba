//! The Phi-4-mini family served from one binary on ordinary CPUs.
//!
//! **Owns:** subcommands, where models are found, logging, and the wiring of the rooms.
//!
//! **Does not know:** how any of it is done; every command is a few calls into the rooms below.
//!
//! **Start at** `cli`, then the command's file in `commands`.

mod bundle;
mod cli;
mod commands;
mod fingerprint;
mod local_upstream;
mod locate;
mod logging;
mod memory;
mod progress;
mod pull;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// The message and its causes, each once: some messages quote their cause already.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().replace('\n', " ");
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// Whether the reader of our output went away (`phial logits … | head`): no error of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
