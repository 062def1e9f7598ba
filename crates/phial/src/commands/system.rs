//! What the operating system tells of the machine. On other systems than Linux most of it is
//! `None`: unknown.

use std::path::Path;
use std::process::Command;

/// A whole file, where there is one.
pub fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The number of a line such as `MemTotal:  24684096 kB`, in bytes.
pub fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let kibibytes: u64 = field(text, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What follows `name` on the first line that begins with it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The processor.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    /// As its maker calls it.
    pub model: Option<String>,
    /// Cores that are switched on, counted as the system does: two for a core of two threads.
    pub cores: Option<usize>,
    /// Cores that the affinity of this process allows.
    pub allowed: Option<usize>,
}

impl Cpu {
    pub fn find() -> Self {
        let model = read("/proc/cpuinfo").and_then(|text| cpu_model(&text)).or_else(|| {
            // Boards with Arm processors have their name elsewhere.
            let text = read("/proc/device-tree/model")?;
            Some(text.trim_end_matches('\0').trim().to_owned())
        });
        let list = |path: &str| core_list(&read(path)?);
        let status = read("/proc/self/status");
        Self {
            model: model.filter(|model| !model.is_empty()),
            cores: list("/sys/devices/system/cpu/online"),
            allowed: status.and_then(|text| core_list(field(&text, "Cpus_allowed_list:")?)),
        }
    }
}

/// The name in `/proc/cpuinfo`.
fn cpu_model(text: &str) -> Option<String> {
    let line = ["model name", "Model", "cpu model"].iter().find_map(|name| field(text, name))?;
    Some(line.trim_start_matches(':').trim().to_owned())
}

/// How many cores a list such as `0-3,8` names.
fn core_list(text: &str) -> Option<usize> {
    let mut count = 0_usize;
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count += last.checked_sub(first)? + 1;
    }
    Some(count)
}

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemMemory {
    pub total: Option<u64>,
    pub swap_total: Option<u64>,
    pub swap_used: Option<u64>,
}

impl SystemMemory {
    pub fn find() -> Self {
        read("/proc/meminfo").map_or_else(Self::default, |text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let swap_total = bytes_of(text, "SwapTotal:");
        let swap_free = bytes_of(text, "SwapFree:");
        Self {
            total: bytes_of(text, "MemTotal:"),
            swap_total,
            swap_used: swap_total.zip(swap_free).map(|(total, free)| total.saturating_sub(free)),
        }
    }
}

/// When the system gives huge pages: `always`, `madvise` or `never`.
pub fn huge_pages() -> Option<String> {
    chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")?)
}

/// The word in brackets of `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

/// Threads that wanted a core over the last minute, on average.
pub fn load() -> Option<f64> {
    read("/proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

/// Time that all cores together spent since the start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreTime {
    total: u64,
    /// Time in which a core wanted to work and the machine's host gave it to somebody else.
    stolen: u64,
}

impl CoreTime {
    pub fn now() -> Option<Self> {
        Self::parse(&read("/proc/stat")?)
    }

    /// Of the line `cpu  user nice system idle iowait irq softirq steal guest ...`.
    fn parse(text: &str) -> Option<Self> {
        let line = field(text, "cpu ")?;
        // What guests take is in the user's time already.
        let times: Option<Vec<u64>> =
            line.split_whitespace().take(8).map(|time| time.parse().ok()).collect();
        let times = times?;
        Some(Self { total: times.iter().sum(), stolen: *times.get(7)? })
    }

    /// The share that was stolen from `earlier` until this time.
    pub fn stolen_since(self, earlier: Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|total| *total > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64)
    }
}

/// Bytes that are free on the disk of `folder`, or of what exists above it.
pub fn free_disk_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let output = Command::new("df").arg("-Pk").arg(existing).env("LC_ALL", "C").output().ok()?;
    free_of_df(&String::from_utf8_lossy(&output.stdout))
}

/// The fourth column of the second line of `df -Pk`, in KiB there. Counted from the end of the
/// numbers, as the first column may hold spaces.
fn free_of_df(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    let words: Vec<_> = line.split_whitespace().collect();
    let share = words.iter().position(|word| word.ends_with('%') && word.len() > 1)?;
    let kibibytes: u64 = words.get(share.checked_sub(1)?)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_missing_lines_are_unknown() {
        let text =
            "MemTotal:       24684096 kB\nMemFree: 1 kB\nSwapTotal: 2048 kB\nSwapFree: 512 kB";
        let memory = SystemMemory::parse(text);
        assert_eq!(memory.total, Some(24_684_096 * 1024));
        assert_eq!((memory.swap_total, memory.swap_used), (Some(2 << 20), Some(1536 << 10)));
        assert_eq!(SystemMemory::parse("MemTotal: many kB\n"), SystemMemory::default());
        assert_eq!(bytes_of("RssAnon:\t  12 kB\n", "RssAnon:"), Some(12 << 10));
        assert_eq!(bytes_of("RssAnon: 18446744073709551615 kB", "RssAnon:"), None);
    }

    #[test]
    fn lists_of_cores_are_counted() {
        for (text, count) in [
            ("0-3,8\n", Some(5)),
            ("0", Some(1)),
            ("0-1", Some(2)),
            ("", None),
            ("3-1", None),
            ("a-b", None),
        ] {
            assert_eq!(core_list(text), count, "{text:?}");
        }
    }

    #[test]
    fn processors_are_named_as_each_system_does() {
        for (text, name) in [
            ("processor\t: 0\nmodel name\t: AMD EPYC\nmodel\t\t: 17\n", Some("AMD EPYC")),
            ("processor: 0\nModel\t\t: Raspberry Pi 5 Model B\n", Some("Raspberry Pi 5 Model B")),
            ("processor: 0\nBogoMIPS: 50\n", None),
        ] {
            assert_eq!(cpu_model(text).as_deref(), name);
        }
    }

    #[test]
    fn the_chosen_setting_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen("[always] madvise never").as_deref(), Some("always"));
        assert_eq!(chosen("always"), None);
    }

    #[test]
    fn stolen_time_is_a_share_of_all() {
        let first = CoreTime::parse("cpu  10 0 0 80 0 0 0 10 5 0\ncpu0 1 2 3\n").unwrap();
        let second = CoreTime::parse("cpu  60 0 0 110 0 0 0 30 9 0\n").unwrap();
        assert_eq!(second.stolen_since(first), Some(0.2));
        assert_eq!(first.stolen_since(first), None);
        assert_eq!(CoreTime::parse("cpu  10 0 0 80\n"), None);
    }

    #[test]
    fn free_space_is_found_whatever_the_disk_is_called() {
        let head = "Filesystem 1024-blocks Used Available Capacity Mounted on\n";
        for (line, free) in [
            ("/dev/vda 100 40 60 40% /", Some(60 << 10)),
            ("map auto home 100 40 60 40% /a b", Some(60 << 10)),
            ("none - - - - /", None),
        ] {
            assert_eq!(free_of_df(&format!("{head}{line}\n")), free, "{line}");
        }
        assert_eq!(free_of_df(""), None);
    }
}
