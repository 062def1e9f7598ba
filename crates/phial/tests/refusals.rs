//! Wrong uses: one clear line each.

mod driving;

use std::fs;
use std::path::Path;

use driving::{goldens, phial, refuse};

/// Each row: arguments, and what the line must say.
fn check(home: &Path, arguments: &[&str], parts: &[&str]) {
    let line = refuse(phial(home).args(arguments));
    for part in parts {
        assert!(line.contains(part), "{arguments:?}: {line:?} does not say {part:?}");
    }
}

#[test]
fn files_that_are_no_models_are_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let whole = fs::read(goldens("gguf-q/q4_0.gguf")).unwrap();
    fs::write(at("empty.gguf"), b"").unwrap();
    fs::write(at("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    fs::write(at("header.gguf"), &whole[..100]).unwrap();
    fs::write(at("zip.bin"), b"PK\x03\x04 rest of a checkpoint").unwrap();
    fs::write(at("text.gguf"), b"hello, this is not a model at all").unwrap();
    fs::create_dir(at("folder")).unwrap();
    for (name, part) in [
        ("empty.gguf", "empty"),
        ("cut.gguf", "cut.gguf"),
        ("header.gguf", "header.gguf"),
        ("zip.bin", "PyTorch"),
        ("text.gguf", "neither a GGUF nor a safetensors"),
        ("folder", "no safetensors or GGUF"),
    ] {
        check(home.path(), &["inspect", &at(name)], &[part]);
        check(home.path(), &["run", "--model", &at(name), "Hi"], &[part]);
    }
    check(home.path(), &["inspect", "./nothing-here.gguf"], &["no file", "nothing-here.gguf"]);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::copy(goldens("text-tiny/model.safetensors"), folder.join("model.safetensors")).unwrap();
    let folder = folder.to_str().unwrap().to_owned();
    check(home.path(), &["inspect", &folder], &["config.json"]);
    let text = fs::read_to_string(goldens("text-tiny/config.json")).unwrap();
    for (from, to, part) in [
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0", "attention heads is 0"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1000000000", "layers is 1000000000"),
        ("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "layers.3"),
        ("\"vocab_size\": 512", "\"vocab_size\": 513", "[513, 64]"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", "relu"),
        ("\"model_type\": \"phi3\"", "\"model_type\": \"mamba\"", "mamba"),
        ("\"partial_rotary_factor\": 0.75", "\"partial_rotary_factor\": 0.5", "short_factor"),
        ("{", "{{", "JSON"),
    ] {
        assert!(text.contains(from));
        fs::write(Path::new(&folder).join("config.json"), text.replacen(from, to, 1)).unwrap();
        check(home.path(), &["logits", "--model", &folder, "--ids", "1"], &[part]);
    }
}

#[test]
fn impossible_requests_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let model = goldens("text-tiny");
    let model = model.to_str().unwrap();
    let logits = |more: &[&'static str], parts: &[&str]| {
        check(home.path(), &[&["logits", "--model", model], more].concat(), parts);
    };
    logits(&["--ids", "512"], &["512", "vocabulary"]);
    logits(&["--ids", "1,2", "--last", "3"], &["--last is 3", "2 tokens"]);
    logits(&["--ids", "1,2", "--last", "0"], &["--last is 0"]);
    logits(&["--prompt", "hello"], &["no tokenizer"]);
    logits(&["--ids", "1", "--adapter", "nowhere"], &["adapter_config.json"]);
    let many = vec!["7"; 4097].join(",");
    check(home.path(), &["logits", "--model", model, "--ids", &many], &["4097", "4096"]);
    let q = goldens("text-q");
    let other = goldens("text-tiny/adapter-a");
    let arguments = [
        "logits",
        "--model",
        q.to_str().unwrap(),
        "--ids",
        "1",
        "--adapter",
        other.to_str().unwrap(),
    ];
    check(home.path(), &arguments, &["shape"]);
    check(home.path(), &["run", "--model", model, "--temperature", "-1", "Hi"], &["temperature"]);
    check(home.path(), &["run", "--model", model, "--max-tokens", "0", "Hi"], &["--max-tokens"]);
    check(home.path(), &["run", "--model", model, "--top-p", "2", "Hi"], &["top_p"]);
    check(home.path(), &["serve", "--model", model], &["no tokenizer"]);
    check(home.path(), &["quantize", model, "x.gguf", "--type", "q9"], &["q9", "q4_k_m"]);
    check(home.path(), &["synth", "x.gguf", "--preset", "nine"], &["phi-4-mini-nano"]);
    let away = home.path().join("no/such/folder/x.gguf");
    let away = away.to_str().unwrap();
    check(home.path(), &["quantize", model, away, "--type", "q8_0"], &["no/such/folder"]);
}

#[test]
fn names_and_networks_that_are_not_there_are_told() {
    let home = tempfile::tempdir().unwrap();
    check(home.path(), &["run", "--model", "phi4", "Hi"], &["phi4", "phi-4-mini"]);
    check(home.path(), &["pull", "nobody/nothing"], &["127.0.0.1:1"]);
    check(home.path(), &["pull", "phi-4-mini", "--offline"], &["offline"]);
    check(
        home.path(),
        &["run", "--model", "starter", "--offline", "Hi"],
        &["offline", "pull starter"],
    );
    check(home.path(), &["rm", "starter"], &["not in the store"]);
    check(home.path(), &["rm", "../../etc"], &["error"]);
}

#[test]
fn a_port_that_is_taken_is_told() {
    let home = tempfile::tempdir().unwrap();
    let nano = home.path().join("nano.gguf");
    driving::succeed(phial(home.path()).args(["synth", "--preset", "phi-4-mini-nano"]).arg(&nano));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = phial(home.path());
    command.args(["serve", "--model"]).arg(&nano).args(["--port", &port]);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{errors}");
}

#[test]
fn gateways_that_cannot_work_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("gateway.toml");
    let file_name = file.to_str().unwrap();
    check(home.path(), &["gateway", "--config", file_name], &["cannot read", "gateway.toml"]);
    let accounts = home.path().join("accounts");
    let accounts = format!("accounts = '{}'", accounts.display());
    let certificate = "tls = { certificate = '/nonexistent/c', key = '/nonexistent/k' }";
    let upstream = "[[gateway.upstreams]]\nname = 'a'\nbase_url = 'a'\nmodels = ['m']";
    for (text, part) in [
        (String::new(), "[gateway]"),
        ("[gateway]\nacounts = 'x'".to_owned(), "acounts"),
        ("[gateway]".to_owned(), "accounts"),
        (format!("[gateway]\n{accounts}\n{upstream}"), "base_url"),
        (format!("[gateway]\n{accounts}\nsign_up = 'maybe'"), "sign_up"),
        (format!("[gateway]\n{accounts}\nlisten = '127.0.0.1:0'\n{certificate}"), "/nonexistent/c"),
    ] {
        fs::write(&file, text).unwrap();
        check(home.path(), &["gateway", "--config", file_name], &[part]);
    }
}

