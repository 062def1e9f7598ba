//! Driving the built program.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use phial_formats::Safetensors;
use phial_formats::WeightSource;

/// A golden file of the repository.
pub fn goldens(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(path)
}

/// The program with a store of its own, away from any network.
pub fn phial(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phial"));
    command.env("PHIAL_HOME", home).env("HF_ENDPOINT", "http://127.0.0.1:1");
    command.env_remove("HF_HUB_OFFLINE").env_remove("PHIAL_ISA").stdin(Stdio::null());
    command
}

/// Standard output of a run that must succeed.
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("the program prints UTF-8")
}

/// A run that must fail with one line on standard error, which is returned.
pub fn refuse(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {errors}");
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 1, "{command:?}: {errors}");
    assert!(lines[0].starts_with("error: "), "{command:?}: {errors}");
    lines[0].to_owned()
}

/// Runs with bytes on standard input.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(input).expect("the program reads");
    drop(pipe);
    child.wait_with_output().expect("the program ends")
}

/// Logits that `phial logits --json` printed, row by row.
pub fn logits(home: &Path, model: &Path, ids: &[u32], last: usize, more: &[&str]) -> Vec<Vec<f32>> {
    let ids = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let mut command = phial(home);
    command.arg("logits").arg("--model").arg(model).args(["--json", "--ids", &ids]);
    command.args(["--last", &last.to_string()]).args(more);
    let text = succeed(&mut command);
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = value["logits"].as_array().expect("rows");
    let row = |row: &serde_json::Value| -> Vec<f32> {
        row.as_array()
            .expect("a row")
            .iter()
            .map(|v| v.as_f64().expect("a number") as f32)
            .collect()
    };
    rows.iter().map(row).collect()
}

/// Values made by the reference.
pub struct Golden(Safetensors);

impl Golden {
    pub fn open(path: &str) -> Self {
        Self(Safetensors::open(goldens(path)).expect("a golden file"))
    }

    pub fn ids(&self, name: &str) -> Vec<u32> {
        let ids = self.0.integers(name).unwrap_or_else(|| panic!("{name} in the golden file"));
        ids.into_iter().map(|id| u32::try_from(id).expect("an id")).collect()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.0.tensor(name).unwrap_or_else(|| panic!("{name} in the golden file")).to_f32()
    }
}

pub fn worst(rows: &[Vec<f32>], expected: &[f32]) -> f32 {
    let got = rows.concat();
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub fn argmax(row: &[f32]) -> u32 {
    let best = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(0, |(index, _)| index as u32)
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
