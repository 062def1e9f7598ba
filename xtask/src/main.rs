//! Tasks of the workshop: `cargo xtask help` lists them.
//!
//! **Owns:** the rules of the workspace (`tidy`), the one test command, comparisons with other
//! engines. **Does not know:** how anything works inside: it reads files and runs programs.
//!
//! **Start at** `main`, then `steps` for the test command and `tidy` for the rules.

mod console;
mod debian;
mod divergence;
mod end_to_end;
mod finding;
mod goldens;
mod machine;
mod management;
mod node;
mod overhead;
mod peers;
mod process;
mod python;
mod server;
mod serving;
mod source;
mod steps;
mod supply_chain;
mod tidy;
mod tiers;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use workspace::Workspace;

const HELP: &str = "\
Usage: cargo xtask TASK

  test [--only STEP,STEP]     every test; steps: fmt tidy clippy tests docs deny tiers
                              end-to-end management console
  tidy                        the rules of the workspace, one violation a line
  goldens                     compares goldens/ with the folder they were copied from
  bench-peers [--model phi-4-mini|starter|FILE] [--only NAME,NAME] [--runs 3] [--threads 2]
              [--phial PROGRAM]
                              speed beside llama.cpp on the same files, into bench/record/
                              (bench/README.md)
  bench-serving [--model phi-4-mini|starter|FILE] [--only NAME,NAME] [--runs 3] [--threads 2]
              [--streams 32] [--tokens 64] [--phial PROGRAM]
                              a server under load: many streams, shared prefixes, guesses
  bench-gateway [--rate 5000] [--connections 64] [--seconds 8] [--runs 3]
                              what accounts cost: the gateway beside nginx and neither
  divergence [--phial PROGRAM]
                              what fast arithmetic loses beside llama.cpp, into
                              bench/divergence.json
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the task found everything in order.
fn run(arguments: &[String]) -> Result<bool> {
    let (task, rest) = match arguments.split_first() {
        Some(split) if !asks_for_help(arguments) => split,
        _ => {
            print!("{HELP}");
            return Ok(true);
        }
    };
    let options = Options(rest);
    match task.as_str() {
        "test" => {
            options.allow(&["--only"])?;
            steps::run(&Workspace::open()?, options.text("--only")?)
        }
        "tidy" => {
            options.allow(&[])?;
            tidy::report(&Workspace::open()?)
        }
        "goldens" => {
            options.allow(&[])?;
            goldens::compare(&Workspace::open()?)
        }
        "bench-peers" => {
            peers::run(&Workspace::open()?, &options.peers()?)?;
            Ok(true)
        }
        "bench-serving" => {
            serving::run(&Workspace::open()?, &options.serving()?)?;
            Ok(true)
        }
        "bench-gateway" => {
            overhead::run(&Workspace::open()?, &options.overhead()?)?;
            Ok(true)
        }
        "divergence" => {
            options.allow(&["--phial"])?;
            let phial = options.text("--phial")?.map(PathBuf::from);
            divergence::run(&Workspace::open()?, phial)?;
            Ok(true)
        }
        peers::NEIGHBOUR_TASK => {
            options.allow(&[])?;
            peers::be_busy();
            Ok(true)
        }
        _ => bail!("no task is called '{task}'\n{HELP}"),
    }
}

/// Before or after the name of a task.
fn asks_for_help(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|task| task == "help")
        || arguments.iter().any(|argument| argument == "--help" || argument == "-h")
}

/// `--name value` pairs.
struct Options<'a>(&'a [String]);

impl<'a> Options<'a> {
    fn peers(&self) -> Result<peers::Plan> {
        self.allow(&["--model", "--only", "--runs", "--threads", "--phial"])?;
        Ok(peers::Plan {
            model: self.text("--model")?.unwrap_or("phi-4-mini").to_owned(),
            threads: self.number("--threads", 2)?,
            runs: self.number("--runs", 3)?,
            only: self.text("--only")?.map(str::to_owned),
            phial: self.text("--phial")?.map(PathBuf::from),
        })
    }

    fn serving(&self) -> Result<serving::Plan> {
        self.allow(&[
            "--model",
            "--only",
            "--runs",
            "--threads",
            "--streams",
            "--tokens",
            "--phial",
        ])?;
        Ok(serving::Plan {
            model: self.text("--model")?.unwrap_or("phi-4-mini").to_owned(),
            threads: self.number("--threads", 2)?,
            runs: self.number("--runs", 3)?,
            streams: self.number("--streams", 32)?,
            tokens: self.number("--tokens", 64)?,
            only: self.text("--only")?.map(str::to_owned),
            phial: self.text("--phial")?.map(PathBuf::from),
        })
    }

    fn overhead(&self) -> Result<overhead::Plan> {
        self.allow(&["--rate", "--connections", "--seconds", "--runs"])?;
        Ok(overhead::Plan {
            rate: self.number("--rate", 5000)?,
            connections: self.number("--connections", 64)?,
            seconds: self.number("--seconds", 8)?,
            runs: self.number("--runs", 3)?,
        })
    }

    fn allow(&self, names: &[&str]) -> Result<()> {
        for name in self.0.iter().step_by(2) {
            if !names.contains(&name.as_str()) {
                bail!("unknown option '{name}'");
            }
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.0.iter().position(|argument| argument == name) {
            None => Ok(None),
            Some(at) => match self.0.get(at + 1) {
                Some(value) => Ok(Some(value)),
                None => bail!("{name} needs a value"),
            },
        }
    }

    fn number(&self, name: &str, default: usize) -> Result<usize> {
        match self.text(name)?.map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) if number > 0 => Ok(number),
            Some(_) => bail!("{name} needs a number above 0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_asked_for_before_or_after_a_task() {
        let asks =
            |line: &str| asks_for_help(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(asks("help") && asks("--help") && asks("bench-peers -h"));
        assert!(asks("bench-peers --runs 1 --help"));
        assert!(!asks("bench-peers --runs 1") && !asks("test --only help"));
    }
}