#[test]
fn accounts_that_are_not_there_are_refused_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let folder = at("misspelt");
    for command in [&["setup-link"][..], &["backup", "b.sqlite"], &["reset-password", "ada"]] {
        let arguments = [&["accounts"], command, &["--accounts", &folder]].concat();
        let line = refuse(phial(home.path()).args(arguments).current_dir(home.path()));
        assert!(line.contains("misspelt/accounts.sqlite"), "{line}");
        assert!(!Path::new(&folder).exists() && !home.path().join("b.sqlite").exists());
    }
    fs::write(at("text"), "no backup").unwrap();
    let restore = ["accounts", "restore", &at("text"), "--accounts", &folder];
    check(home.path(), &restore, &["is no copy of accounts"]);
    check(home.path(), &["accounts", "restore", &at("none"), "--accounts", &folder], &["none"]);
    for (accounts, part) in
        [("mysql://h/d", "postgres://"), ("postgres://h/d", "--accounts-folder")]
    {
        check(home.path(), &["accounts", "setup-link", "--accounts", accounts], &[part]);
    }
    let config = at("gateway.toml");
    check(home.path(), &["accounts", "setup-link", "--config", &config], &["gateway.toml"]);
    fs::write(&config, format!("[gateway]\naccounts = '{folder}'")).unwrap();
    let line = "misspelt/accounts.sqlite";
    check(home.path(), &["accounts", "setup-link", "--config", &config], &[line]);
}
