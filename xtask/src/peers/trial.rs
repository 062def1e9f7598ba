//! One process of one engine: what it does, and what it says.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::surroundings::{Neighbours, OneCpu};
use crate::process;

/// A trial that takes longer is ended and noted as a failure.
const TRIAL_TIME_MAX: Duration = Duration::from_secs(40 * 60);

/// With the marks of a turn around it, 16 tokens of Phi-4-mini.
const PROMPT_OF_16: &str =
    "one two three four five six seven eight nine ten eleven twelve thirteen";

/// What an engine is asked to do. The same for every engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    pub task: Task,
    /// Tokens read from an empty cache; 0 measures generation alone.
    pub prompt: usize,
    /// Steps of generation.
    pub generate: usize,
    /// Tokens in the cache before that.
    pub depth: usize,
    /// Sequences, one row each in a step.
    pub streams: usize,
    /// How often each is measured in the process; its median counts.
    pub repeat: usize,
    pub threads: Threads,
    pub around: Around,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Loads, and measures speeds.
    Bench,
    /// Loads, and gives the first token of a prompt.
    FirstToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// As many as the plan says.
    AsAsked,
    One,
    /// As many as the engine takes when nobody tells it; of a peer that does not look for a quota,
    /// as many as the plan says.
    Own,
}

/// What else is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    Quiet,
    /// So many processes that never rest.
    Neighbours(usize),
    /// A quota of the time of one CPU, with all of them visible.
    OneCpu,
}

/// What is run, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Engine {
    Phial,
    LlamaCpp(Setting),
    OnnxGenai,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Phial => "phial",
            Self::LlamaCpp(setting) => setting.name,
            Self::OnnxGenai => "ONNX Runtime GenAI, int4",
        }
    }
}

/// A setting of llama.cpp that decides its speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    /// Type of keys and values.
    pub kv: &'static str,
    /// `auto`, `on` or `off`.
    pub flash_attention: &'static str,
    /// What llama.cpp does when nothing is set.
    pub is_default: bool,
}

/// Where the engines are.
pub struct Programs {
    pub phial: PathBuf,
    /// Phial's store.
    pub home: PathBuf,
    /// With llama.cpp's package; or why there is none.
    pub python: Result<PathBuf, String>,
    pub llama_script: PathBuf,
    /// With ONNX Runtime GenAI's packages; or why there is none.
    pub onnx_python: Result<PathBuf, String>,
    pub onnx_script: PathBuf,
    /// The export that it runs, whatever the others' file; or why there is none.
    pub onnx_model: Result<PathBuf, String>,
    /// Of the plan.
    pub threads: usize,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub command: String,
    /// What the engine said, or why it said nothing.
    pub answer: Result<Value, String>,
}

impl Outcome {
    pub fn number(&self, name: &str) -> Result<f64, String> {
        let answer = self.answer.as_ref().map_err(Clone::clone)?;
        answer[name].as_f64().ok_or_else(|| format!("no '{name}' in the answer"))
    }
}

impl Programs {
    /// Runs a trial to its end. A failure is an outcome too.
    pub fn run(&self, engine: Engine, model: &Path, trial: &Trial) -> Outcome {
        let command = match engine {
            Engine::Phial => Ok(self.phial_command(model, trial)),
            Engine::LlamaCpp(setting) => {
                let python = self.python.as_ref();
                python.map(|python| self.llama_command(python, model, trial, setting))
            }
            Engine::OnnxGenai => self.onnx_python.as_ref().and_then(|python| {
                self.onnx_model.as_ref().map(|folder| self.onnx_command(python, folder, trial))
            }),
        };
        let command = match command {
            Ok(command) => command,
            Err(reason) => {
                return Outcome { command: String::new(), answer: Err(reason.clone()) };
            }
        };
        let answer = answer(&command, engine, trial).map_err(|error| format!("{error:#}"));
        Outcome { command: shown(&command, trial), answer }
    }

