//! What a measurement was made on. A number without its machine says nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};

/// The machine, the system and the state of the sources.
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub commit: String,
    /// `2026-01-31`.
    pub date: String,
    /// `23:59`, UTC.
    pub time: String,
}

impl Machine {
    /// Reads it off this machine; what cannot be read is `unknown`.
    pub fn here() -> Self {
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory_info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kilobytes = field(&memory_info, "MemTotal").and_then(|text| text.split(' ').next());
        let kilobytes: u64 = kilobytes.and_then(|text| text.parse().ok()).unwrap_or(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = now.map_or(0, |elapsed| elapsed.as_secs());
        // A record that was just written changes nothing that is measured.
        let status = ["status", "--porcelain", "--", ".", ":!bench/record"];
        let is_changed = !said("git", &status).is_empty();
        let commit = said("git", &["rev-parse", "--short=12", "HEAD"]);
        Self {
            cpu: field(&cpu_info, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kilobytes + (1 << 19)) >> 20,
            kernel: said("uname", &["-sr"]),
            commit: if is_changed { format!("{commit} with changes") } else { commit },
            date: date(seconds / 86_400),
            time: format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60),
        }
    }

    /// For a folder's name.
    pub fn slug(&self) -> String {
        let words = self.cpu.to_lowercase();
        let words =
            words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        format!("{}-{}", self.date, words.collect::<Vec<_>>().join("-"))
    }

    /// Writes a record of measurements, `DATE-CPU/NAME-TIME.json` and `.md` below `folder`; returns
    /// the page's path. A record of another start is never overwritten, unless it began in the same
    /// minute.
    pub fn write(&self, folder: &Path, name: &str, json: &Value, page: &str) -> Result<PathBuf> {
        let folder = folder.join(self.slug());
        fs::create_dir_all(&folder)?;
        let stem = format!("{name}-{}", self.time.replace(':', ""));
        let text = format!("{}\n", serde_json::to_string_pretty(json)?);
        fs::write(folder.join(format!("{stem}.json")), text)?;
        let path = folder.join(format!("{stem}.md"));
        fs::write(&path, page)?;
        Ok(path)
    }

    /// A line about the machine, for a page.
    pub fn line(&self) -> String {
        let Self { cpu, cores, memory_gib, kernel, .. } = self;
        format!("- machine: {cpu}, {cores} cores, {memory_gib} GiB, {kernel}\n")
    }

    /// Lines about the time and the sources, for a page.
    pub fn begun(&self) -> String {
        let Self { date, time, commit, .. } = self;
        format!("- begun: {date}, {time} UTC\n- commit: {commit}\n")
    }

    pub fn json(&self) -> Value {
        json!({
            "cpu": self.cpu, "cores": self.cores, "memory_gib": self.memory_gib,
            "kernel": self.kernel, "commit": self.commit, "date": self.date,
            "time": self.time,
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}

/// The Gregorian date of a day counted from 1970.
fn date(mut days: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_000), "2024-10-04");
    }
}
