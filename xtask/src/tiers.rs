//! The kernels on instructions that this machine does not have: 64-bit Arm in an emulator,
//! WebAssembly in a runtime.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::json;

use crate::workspace::Workspace;
use crate::{debian, process, python};

/// Tests of the kernels that hold every tier against the reference.
const TESTS: &[&str] = &["agreement", "lanes"];

/// Debian's packages of the emulator, of a linker, and of the C library to link and run with.
const ARM_PACKAGES: &[&str] = &["qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
const ARM_EMULATOR: &str = "qemu-aarch64";
const ARM_LINKER: &str = "aarch64-linux-gnu-gcc";
const ARM_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// A machine that the kernels are built for and that only a program stands in for.
struct Machine {
    triple: &'static str,
    /// Tiers that it must have, best first: a test that finds fewer has tested little.
    tiers: &'static str,
    /// Installs what is missing; gives settings of cargo for the target.
    prepare: fn(&Workspace) -> Result<Vec<String>>,
}

const MACHINES: &[Machine] = &[
    Machine {
        triple: "aarch64-unknown-linux-gnu",
        tiers: "neon-i8mm,neon-dotprod,neon,portable",
        prepare: arm_settings,
    },
    Machine { triple: "wasm32-wasip1", tiers: "simd128,portable", prepare: wasm_settings },
];

/// Builds and runs the tests for each machine. One that cannot be stood in for here is left out,
/// saying why; where a complete answer is expected (`CI=true`) that is a failure.
pub fn check(workspace: &Workspace) -> Result<()> {
    let complete = std::env::var("CI").is_ok_and(|value| value == "true");
    for machine in MACHINES {
        let prepared =
            add_target(workspace, machine.triple).and_then(|()| (machine.prepare)(workspace));
        match prepared {
            Ok(settings) => run(workspace, machine, &settings)?,
            Err(error) if complete => return Err(error.context(machine.triple)),
            Err(error) => println!("{}: SKIPPED, {error:#}", machine.triple),
        }
    }
    Ok(())
}

fn run(workspace: &Workspace, machine: &Machine, settings: &[String]) -> Result<()> {
    println!("{}: {}", machine.triple, machine.tiers);
    let cargo = |task: &str| {
        let mut command = workspace.cargo();
        command.args([task, "--package", "phial-kernels", "--target", machine.triple]);
        for setting in settings {
            command.arg("--config").arg(setting);
        }
        // These would take the place of the settings, and are meant for this machine's own CPU.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command
    };
    process::run(cargo("clippy").args(["--all-targets", "--", "-D", "warnings"]))?;
    let mut tests = cargo("test");
    for test in TESTS {
        tests.args(["--test", test]);
    }
    process::run(tests.env("PHIAL_EXPECTED_TIERS", machine.tiers))
}

/// Adds the standard library for `triple` to the toolchain of the workspace.
fn add_target(workspace: &Workspace, triple: &str) -> Result<()> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&workspace.root).args(["--print", "target-libdir", "--target", triple]);
    if Path::new(process::output(&mut rustc)?.trim()).is_dir() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    process::run(rustup.current_dir(&workspace.root).args(["target", "add", triple]))
}

fn arm_settings(_: &Workspace) -> Result<Vec<String>> {
    if !arm_is_here() {
        debian::install(ARM_PACKAGES)?;
        if !arm_is_here() {
            bail!("{} are installed and do not work", ARM_PACKAGES.join(", "));
        }
    }
    // The most capable CPU that the emulator knows: it has every tier.
    let runner = json!([ARM_EMULATOR, "-cpu", "max", "-L", ARM_LIBRARIES]);
    let target = "target.aarch64-unknown-linux-gnu";
    Ok(vec![format!("{target}.runner={runner}"), format!("{target}.linker={}", json!(ARM_LINKER))])
}

fn arm_is_here() -> bool {
    process::answers(Command::new(ARM_EMULATOR).arg("--version"))
        && process::answers(Command::new(ARM_LINKER).arg("--version"))
        && Path::new(ARM_LIBRARIES).join("lib").join("libc.so.6").exists()
}

fn wasm_settings(workspace: &Workspace) -> Result<Vec<String>> {
    let python = python::environment(workspace, "venv-wasm", "xtask/wasm/requirements.txt")?;
    let runner = json!([python, workspace.root.join("xtask/wasm/run.py")]);
    let target = "target.wasm32-wasip1";
    let flags = json!(["-C", "target-feature=+simd128"]);
    Ok(vec![format!("{target}.runner={runner}"), format!("{target}.rustflags={flags}")])
}
