//! The goldens through the program's own commands.

mod driving;

use std::fs;

use driving::{Golden, argmax, cosine, feed, goldens, logits, phial, succeed, worst};
use phial_text::Tokenizer;
use serde_json::{Value, json};

const EXACT: &[&str] = &["--precision", "f32"];

#[test]
fn logits_of_safetensors_are_those_of_the_reference() {
    let home = tempfile::tempdir().unwrap();
    for (folder, lengths) in
        [("text-tiny", [1, 20, 128, 129, 300]), ("text-q", [1, 40, 256, 257, 600])]
    {
        let golden = Golden::open(&format!("{folder}/golden.safetensors"));
        for length in lengths {
            let ids = golden.ids(&format!("len{length}.ids"));
            let rows = logits(home.path(), &goldens(folder), &ids, length.min(4), EXACT);
            let error = worst(&rows, &golden.floats(&format!("len{length}.logits_last4")));
            assert!(error <= 1e-3, "{folder} {length}: {error}");
        }
    }
}

#[test]
fn greedy_text_crosses_the_boundary_as_the_reference_does() {
    let home = tempfile::tempdir().unwrap();
    for folder in ["text-tiny", "text-q"] {
        let golden = Golden::open(&format!("{folder}/golden.safetensors"));
        let expected = golden.ids("cross.ids");
        for length in golden.ids("cross.prompt_len")[0] as usize..expected.len() {
            let rows = logits(home.path(), &goldens(folder), &expected[..length], 1, EXACT);
            assert_eq!(argmax(&rows[0]), expected[length], "{folder} after {length} tokens");
        }
    }
}

#[test]
fn adapters_give_the_reference_logits() {
    let home = tempfile::tempdir().unwrap();
    let golden = Golden::open("text-tiny/golden-lora.safetensors");
    let (ids, model) = (golden.ids("ids"), goldens("text-tiny"));
    for name in ["base", "a", "b"] {
        let folder = goldens(&format!("text-tiny/adapter-{name}"));
        let folder = folder.to_str().unwrap();
        let more = if name == "base" { vec![] } else { vec!["--adapter", folder] };
        let rows = logits(home.path(), &model, &ids, 4, &[EXACT, &more].concat());
        let error = worst(&rows, &golden.floats(&format!("{name}.logits_last4")));
        assert!(error <= 1e-3, "{name}: {error}");
    }
}

#[test]
fn every_encoding_gives_the_reference_logits() {
    let home = tempfile::tempdir().unwrap();
    let golden = Golden::open("gguf-q/golden.safetensors");
    let ids = golden.ids("ids");
    // bf16 and f16 are made here: every weight is exact in both.
    for made in ["bf16", "f16"] {
        let path = home.path().join(format!("{made}.gguf"));
        let mut command = phial(home.path());
        succeed(command.arg("quantize").arg(goldens("text-q")).arg(&path).args(["--type", made]));
    }
    for name in [
        "BF16", "F16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
        "Q6_K", "IQ4_NL", "IQ4_XS", "TQ2_0",
    ] {
        let expected = golden.floats(&format!("{name}.logits_last4"));
        let file = format!("{}.gguf", name.to_lowercase());
        let made = home.path().join(&file);
        let path = if made.exists() { made } else { goldens("gguf-q").join(file) };
        let error = worst(&logits(home.path(), &path, &ids, 4, EXACT), &expected);
        assert!(error <= 1e-3, "{name}: {error}");
        let rows = logits(home.path(), &path, &ids, 4, &["--precision", "auto"]);
        for (got, expected) in rows.iter().zip(expected.chunks_exact(rows[0].len())) {
            assert!(cosine(got, expected) >= 0.9995, "{name}: {}", cosine(got, expected));
            let mut sorted = expected.to_vec();
            sorted.sort_by(|a, b| b.total_cmp(a));
            assert!(sorted[0] - sorted[1] <= 0.5 || argmax(got) == argmax(expected), "{name}");
        }
    }
}

