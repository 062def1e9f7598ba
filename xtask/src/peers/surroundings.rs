//! What a trial has around it: busy neighbours, or less than the whole machine.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// The task of this program that is a busy neighbour.
pub const NEIGHBOUR_TASK: &str = "busy-neighbour";

/// Processes that never rest; they end with this value.
pub struct Neighbours(Vec<Child>);

impl Neighbours {
    pub fn start(count: usize) -> Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let mut neighbours = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(&program);
            command.arg(NEIGHBOUR_TASK).stdin(Stdio::piped());
            neighbours.0.push(command.spawn().context("cannot start a busy neighbour")?);
        }
        Ok(neighbours)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended by itself; there is nothing to do about either failure.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Keeps one core busy until standard input ends, as it does when its starter is gone.
pub fn be_busy() {
    std::thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    // An error is an end too.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// A control group with a quota of one CPU; removed with this value, when its process is gone.
pub struct OneCpu {
    folder: PathBuf,
}

/// The group's own process joins, then becomes the program: the quota holds from the start.
const JOIN: &str = r#"echo $$ > "$0" && exec "$@""#;

impl OneCpu {
    pub fn make() -> Result<Self> {
        let Some(parent) = hierarchy(Path::new("/sys/fs/cgroup")) else {
            bail!("control groups with a CPU quota are not available here");
        };
        let folder = parent.join(format!("phial-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| {
            format!("control groups cannot be made in {}; try as root", parent.display())
        })?;
        let group = Self { folder };
        for (name, text) in [
            ("cpu.max", "100000 100000"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "100000"),
        ] {
            let path = group.folder.join(name);
            if path.exists() {
                fs::write(&path, text)
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(group)
    }

    /// What a command is given to, so that it runs inside of the group.
    pub fn prefix(&self) -> [OsString; 4] {
        ["sh".into(), "-c".into(), JOIN.into(), self.folder.join("cgroup.procs").into()]
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // An empty group that stays harms nobody.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The folder in which groups get quotas: version 2 of control groups, or version 1.
fn hierarchy(root: &Path) -> Option<PathBuf> {
    let controllers = fs::read_to_string(root.join("cgroup.subtree_control"));
    if controllers.is_ok_and(|text| text.split_whitespace().any(|word| word == "cpu")) {
        return Some(root.to_owned());
    }
    let mut folders = ["cpu", "cpu,cpuacct"].iter().map(|name| root.join(name));
    folders.find(|folder| folder.join("cpu.cfs_quota_us").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_version_of_control_groups_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(hierarchy(root), None);
        fs::create_dir(root.join("cpu")).unwrap();
        fs::write(root.join("cpu/cpu.cfs_quota_us"), "-1").unwrap();
        assert_eq!(hierarchy(root), Some(root.join("cpu")));
        fs::write(root.join("cgroup.subtree_control"), "io memory\n").unwrap();
        assert_eq!(hierarchy(root), Some(root.join("cpu")));
        fs::write(root.join("cgroup.subtree_control"), "cpu memory\n").unwrap();
        assert_eq!(hierarchy(root), Some(root.to_owned()));
    }
}
