//! Packages of the system.

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