    fn phial_command(&self, model: &Path, trial: &Trial) -> Command {
        let mut command = Command::new(&self.phial);
        match trial.task {
            Task::Bench => {
                command.args(["bench", "--json"]);
                numbers(&mut command, trial);
            }
            Task::FirstToken => {
                command.args(["run", "--max-tokens", "1", PROMPT_OF_16]);
            }
        }
        match trial.threads {
            Threads::AsAsked => command.args(["--threads", &self.threads.to_string()]),
            Threads::One => command.args(["--threads", "1"]),
            Threads::Own => &mut command,
        };
        command.arg("--model").arg(model).env("PHIAL_HOME", &self.home);
        command
    }

    fn llama_command(
        &self,
        python: &Path,
        model: &Path,
        trial: &Trial,
        setting: Setting,
    ) -> Command {
        // The speed of prompts is compared with the default; without it a cache fills quickly.
        let prompt = if setting.is_default { trial.prompt } else { 0 };
        let mut command = Command::new(python);
        command.arg(&self.llama_script);
        numbers(&mut command, &Trial { prompt, ..*trial });
        command.args(["--threads", &self.peer_threads(trial), "--kv", setting.kv]);
        command.args(["--flash-attention", setting.flash_attention]);
        if trial.task == Task::FirstToken {
            command.arg("--first-token");
        }
        command.arg(model);
        command
    }

    fn onnx_command(&self, python: &Path, folder: &Path, trial: &Trial) -> Command {
        let mut command = Command::new(python);
        command.arg(&self.onnx_script);
        numbers(&mut command, trial);
        command.args(["--threads", &self.peer_threads(trial)]);
        if trial.task == Task::FirstToken {
            command.arg("--first-token");
        }
        command.arg(folder);
        command
    }

    /// For engines that have to be told.
    fn peer_threads(&self, trial: &Trial) -> String {
        let threads = match trial.threads {
            Threads::AsAsked | Threads::Own => self.threads,
            Threads::One => 1,
        };
        threads.to_string()
    }
}

/// Options that `phial bench` and the scripts of the peers share.
fn numbers(command: &mut Command, trial: &Trial) {
    for (name, number) in [
        ("--prompt", trial.prompt),
        ("--generate", trial.generate),
        ("--depth", trial.depth),
        ("--streams", trial.streams),
        ("--repeat", trial.repeat),
    ] {
        command.args([name, &number.to_string()]);
    }
}

/// The command as a reader can repeat it: file names without their folders.
fn shown(command: &Command, trial: &Trial) -> String {
    let short = |word: &OsStr| {
        let name = Path::new(word).file_name().unwrap_or(word).to_string_lossy().into_owned();
        if name.contains(' ') { format!("\"{name}\"") } else { name }
    };
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(short).collect();
    let around = match trial.around {
        Around::Quiet => String::new(),
        Around::Neighbours(count) => format!(" (beside {count} busy)"),
        Around::OneCpu => " (quota of one CPU)".to_owned(),
    };
    format!("{}{around}", words.join(" "))
}

fn answer(command: &Command, engine: Engine, trial: &Trial) -> Result<Value> {
    let quota = match trial.around {
        Around::OneCpu => Some(OneCpu::make()?),
        _ => None,
    };
    let _neighbours = match trial.around {
        Around::Neighbours(count) => Some(Neighbours::start(count)?),
        _ => None,
    };
    let prefix = quota.iter().flat_map(OneCpu::prefix).collect::<Vec<_>>();
    if trial.task == Task::FirstToken {
        // What is on disk comes into the page cache, and what is made on first use is made.
        listen(&mut again(command, &prefix))?;
    }
    let told = listen(&mut again(command, &prefix))?;
    if engine == Engine::Phial && trial.task == Task::FirstToken {
        return Ok(json!({ "first_token_seconds": told.first_byte.as_secs_f64() }));
    }
    let text = told.text.trim();
    serde_json::from_str(text).with_context(|| format!("printed no JSON: {text}"))
}

/// The same command, as arguments of another one where there is a prefix.
fn again(command: &Command, prefix: &[OsString]) -> Command {
    let words = prefix.iter().map(OsString::as_os_str).chain([command.get_program()]);
    let words: Vec<_> = words.chain(command.get_args()).collect();
    let mut copy = Command::new(words[0]);
    copy.args(&words[1..]);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            copy.env(name, value);
        }
    }
    copy
}

