//! Packages of the system.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Installs packages of the system, where it is Debian's and we may.
pub fn install(packages: &[&str]) -> Result<()> {
    let wanted = packages.join(", ");
    if !process::answers(Command::new("apt-get").arg("--version")) {
        bail!("it needs {wanted}, and there is no apt-get to install them with");
    }
    if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("it needs {wanted}: install them as root");
    }
    println!("installing {wanted}");
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(words).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command).with_context(|| format!("cannot install {wanted}"))
    };
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], packages].concat())
}

/// Unpacks a package of the system into `folder`, an empty one. Nothing is installed, and no service
/// of it is started.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    println!("unpacking {package}");
    let download = |folder: &Path| {
        let mut command = Command::new("apt-get");
        process::run(command.args(["-qq", "download", package]).current_dir(folder))
    };
    // Where the lists are old, so is the address of the package.
    if download(folder).is_err() {
        process::run(Command::new("apt-get").args(["-qq", "update"]))?;
        download(folder).with_context(|| format!("cannot download {package} by apt-get"))?;
    }
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            return process::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(folder));
        }
    }
    bail!("apt-get left no package {package} in {}", folder.display())
}