#[test]
fn quantising_keeps_the_model() {
    let home = tempfile::tempdir().unwrap();
    let golden = Golden::open("gguf-q/golden.safetensors");
    let ids = golden.ids("ids");
    let source = logits(home.path(), &goldens("text-q"), &ids, 4, EXACT).concat();
    let from_gguf = home.path().join("bf16.gguf");
    let mut command = phial(home.path());
    succeed(
        command.arg("quantize").arg(goldens("text-q")).arg(&from_gguf).args(["--type", "bf16"]),
    );
    // What llama.cpp's own files of these types keep of the exact logits is the measure.
    let exact = golden.floats("BF16.logits_last4");
    for (recipe, peer) in [
        ("q8_0", "Q8_0"),
        ("q6_k", "Q6_K"),
        ("q5_k_m", "Q5_K"),
        ("q4_k_m", "Q4_K"),
        ("q4_0", "Q4_0"),
    ] {
        let theirs = cosine(&golden.floats(&format!("{peer}.logits_last4")), &exact);
        let least = 1.0 - 1.5 * (1.0 - theirs);
        let mut files = Vec::new();
        for (input, name) in [(goldens("text-q"), "a"), (from_gguf.clone(), "b")] {
            let output = home.path().join(format!("{recipe}-{name}.gguf"));
            let mut command = phial(home.path());
            succeed(command.arg("quantize").arg(input).arg(&output).args(["--type", recipe]));
            let kept = cosine(&logits(home.path(), &output, &ids, 4, EXACT).concat(), &source);
            assert!(kept >= least, "{recipe}: {kept} beside {theirs}");
            files.push(output);
        }
        let list = |path| {
            let mut command = phial(home.path());
            let text = succeed(command.args(["inspect", "--tensors"]).arg(path));
            text.split_once("\n\n").expect("a list of tensors").1.to_owned()
        };
        let sorted = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(list(&files[0])), sorted(list(&files[1])), "{recipe}");
    }
}

/// A Hugging Face tokenizer.json of the built-in vocabulary.
fn tokenizer_json() -> Value {
    let vocabulary = Tokenizer::phi4().to_vocabulary(0);
    let mut ordinary = serde_json::Map::new();
    let mut added = Vec::new();
    for (id, (token, kind)) in vocabulary.tokens.iter().zip(&vocabulary.token_types).enumerate() {
        match kind {
            1 => drop(ordinary.insert(token.clone(), json!(id))),
            3 | 4 => added.push(json!({"id": id, "content": token, "special": *kind == 3,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})),
            _ => {}
        }
    }
    let expression = concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "post_processor": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Removed",
             "invert": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
             "use_regex": false}]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
            "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": false,
            "byte_fallback": false, "vocab": ordinary, "merges": vocabulary.merges},
    })
}

#[test]
fn tokenize_gives_the_reference_ids_from_standard_input() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("tokenizer only");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tokenizer.json"), tokenizer_json().to_string()).unwrap();
    let golden: Value =
        serde_json::from_slice(&fs::read(goldens("tokenizer.json")).unwrap()).unwrap();
    for (name, flag) in [("plain", None), ("with_special", Some("--special"))] {
        let rows = golden[name].as_array().unwrap();
        // Each run loads the vocabulary: every seventh row here, all of them in the text room.
        for row in rows.iter().step_by(7) {
            let mut command = phial(home.path());
            command.args(["tokenize", "--model"]).arg(&folder).args(flag).arg("-");
            let output = feed(&mut command, row[0].as_str().unwrap().as_bytes());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let ids = String::from_utf8(output.stdout).unwrap();
            let ids: Vec<u64> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(json!(ids), row[1], "{:?}", row[0]);
        }
    }
    let mut command = phial(home.path());
    let output = feed(command.args(["tokenize", "--model"]).arg(&folder).arg("-"), b"\xff\xfe a");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "187 186 261");
}

#[test]
fn inspect_tells_what_a_token_keeps() {
    let home = tempfile::tempdir().unwrap();
    let about = succeed(phial(home.path()).arg("inspect").arg(goldens("gguf-q/q4_0.gguf")));
    // 2 layers with 2 heads of 64 elements, for keys and for values; 2 bytes more for a scale of
    // each head in 8 bits, and of each half of a head in 4.
    let (f16, int8, int4) = (8 * 64 * 2, 8 * (64 + 2), 8 * 2 * (16 + 2));
    let expected = format!("{} (f32), {f16} (f16), {int8} (int8), {int4} (int4) bytes", 2 * f16);
    assert!(about.contains(&expected), "{expected} in {about}");
}

#[test]
fn a_synthetic_file_has_the_shape_and_runs() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("nano.gguf");
    let mut command = phial(home.path());
    succeed(command.args(["synth", "--preset", "phi-4-mini-nano"]).arg(&path));
    assert!(fs::metadata(&path).unwrap().len() < 8 << 20);
    let about = succeed(phial(home.path()).arg("inspect").arg(&path));
    for part in ["phi3", "131072 tokens (LongRoPE", "Phi-4-mini, with tools", "<|end|>"] {
        assert!(about.contains(part), "{about}");
    }
    // Reading 4,097 tokens at once and one by one across the boundary is the same.
    let ids: Vec<u32> = (0..4097).map(|i| i * 37 % 8000).collect();
    let short = logits(home.path(), &path, &ids[..4096], 1, &[]);
    let long = logits(home.path(), &path, &ids, 1, &[]);
    assert!(short[0].iter().chain(&long[0]).all(|logit| logit.is_finite()));
    let answer = succeed(
        phial(home.path()).args(["run", "--max-tokens", "4", "--model"]).arg(&path).arg("Hi"),
    );
    assert!(answer.ends_with('\n'));
}