/// What a program wrote to standard output.
struct Told {
    text: String,
    /// From the start of the program to the first byte.
    first_byte: Duration,
}

/// Runs a program to its end, or ends it when it takes too long.
fn listen(command: &mut Command) -> Result<Told> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let child =
        command.spawn().with_context(|| format!("cannot run {}", process::shown(command)))?;
    let mut child = Ended(child);
    let errors = collect(child.0.stderr.take(), start);
    let output = collect(child.0.stdout.take(), start);
    let Ok(told) = output.recv_timeout(TRIAL_TIME_MAX) else {
        bail!("took longer than {} minutes", TRIAL_TIME_MAX.as_secs() / 60);
    };
    let status = child.0.wait()?;
    if !status.success() {
        let said = errors.recv().map(|errors| errors.text).unwrap_or_default();
        bail!("failed ({status}): {}", last_line(&said));
    }
    Ok(told)
}

/// A process that does not outlive its value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a stream to its end on a thread of its own.
fn collect(stream: Option<impl Read + Send + 'static>, start: Instant) -> mpsc::Receiver<Told> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut bytes = vec![0];
        let count = stream.read(&mut bytes).unwrap_or(0);
        let first_byte = start.elapsed();
        bytes.truncate(count);
        // What came before a failed read is worth telling.
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Nobody listens after a failure.
        let _ = sender.send(Told { text, first_byte });
    });
    receiver
}

fn last_line(text: &str) -> &str {
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn programs_are_heard_to_the_end_and_failures_explained() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let told = listen(&mut shell("printf a; sleep 0.3; printf bc")).unwrap();
        assert_eq!(told.text, "abc");
        assert!(told.first_byte < Duration::from_millis(250), "{:?}", told.first_byte);
        let error = listen(&mut shell("echo one >&2; echo two >&2; exit 3")).err().unwrap();
        assert!(error.to_string().ends_with("two"), "{error}");
    }

    #[test]
    fn a_command_can_be_an_argument_of_another() {
        let mut command = Command::new("phial");
        command.arg("bench").env("PHIAL_HOME", "home");
        let copy = again(&command, &["sh".into(), "-c".into()]);
        assert_eq!(process::shown(&copy), "sh -c phial bench");
        assert_eq!(copy.get_envs().count(), 1);
        assert_eq!(process::shown(&again(&command, &[])), "phial bench");
    }

    #[test]
    fn commands_are_told_without_folders() {
        let programs = Programs {
            phial: "target/release/phial".into(),
            home: "home".into(),
            python: Err("not used".to_owned()),
            llama_script: "peers/measure.py".into(),
            onnx_python: Err("not used".to_owned()),
            onnx_script: "peers/onnx.py".into(),
            onnx_model: Err("not used".to_owned()),
            threads: 2,
        };
        let trial = Trial {
            task: Task::Bench,
            prompt: 16,
            generate: 8,
            depth: 16,
            streams: 1,
            repeat: 1,
            threads: Threads::Own,
            around: Around::Neighbours(2),
        };
        let numbers = "--prompt 16 --generate 8 --depth 16 --streams 1 --repeat 1";
        let command = programs.phial_command(Path::new("models/m.gguf"), &trial);
        let expected = format!("phial bench --json {numbers} --model m.gguf (beside 2 busy)");
        assert_eq!(shown(&command, &trial), expected);
        // A setting that is not the default fills its cache without reading all of it.
        let setting =
            Setting { name: "other", kv: "q8_0", flash_attention: "on", is_default: false };
        let command = programs.llama_command(
            Path::new("python"),
            Path::new("models/m.gguf"),
            &trial,
            setting,
        );
        let text = shown(&command, &trial);
        assert!(text.starts_with("python measure.py --prompt 0 "), "{text}");
        assert!(text.contains("--threads 2 --kv q8_0 --flash-attention on m.gguf"), "{text}");
        let one = Trial { threads: Threads::One, ..trial };
        let command = programs.onnx_command(Path::new("python"), Path::new("models/m-onnx"), &one);
        let text = shown(&command, &trial);
        assert!(text.starts_with("python onnx.py --prompt 16 "), "{text}");
        assert!(text.contains("--threads 1 m-onnx (beside"), "{text}");
    }
}
