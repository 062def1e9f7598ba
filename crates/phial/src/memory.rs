//! How much memory there is.

/// Memory that could be taken now without swapping, in bytes: what the system says is available,
/// or what the container's limit leaves. `None` where neither can be read.
pub fn available_bytes() -> Option<u64> {
    let system = system_available();
    let container = container_left();
    match (system, container) {
        (Some(system), Some(container)) => Some(system.min(container)),
        (one, other) => one.or(other),
    }
}

fn system_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What the control group (version 2, then 1) leaves. File pages count as used there although
/// they can be given back, so they are taken off.
fn container_left() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let (limit, used, statistics) = match number("/sys/fs/cgroup/memory.max") {
        Some(limit) => {
            (limit, number("/sys/fs/cgroup/memory.current")?, "/sys/fs/cgroup/memory.stat")
        }
        None => (
            number("/sys/fs/cgroup/memory/memory.limit_in_bytes")?,
            number("/sys/fs/cgroup/memory/memory.usage_in_bytes")?,
            "/sys/fs/cgroup/memory/memory.stat",
        ),
    };
    let statistics = read(statistics).unwrap_or_default();
    let file = statistics
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(used.saturating_sub(file.unwrap_or(0))))
}

/// Bytes as people write them: `500MB`, `20 GB`, `1073741824`.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(format!("{unit} is no unit; write B, KB, MB, GB or TB")),
    };
    let number: f64 = number.parse().map_err(|_| "a size looks like 500MB or 20GB".to_owned())?;
    Ok((number * factor) as u64)
}

/// Bytes as people read them: `2.5 GB`.
pub fn show(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.0} kB", b / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        let cases = [("500MB", 500_000_000), ("1.5 gb", 1_500_000_000), ("77", 77), ("0", 0)];
        for (text, bytes) in cases {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1GB", "1GiB", "1.2.3MB", "lots"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
