//! The starter model, fetched as a user would, against its reference.

mod driving;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use driving::{argmax, goldens, logits, phial, succeed};
use serde_json::Value;

/// A store that holds the starter; pulled once and kept between runs.
fn home() -> PathBuf {
    static PULLED: OnceLock<()> = OnceLock::new();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("starter-store");
    PULLED.get_or_init(|| {
        fs::create_dir_all(&home).unwrap();
        succeed(phial(&home).args(["pull", "starter"]));
    });
    home
}

fn golden() -> Value {
    serde_json::from_slice(&fs::read(goldens("starter.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn logprob(row: &[f32], id: u32) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = row.iter().map(|v| f64::from(v - largest).exp()).sum();
    f64::from(row[id as usize] - largest) - total.ln()
}

#[test]
fn answers_and_probabilities_are_those_of_the_reference() {
    let home = home();
    let golden = golden();
    for precision in ["auto", "f32"] {
        let mut differences = Vec::new();
        for chat in golden["chat"].as_array().unwrap() {
            let (prompt, answer) = (ids(&chat["prompt_ids"]), ids(&chat["continuation_ids"]));
            let margins = numbers(&chat["top2_margin"]);
            let all = [&prompt[..], &answer[..answer.len() - 1]].concat();
            let rows = logits(
                &home,
                Path::new("starter"),
                &all,
                answer.len(),
                &["--precision", precision],
            );
            let expected = numbers(&chat["logprob"]);
            for (step, row) in rows.iter().enumerate() {
                if margins[step] > 0.3 {
                    assert_eq!(argmax(row), answer[step], "{precision} {} at {step}", chat["user"]);
                }
                differences.push((logprob(row, answer[step]) - expected[step]).abs());
            }
        }
        let text = ids(&golden["text"]["ids"]);
        let more = ["--precision", precision];
        let rows = logits(&home, Path::new("starter"), &text, text.len(), &more);
        let next = numbers(&golden["text"]["next_logprob"]);
        for (step, expected) in next.iter().enumerate() {
            differences.push((logprob(&rows[step], text[step + 1]) - expected).abs());
        }
        let mean = differences.iter().sum::<f64>() / differences.len() as f64;
        println!("{precision}: mean difference of log-probabilities {mean:.5}");
        assert!(mean <= 0.05, "{precision}: {mean}");
    }
}

#[test]
fn the_prompts_have_the_reference_ids() {
    let home = home();
    for chat in golden()["chat"].as_array().unwrap() {
        let mut command = phial(&home);
        let text = chat["prompt"].as_str().unwrap();
        let line = succeed(command.args(["tokenize", "--special", "--model", "starter", text]));
        let got: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(got, ids(&chat["prompt_ids"]));
    }
}

#[test]
fn it_says_paris_and_reads_three_thousand_tokens() {
    let home = home();
    let ask = |prompt: &str, tokens: &str| {
        let mut command = phial(&home);
        succeed(command.args(["run", "--model", "starter", "--max-tokens", tokens, prompt]))
    };
    assert!(ask("What is the capital of France?", "32").contains("Paris"));
    let long = "The quick brown fox jumps over the lazy dog. ".repeat(300);
    assert!(!ask(&long, "4").trim().is_empty());
    // A folder of the same name does not hide the model.
    let here = tempfile::tempdir().unwrap();
    fs::create_dir(here.path().join("starter")).unwrap();
    succeed(phial(&home).current_dir(&here).args(["inspect", "starter"]));
    // Without a name and a network, the starter answers, and says that it is not Phi.
    let output = phial(&home).args(["run", "What is the capital of France?"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("Paris"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("starter"));
}
