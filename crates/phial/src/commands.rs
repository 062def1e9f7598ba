//! One file per command, and what several of them share.

mod accounts;
mod bench;
mod ceilings;
mod doctor;
mod gateway;
mod inspect;
mod logits;
mod pull;
mod quantize;
mod run;
mod serve;
mod store;
mod synth;
mod system;
mod tokenize;

use anyhow::Result;

use crate::cli::{Arguments, Command};

/// Runs the command that was asked for.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Gateway(arguments) => gateway::run(&arguments),
        Command::Accounts(arguments) => accounts::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Pull(arguments) => pull::run(&arguments),
        Command::List => store::list(),
        Command::Rm(arguments) => store::remove(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Quantize(arguments) => quantize::run(&arguments),
        Command::Synth(arguments) => synth::run(&arguments),
        Command::Tokenize(arguments) => tokenize::run(&arguments),
        Command::Logits(arguments) => logits::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    }
}
