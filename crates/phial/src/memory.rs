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

/// Bytes as people read them: `2.5 GB`.
pub fn show(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1e9 => format!("{:.2} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.0} kB", b / 1e3),
    }
}
