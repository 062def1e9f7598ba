//! A model from a hub: quantised while it arrives, interrupted, and gone on with.

mod driving;
mod loopback_hub;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use driving::{goldens, phial, refuse, succeed};
use loopback_hub::LoopbackHub;
use phial_formats::{Safetensors, WeightSource, safetensors};
use phial_text::Tokenizer;
use serde_json::{Value, json};

const REPOSITORY: &str = "somebody/tiny-model";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const TEMPLATE: &str = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\
                        <|end|>{% endfor %}<|assistant|>";

/// The weights of `text-q` as a repository has them: two shards with an index, a tokenizer that
/// fits its 2,048 ids, and a chat template.
fn make_repository(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let source = Safetensors::open(goldens("text-q/model.safetensors")).unwrap();
    let names: Vec<_> = source.tensors().iter().map(|info| info.name.clone()).collect();
    let mut map = serde_json::Map::new();
    for (file, names) in SHARDS.iter().zip(names.chunks(names.len() / 2)) {
        let tensors: Vec<_> = names.iter().map(|name| source.tensor(name).unwrap()).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(&tensors).collect();
        safetensors::write(folder.join(file), &[("format", "pt")], &named).unwrap();
        map.extend(names.iter().map(|name| (name.clone(), json!(file))));
    }
    let write = |name: &str, value: &Value| {
        fs::write(folder.join(name), value.to_string()).unwrap();
    };
    let bytes = fs::metadata(goldens("text-q/model.safetensors")).unwrap().len();
    let index = json!({"metadata": {"total_size": bytes}, "weight_map": map});
    write("model.safetensors.index.json", &index);
    write("tokenizer.json", &tokenizer());
    let configuration = json!({"chat_template": TEMPLATE, "eos_token": "<|end|>"});
    write("tokenizer_config.json", &configuration);
    for name in ["config.json", "generation_config.json"] {
        fs::copy(goldens("text-q").join(name), folder.join(name)).unwrap();
    }
}

/// The first 2,000 tokens of the built-in vocabulary and the control tokens of a chat.
fn tokenizer() -> Value {
    let vocabulary = Tokenizer::phi4().to_vocabulary(0);
    let ordinary: serde_json::Map<_, _> =
        vocabulary.tokens[..2000].iter().cloned().zip((0..).map(|id| json!(id))).collect();
    let control = ["<|user|>", "<|assistant|>", "<|system|>", "<|end|>"];
    let added: Vec<_> = (2000..)
        .zip(control)
        .map(|(id, text)| json!({"id": id, "content": text, "special": true}))
        .collect();
    json!({
        "version": "1.0", "normalizer": null, "post_processor": null, "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "decoder": {"type": "ByteLevel"},
        // Merge number i makes token 256 + i.
        "model": {"type": "BPE", "vocab": ordinary, "merges": vocabulary.merges[..2000 - 256]},
    })
}

fn from_hub(home: &Path, hub: &LoopbackHub) -> Command {
    let mut command = phial(home);
    command.env("HF_ENDPOINT", hub.address());
    command
}

/// The one GGUF file of the store.
fn stored(home: &Path) -> std::path::PathBuf {
    let folder = home.join("models").join(REPOSITORY.replace('/', "--"));
    let files = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let ggufs: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "gguf")).collect();
    assert_eq!(ggufs.len(), 1, "{ggufs:?}");
    ggufs[0].clone()
}

#[test]
fn an_interrupted_pull_goes_on_and_gives_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    // `quantize` calls the model after its folder, `pull` after the repository.
    let folder = root.path().join("tiny-model");
    make_repository(&folder);
    let expected = root.path().join("expected.gguf");
    let mut command = phial(root.path());
    succeed(command.arg("quantize").arg(&folder).arg(&expected).args(["--type", "q4_k_m"]));

    let hub = LoopbackHub::start(REPOSITORY, &folder);
    let home = root.path().join("home");
    let pull = ["pull", REPOSITORY, "--type", "q4_k_m"];
    let reached = hub.pause_within(SHARDS[1]);
    let mut command = from_hub(&home, &hub);
    let mut killed = command.args(pull).stderr(Stdio::null()).spawn().unwrap();
    reached.recv_timeout(Duration::from_secs(60)).expect("the second shard is asked for");
    // Nobody else touches the model meanwhile: a second pull waits, a removal is refused.
    let mut command = from_hub(&home, &hub);
    let mut waiting =
        command.args(pull).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut notices = BufReader::new(waiting.stderr.take().unwrap());
    notices.read_line(&mut line).unwrap();
    assert!(line.contains("waiting for it"), "{line}");
    assert!(refuse(phial(&home).args(["rm", REPOSITORY])).contains("another process"));
    assert!(succeed(phial(&home).arg("list")).contains("no models yet"));

    hub.take_requests();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let said = waiting.wait_with_output().unwrap();
    assert!(said.status.success());
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains(REPOSITORY), "{said}");
    let requests = hub.take_requests();
    // The first shard is in the growing file: only its header is read again.
    let whole = |line: &&String| line.ends_with(" whole") || line.ends_with('-');
    let weights: Vec<_> =
        requests.iter().filter(|line| line.contains("safetensors ")).filter(whole).collect();
    assert!(!weights.is_empty());
    assert!(weights.iter().all(|line| line.starts_with(SHARDS[1])), "{requests:?}");
    assert!(fs::read(stored(&home)).unwrap() == fs::read(&expected).unwrap());

    let listed = succeed(phial(&home).arg("list"));
    assert!(listed.contains(REPOSITORY) && listed.contains("q4_k_m"), "{listed}");
    // It runs without the hub, through the template that came with it.
    let ask = ["run", "--offline", "--model", REPOSITORY, "--max-tokens", "4", "Hi"];
    assert!(succeed(phial(&home).args(ask)).ends_with('\n'));
    let about = succeed(phial(&home).args(["inspect", REPOSITORY]));
    assert!(about.contains("Jinja") && about.contains("<|end|>"), "{about}");
    // Once it is here, nothing is asked for again.
    succeed(phial(&home).args(pull));
    succeed(phial(&home).args(["rm", REPOSITORY]));
    assert!(succeed(phial(&home).arg("list")).contains("no models yet"));
    assert!(refuse(phial(&home).args(["rm", REPOSITORY])).contains("not in the store"));
}

#[test]
fn the_original_files_are_kept_when_no_type_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("tiny-model");
    make_repository(&folder);
    let hub = LoopbackHub::start(REPOSITORY, &folder);
    succeed(from_hub(root.path(), &hub).args(["pull", REPOSITORY]));
    let stored = root.path().join("models").join(REPOSITORY.replace('/', "--"));
    for shard in SHARDS {
        assert!(fs::read(stored.join(shard)).unwrap() == fs::read(folder.join(shard)).unwrap());
    }
    let ask = ["run", "--offline", "--model", REPOSITORY, "--max-tokens", "4", "Hi"];
    assert!(succeed(phial(root.path()).args(ask)).ends_with('\n'));
    let line = refuse(from_hub(root.path(), &hub).args(["pull", "somebody/else"]));
    assert!(line.contains("somebody/else"), "{line}");
}
