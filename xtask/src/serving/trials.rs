//! What is measured of a server, and how.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::stream::{Streamed, chat, metric, tokens};
use super::{Bench, Finding, Target};
use crate::process;
use crate::server::Server;

/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Words that prompts are about, so that each is another.
const SUBJECTS: [&str; 8] =
    ["rivers", "clocks", "bridges", "gardens", "letters", "ships", "lamps", "markets"];

/// Tokens of the prefix that prompts share.
const PREFIX_TOKENS: usize = 2000;

/// Tokens of an answer whose speed is measured.
const SPEED_TOKENS: usize = 96;

/// Times differ from run to run; "never slower" leaves room for that.
const NOISE: f64 = 0.97;

/// Many streams at once: nobody starves, and memory stays inside its limit.
pub fn streams(bench: &Bench<'_>) -> Result<Vec<Finding>> {
    let count = bench.plan.streams;
    let server = bench.serve(&["--parallel", &count.to_string()])?;
    warm_up(bench, &server)?;
    let limit = metric(&server.address, "phial_kv_cache_limit_bytes")?;
    let before = anonymous_bytes(&server)?;
    let peak = AtomicU64::new(before);
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let answers: Vec<Streamed> = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // A look that fails is made again.
                peak.fetch_max(anonymous_bytes(&server).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        let address = &server.address;
        let ask = |index| bench.ask(address, &question(index), long(bench.plan.tokens));
        let asks: Vec<_> = (0..count).map(|index| scope.spawn(move || ask(index))).collect();
        let answers = asks.into_iter().map(|ask| ask.join().unwrap_or_else(|_| panicked()));
        let answers: Result<Vec<Streamed>> = answers.collect();
        done.store(true, Ordering::Relaxed);
        answers
    })?;
    let took = started.elapsed().as_secs_f64();
    let generated: u64 = answers.iter().map(|answer| answer.generated_tokens).sum();
    let firsts = sorted(answers.iter().map(Streamed::first_seconds))?;
    let pauses = sorted(answers.iter().map(|answer| Ok(answer.longest_pause())))?;
    let grown = peak.into_inner().saturating_sub(before) as f64;
    Ok(vec![
        Finding::one("tokens generated, all streams together", generated as f64 / took, "tokens/s"),
        Finding::one("time to first token, median", at(&firsts, 0.5), "s"),
        Finding::one("time to first token, 99th percentile", at(&firsts, 0.99), "s"),
        Finding::one("longest pause within a stream", at(&pauses, 1.0), "s"),
        Finding::one(
            "progress of the slowest / the fastest, when the first ends",
            fairness(&answers),
            "",
        )
        .wanted(Target::AtLeast(0.5)),
        Finding::one("keys and values, limit", limit / 1e6, "MB"),
        Finding::one("memory that came on top while all ran", grown / 1e6, "MB"),
        Finding::one("memory that came on top / the limit of keys and values", grown / limit, "")
            .wanted(Target::AtMost(1.0)),
    ])
}

/// A prefix that two prompts share: how much sooner the second begins, also after a restart.
pub fn prefix(bench: &Bench<'_>) -> Result<Vec<Finding>> {
    let folder = bench.folder("prefixes")?;
    let folder = folder.to_str().context("the target folder has a name that is no text")?;
    let arguments = ["--prefix-cache", folder];
    let mut first = Finding::new("time to first token, prefix unknown", "s");
    let mut second = Finding::new("second / first", "").wanted(Target::AtMost(0.1));
    let mut third = Finding::new("after a restart / first", "").wanted(Target::AtMost(1.0 / 3.0));
    let mut read = Finding::new("tokens of the prompt", "tokens");
    for run in 0..bench.plan.runs {
        let server = bench.serve(&arguments)?;
        warm_up(bench, &server)?;
        let system = prefix_text(bench, &server, run)?;
        let ask = |server: &Server, index: usize| {
            let messages = json!([
                {"role": "system", "content": system},
                {"role": "user", "content": question(index)},
            ]);
            chat(&server.address, &bench.name, &messages, long(4))
        };
        let unknown = ask(&server, 0)?;
        let known = ask(&server, 1)?;
        ensure!(unknown.cached_tokens < 64, "the prefix was known: {}", unknown.cached_tokens);
        server.end()?;
        let server = bench.serve(&arguments)?;
        warm_up(bench, &server)?;
        let restarted = ask(&server, 2)?;
        ensure!(restarted.cached_tokens > 1000, "the folder was not used");
        server.end()?;
        let time = unknown.first_seconds()?;
        read.values.push(unknown.prompt_tokens as f64);
        first.values.push(time);
        second.values.push(known.first_seconds()? / time);
        third.values.push(restarted.first_seconds()? / time);
    }
    Ok(vec![read, first, second, third])
}

