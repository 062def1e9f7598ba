//! What the container, a control group of version 2 or 1, allows this process.

use std::path::{Path, PathBuf};

use crate::commands::system;

/// Groups of version 1 that have no limit of memory say a number from here on, in bytes.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// Limits of the group of this process and of all above it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Cores' worth of time.
    pub cores: Option<f64>,
    pub memory_bytes: Option<u64>,
}

impl Limits {
    /// Those of this process; none where they cannot be read.
    pub fn find() -> Self {
        let groups = system::read("/proc/self/cgroup").unwrap_or_default();
        let mounts = system::read("/proc/self/mountinfo").unwrap_or_default();
        Self::of(&groups, &mounts, &|path| system::read(path))
    }

    /// From the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`, and a reader of files.
    fn of(groups: &str, mounts: &str, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mounts: Vec<_> = mounts.lines().filter_map(Mount::parse).collect();
        let mut limits = Self::default();
        for group in groups.lines().filter_map(Group::parse) {
            for mount in mounts.iter().filter(|mount| mount.holds(&group)) {
                for folder in mount.folders(&group) {
                    limits.narrow(&folder, &group, read);
                }
            }
        }
        limits
    }

    /// Takes the limits of one folder in.
    fn narrow(&mut self, folder: &Path, group: &Group, read: &dyn Fn(&Path) -> Option<String>) {
        let text = |name: &str| read(&folder.join(name));
        let (cores, memory) = if group.is_version_2() {
            (text("cpu.max").and_then(|text| cpu_max(&text)), text("memory.max"))
        } else {
            let quota = text("cpu.cfs_quota_us").zip(text("cpu.cfs_period_us"));
            (
                quota.and_then(|(quota, period)| ratio(&quota, &period)),
                text("memory.limit_in_bytes"),
            )
        };
        let memory = memory.and_then(|text| text.trim().parse::<u64>().ok());
        let memory = memory.filter(|bytes| *bytes < NO_LIMIT_BYTES);
        self.cores = self.cores.into_iter().chain(cores).reduce(f64::min);
        self.memory_bytes = self.memory_bytes.into_iter().chain(memory).min();
    }
}

/// Cores' worth of time that `cpu.max` gives: `150000 100000` is 1.5, `max 100000` no limit.
fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(char::is_whitespace)?;
    ratio(quota, period)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
    (quota > 0.0 && quota.is_finite() && period > 0.0).then(|| quota / period)
}

/// The group of this process in one hierarchy: a line of `/proc/self/cgroup`.
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    /// Empty in version 2.
    controllers: &'a str,
    path: &'a str,
}

impl<'a> Group<'a> {
    /// Of `0::/path`, or `4:cpu,cpuacct:/path`.
    fn parse(line: &'a str) -> Option<Self> {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(Self { controllers, path })
    }

    fn is_version_2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// Where a hierarchy can be seen: a line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// The group that is seen at `point`.
    root: &'a str,
    point: &'a str,
    /// `cgroup` or `cgroup2`.
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// Of `31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw`; `None` for others.
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        let mount = Self {
            root: left.next()?,
            point: left.next()?,
            kind: right.next()?,
            options: right.nth(1).unwrap_or_default(),
        };
        matches!(mount.kind, "cgroup" | "cgroup2").then_some(mount)
    }

    fn holds(&self, group: &Group<'_>) -> bool {
        if group.is_version_2() {
            return self.kind == "cgroup2";
        }
        let mut controllers = group.controllers.split(',');
        self.kind == "cgroup"
            && controllers.any(|name| self.options.split(',').any(|option| option == name))
    }

    /// The folder of `group`, and those above it as far as they can be seen. A container often
    /// sees its own group as the root, and its path as the host has it: then that root counts.
    fn folders(&self, group: &Group<'_>) -> Vec<PathBuf> {
        let point = Path::new(self.point);
        let below = Path::new(group.path).strip_prefix(self.root).unwrap_or(Path::new(""));
        let below = if group.path.contains("..") { Path::new("") } else { below };
        let folder = point.join(below);
        let within = folder.ancestors().take_while(|folder| folder.starts_with(point));
        within.map(Path::to_path_buf).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_cores_worth_of_time() {
        for (text, cores) in [
            ("150000 100000\n", Some(1.5)),
            ("50000 100000", Some(0.5)),
            ("max 100000\n", None),
            ("-1 100000", None),
            ("100000", None),
            ("100000 0", None),
            ("", None),
        ] {
            assert_eq!(cpu_max(text), cores, "{text:?}");
        }
    }

    #[test]
    fn groups_and_mounts_are_read_and_other_lines_are_not() {
        assert_eq!(Group::parse("0::/a/b").unwrap(), Group { controllers: "", path: "/a/b" });
        assert_eq!(Group::parse("4:cpu,cpuacct:/a:b").unwrap().path, "/a:b");
        assert_eq!(Group::parse("nothing"), None);
        let line = "32 31 0:29 /x /sys/fs/cgroup/cpu rw,relatime shared:7 - cgroup cgroup rw,cpu";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.root, mount.point), ("/x", "/sys/fs/cgroup/cpu"));
        assert!(mount.holds(&Group { controllers: "cpu,cpuacct", path: "/" }));
        assert!(!mount.holds(&Group { controllers: "cpuacct", path: "/" }));
        assert!(!mount.holds(&Group { controllers: "", path: "/" }));
        assert_eq!(Mount::parse("22 27 0:21 / /proc rw - proc proc rw"), None);
        assert_eq!(Mount::parse(""), None);
    }

    /// Limits when the system has those files.
    fn limits(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Limits {
        Limits::of(groups, mounts, &|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        })
    }

    const VERSION_2: &str = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";

    #[test]
    fn the_narrowest_limit_from_the_group_upwards_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "250000 100000\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "2000\n"),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
        ];
        let found = limits("0::/a/b\n", VERSION_2, &files);
        assert_eq!(found, Limits { cores: Some(2.5), memory_bytes: Some(2000) });
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let files = [("/sys/fs/cgroup/cpu.max", "200000 100000")];
        for groups in ["0::/", "0::/../other", "0::/docker/0123"] {
            assert_eq!(limits(groups, VERSION_2, &files).cores, Some(2.0), "{groups}");
        }
        let mount = VERSION_2.replace(" / /sys", " /docker/0123 /sys");
        assert_eq!(limits("0::/docker/0123", &mount, &files).cores, Some(2.0));
    }

    #[test]
    fn version_1_has_a_file_for_each() {
        let mounts = "1 2 0:3 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                      1 2 0:3 / /cg/memory rw - cgroup cgroup rw,memory";
        let groups = "2:memory:/x\n1:cpu,cpuacct:/x\n0::/\n";
        let mut files = vec![
            ("/cg/cpu/x/cpu.cfs_quota_us", "300000\n"),
            ("/cg/cpu/x/cpu.cfs_period_us", "100000\n"),
            ("/cg/memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/cg/memory/memory.limit_in_bytes", "5000\n"),
        ];
        let found = limits(groups, mounts, &files);
        assert_eq!(found, Limits { cores: Some(3.0), memory_bytes: Some(5000) });
        files[0].1 = "-1";
        assert_eq!(limits(groups, mounts, &files).cores, None);
        assert_eq!(limits("", "", &[]), Limits::default());
    }
}
