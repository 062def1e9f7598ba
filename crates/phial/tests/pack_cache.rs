//! Packed weights that are kept between starts: right whatever becomes of them.

mod driving;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use driving::{goldens, phial, refuse};

/// A model with a store of its own.
struct Case {
    home: tempfile::TempDir,
    model: PathBuf,
}

impl Case {
    fn new(golden: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("model.gguf");
        fs::copy(goldens(golden), &model).unwrap();
        Self { home, model }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = phial(self.home.path());
        command.args(["logits", "--json", "--ids", "5,6,7,8,9,10,11", "--last", "3", "--model"]);
        command.arg(&self.model).args(more);
        command
    }

    /// What is printed to standard output and standard error.
    fn run(&self, more: &[&str]) -> (String, String) {
        finish(self.start(more))
    }

    fn start(&self, more: &[&str]) -> Child {
        let mut command = self.command(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    fn packed(&self) -> PathBuf {
        self.home.path().join("packed")
    }

    /// The only file of packed weights.
    fn file(&self) -> PathBuf {
        let files = files(&self.packed());
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

fn finish(child: Child) -> (String, String) {
    let output = child.wait_with_output().expect("the program ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Tells a file from one that was made anew with the same content.
#[cfg(unix)]
fn identity(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

#[test]
fn results_are_the_same_bit_for_bit_and_only_wanted_files_are_written() {
    for golden in ["gguf-q/q4_k.gguf", "gguf-q/q8_0.gguf", "gguf-q/q2_k.gguf"] {
        let case = Case::new(golden);
        let (expected, quiet) = case.run(&["--no-pack-cache"]);
        assert_eq!(quiet, "");
        assert!(!case.packed().exists(), "{golden}: --no-pack-cache wrote a file");
        // Making the file, then using it.
        assert_eq!(case.run(&[]), (expected.clone(), String::new()), "{golden}: first");
        let made = fs::read(case.file()).unwrap();
        assert_eq!(case.run(&[]), (expected.clone(), String::new()), "{golden}: second");
        assert!(fs::read(case.file()).unwrap() == made);
        // The place can be chosen, and exact weights are not kept.
        let other = case.home.path().join("else").join("where");
        let (found, _) = case.run(&["--pack-cache", other.to_str().unwrap()]);
        assert_eq!((found, files(&other).len()), (expected, 1), "{golden}");
        fs::remove_dir_all(&other).unwrap();
        case.run(&["--pack-cache", other.to_str().unwrap(), "--precision", "f32"]);
        assert!(!other.exists());
    }
    let case = Case::new("gguf-q/q4_0.gguf");
    let mut both = case.command(&["--no-pack-cache", "--pack-cache", "x"]);
    assert_eq!(both.output().unwrap().status.code(), Some(2));
}

#[test]
fn a_folder_of_safetensors_has_packed_weights_too() {
    let case = Case { home: tempfile::tempdir().unwrap(), model: goldens("text-q") };
    let (expected, _) = case.run(&["--no-pack-cache"]);
    assert_eq!(case.run(&[]).0, expected);
    let made = fs::metadata(case.file()).unwrap().modified().unwrap();
    assert_eq!(case.run(&[]).0, expected);
    assert_eq!(fs::metadata(case.file()).unwrap().modified().unwrap(), made);
}

#[cfg(unix)]
#[test]
fn every_damage_is_noticed_told_and_repaired() {
    let case = Case::new("gguf-q/q4_k.gguf");
    let (expected, _) = case.run(&[]);
    let path = case.file();
    let good = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        bytes
    };
    let table = good.len() - 20;
    for (what, bytes, told) in [
        ("nothing", good.clone(), None),
        ("header", flipped(50), Some("header is altered")),
        ("magic", flipped(2), Some("something else")),
        ("version", flipped(8), None),
        ("layout with a wrong sum", flipped(12), Some("header is altered")),
        ("table", flipped(table), Some("table is altered")),
        ("first weights", flipped(4096), Some("weights are altered")),
        ("weights", flipped(good.len() / 2), Some("weights are altered")),
        ("cut", good[..good.len() / 2].to_vec(), Some("cut short")),
        ("cut in the header", good[..100].to_vec(), Some("cut short")),
        ("empty", Vec::new(), Some("cut short")),
        ("half-written", [vec![0; 4096], good[4096..].to_vec()].concat(), Some("something else")),
        ("foreign", b"GGUF".repeat(3000), Some("something else")),
        ("too long", [&good[..], b"more"].concat(), Some("too long")),
    ] {
        fs::write(&path, bytes).unwrap();
        let before = identity(&path);
        let (found, line) = case.run(&[]);
        assert_eq!(found, expected, "{what}");
        match told {
            Some(told) => {
                assert!(line.contains(told) && line.lines().count() == 1, "{what}: {line:?}");
            }
            None => assert_eq!(line, "", "{what}"),
        }
        assert!(fs::read(&path).unwrap() == good, "{what} was not repaired");
        assert_eq!(identity(&path) == before, what == "nothing", "{what}");
        assert_eq!(case.run(&[]), (expected.clone(), String::new()), "after {what}");
    }
    // A folder in its place, empty and not.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let (found, line) = case.run(&[]);
    assert!(found == expected && line.contains("folder"), "{line}");
    assert!(fs::read(&path).unwrap() == good);
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("kept")).unwrap();
    let (found, line) = case.run(&[]);
    assert!(found == expected && line.contains("not kept") && line.lines().count() == 1, "{line}");
    assert_eq!(files(&case.packed()), [path]);
}

#[test]
fn a_changed_model_is_packed_anew() {
    let case = Case::new("gguf-q/q4_0.gguf");
    let (first, _) = case.run(&[]);
    let time = fs::metadata(&case.model).unwrap().modified().unwrap();
    // Of the same length, at the same place, in weights, with the old time put back.
    let mut bytes = fs::read(&case.model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].reverse();
    fs::write(&case.model, &bytes).unwrap();
    File::options().write(true).open(&case.model).unwrap().set_modified(time).unwrap();
    let (expected, _) = case.run(&["--no-pack-cache"]);
    assert_ne!(expected, first);
    assert_eq!(case.run(&[]), (expected.clone(), String::new()));
    // Another model in its place: of the old one nothing is left.
    fs::copy(goldens("gguf-q/q8_0.gguf"), &case.model).unwrap();
    let (other, _) = case.run(&["--no-pack-cache"]);
    assert_eq!(case.run(&[]), (other, String::new()));
    case.file();
}

#[test]
fn starts_at_the_same_time_do_not_disturb_each_other() {
    let case = Case::new("gguf-q/q6_k.gguf");
    let (expected, _) = case.run(&["--no-pack-cache"]);
    for round in 0..3 {
        let children: Vec<_> = (0..6).map(|_| case.start(&[])).collect();
        for child in children {
            assert_eq!(finish(child), (expected.clone(), String::new()), "round {round}");
        }
        let path = case.file();
        assert_eq!(case.run(&[]).0, expected);
        // The next round begins without the file, the one after it with a part left behind.
        fs::remove_file(&path).unwrap();
        let mut part = path.into_os_string();
        part.push(".part");
        fs::write(part, "left by a process that was killed").unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_place_that_cannot_be_written_costs_one_line() {
    let case = Case::new("gguf-q/q5_k.gguf");
    let (expected, _) = case.run(&["--no-pack-cache"]);
    // No folder can be made below a file.
    let below = case.model.join("packed");
    let (found, line) = case.run(&["--pack-cache", below.to_str().unwrap()]);
    assert_eq!(found, expected);
    assert!(line.contains("not kept") && line.contains("--no-pack-cache"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    // A write that fails half-way, as on a full disk: files may have 64 blocks of 512 or 1024
    // bytes, and the signal that tells so is ignored.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_phial")).args(case.command(&[]).get_args());
    shell.env("PHIAL_HOME", case.home.path());
    let child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (found, line) = finish(child);
    assert_eq!(found, expected);
    assert!(line.contains("not kept") && line.lines().count() == 1, "{line}");
    assert!(files(&case.packed()).is_empty());
    // What fits is kept.
    assert_eq!(case.run(&[]), (expected, String::new()));
    case.file();
}

#[test]
fn removing_a_model_removes_what_was_packed_from_it() {
    let case = Case::new("gguf-q/q4_1.gguf");
    case.run(&[]);
    let kept = case.file();
    // A model of the store, as a pull leaves it.
    let folder = case.home.path().join("models").join("owner--name");
    fs::create_dir_all(&folder).unwrap();
    let stored = folder.join("model.gguf");
    let bytes = fs::copy(goldens("gguf-q/q4_0.gguf"), &stored).unwrap();
    let manifest = serde_json::json!({
        "name": "owner/name", "source": "a test", "bytes": bytes, "created": 0,
        "files": [{ "name": "model.gguf", "bytes": bytes, "sha256": "0".repeat(64) }],
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let ids = ["logits", "--ids", "5,6", "--model", "owner/name"];
    driving::succeed(phial(case.home.path()).args(ids));
    assert_eq!(files(&case.packed()).len(), 2);
    driving::succeed(phial(case.home.path()).args(["rm", "owner/name"]));
    assert_eq!(case.file(), kept);
    refuse(phial(case.home.path()).args(["rm", "owner/name"]));
}