/// Speculation, off and on by turns, on text that repeats and on text that does not.
pub fn speculation(bench: &Bench<'_>) -> Result<Vec<Finding>> {
    let names = ["repeating text", "random text", "an answer to a question"];
    let mut findings: Vec<[Finding; 3]> = names
        .iter()
        .map(|name| {
            [
                Finding::new(&format!("{name}, without"), "tokens/s"),
                Finding::new(&format!("{name}, with"), "tokens/s"),
                Finding::new(&format!("{name}, with / without"), "").wanted(Target::AtLeast(NOISE)),
            ]
        })
        .collect();
    for run in 0..bench.plan.runs {
        // Who comes first changes, for the machine may get slower or faster meanwhile.
        let mut turns = [(0, Some("0")), (1, None)];
        if run % 2 == 1 {
            turns.reverse();
        }
        for (column, drafts) in turns {
            let arguments: Vec<&str> =
                drafts.into_iter().flat_map(|count| ["--draft-tokens", count]).collect();
            let server = bench.serve(&arguments)?;
            warm_up(bench, &server)?;
            for (row, more) in texts(bench, &server, run)?.into_iter().enumerate() {
                let speed = bench.ask(&server.address, &question(run), more)?.speed()?;
                findings[row][column].values.push(speed);
            }
        }
        for [without, with, ratio] in &mut findings {
            ratio.values.push(with.values[run] / without.values[run]);
        }
    }
    Ok(findings.into_iter().flatten().collect())
}

/// What makes any model write text of one kind, in the order of the findings.
fn texts(bench: &Bench<'_>, server: &Server, run: usize) -> Result<[Value; 3]> {
    let word = tokens(&server.address, &bench.name, " the")?;
    let word = word.first().context("a word has no tokens")?.to_string();
    let with = |more: Value| {
        let mut all = long(SPEED_TOKENS);
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    };
    Ok([
        with(json!({"logit_bias": {word: 100}})),
        with(json!({"temperature": 2.0, "seed": run})),
        with(json!({})),
    ])
}

/// The likeliest text, of just so many tokens.
fn long(tokens: usize) -> Value {
    json!({"temperature": 0, "max_tokens": tokens, "ignore_eos": true})
}

fn question(index: usize) -> String {
    let subject = SUBJECTS[index % SUBJECTS.len()];
    format!("Question {index}: what should everybody know about {subject}? Answer at length.")
}

/// A text of about [`PREFIX_TOKENS`], another in each run.
fn prefix_text(bench: &Bench<'_>, server: &Server, run: usize) -> Result<String> {
    let mut text = format!("Rules of run {run} of {}:", std::process::id());
    for number in 0.. {
        let subject = SUBJECTS[(number + run) % SUBJECTS.len()];
        text += &format!("\n{number}. Whoever writes about {subject} begins with what is old.");
        if number % 16 == 0 && tokens(&server.address, &bench.name, &text)?.len() >= PREFIX_TOKENS {
            break;
        }
    }
    Ok(text)
}

/// Weights come into memory, and what is made on first use is made.
fn warm_up(bench: &Bench<'_>, server: &Server) -> Result<()> {
    bench.ask(&server.address, "Hello", long(8)).map(drop)
}

fn panicked() -> Result<Streamed> {
    anyhow::bail!("a client panicked")
}

/// Pieces that the slowest stream has had when the fastest has all, as a share of those of the
/// fastest.
fn fairness(answers: &[Streamed]) -> f64 {
    let ends = answers.iter().filter_map(|answer| answer.pieces.last());
    let Some(&end) = ends.min() else { return 0.0 };
    let had = |answer: &Streamed| answer.pieces.iter().filter(|&&piece| piece <= end).count();
    // Tokens do not always make a piece; each stream counts in shares of its own.
    let share = |answer: &Streamed| had(answer) as f64 / answer.pieces.len().max(1) as f64;
    answers.iter().map(share).fold(1.0, f64::min)
}

fn sorted(values: impl Iterator<Item = Result<f64>>) -> Result<Vec<f64>> {
    let mut values = values.collect::<Result<Vec<_>>>()?;
    values.sort_by(f64::total_cmp);
    Ok(values)
}

/// The value below which this share of the values lies.
fn at(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// Memory of the server that belongs to no file.
fn anonymous_bytes(server: &Server) -> Result<u64> {
    process::memory_bytes(server.id(), "RssAnon")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stream_is_measured_when_the_first_ends() {
        let start = Instant::now();
        let answer = |times: &[u64]| Streamed {
            asked: start,
            pieces: times.iter().map(|&time| start + Duration::from_millis(time)).collect(),
            prompt_tokens: 1,
            cached_tokens: 0,
            generated_tokens: times.len() as u64,
        };
        let answers = [answer(&[1, 2, 3, 4]), answer(&[2, 4, 6, 8]), answer(&[4, 8, 9, 10])];
        assert!((fairness(&answers) - 0.25).abs() < 1e-9);
        assert!((fairness(&answers[..2]) - 0.5).abs() < 1e-9);
        assert!((at(&[1.0, 2.0, 3.0], 0.5) - 2.0).abs() < 1e-9);
        assert!((at(&[1.0, 2.0, 3.0], 0.99) - 3.0).abs() < 1e-9);
    }
}
