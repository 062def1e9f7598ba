//! Small and hostile descriptions; whole ones are in `tests/`.

use crate::{ErrorKind, SpecialTokens, Tokenizer};
use serde_json::{Value, json};

/// A description with all bytes and some words, in the form of gpt-2.
fn description() -> Value {
    let mut bytes = String::new();
    crate::byte_level::push_text(&(0..=255).collect::<Vec<u8>>(), &mut bytes);
    let mut vocab: serde_json::Map<String, Value> =
        bytes.chars().zip(0..).map(|(text, id)| (text.to_string(), json!(id))).collect();
    for (id, text) in (256..).zip(["ab", "Ġa", "Ġab"]) {
        vocab.insert(text.into(), json!(id));
    }
    json!({
        "version": "1.0",
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": {"type": "ByteLevel"},
        "decoder": {"type": "ByteLevel"},
        "added_tokens": [
            {"id": 300, "content": "<|end|>", "special": true, "rstrip": true},
            {"id": 301, "content": "<tool>", "special": false},
        ],
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocab,
            "merges": ["a b", "Ġ ab", "Ġ a"],
        },
    })
}

fn load(description: &Value) -> Result<Tokenizer, crate::Error> {
    Tokenizer::from_tokenizer_json(description.to_string().as_bytes())
}

/// Changes the description at `pointer` and expects an error that says `message`.
fn check_refused(pointer: &str, value: Value, kind: ErrorKind, message: &str) {
    let mut description = description();
    *description.pointer_mut(pointer).expect("a place in the description") = value;
    let error = load(&description).expect_err(message);
    assert!(error.to_string().contains(message), "{error} should say {message}");
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn merges_in_both_forms() {
    let mut description = description();
    let expected = [258, 256, 97 - 33, 32 + 188, 98 - 33];
    for merges in [json!(["a b", "Ġ ab", "Ġ a"]), json!([["a", "b"], ["Ġ", "ab"], ["Ġ", "a"]])]
    {
        description["model"]["merges"] = merges;
        let tokenizer = load(&description).expect("a valid description");
        let ids = tokenizer.encode(" abab", SpecialTokens::AsText);
        assert_eq!(tokenizer.decode(&ids, false), " abab");
        assert_eq!(ids[..2], expected[..2]);
        assert_eq!(tokenizer.vocabulary_size(), 302);
        assert_eq!(tokenizer.token_bytes(299), None);
    }
}

#[test]
fn ignored_merges_take_whole_words() {
    let mut description = description();
    description["model"]["vocab"]["ba"] = json!(259);
    let encode = |description: &Value| {
        load(description).expect("a valid description").encode("ba", SpecialTokens::AsText)
    };
    assert_eq!(encode(&description).len(), 2);
    description["model"]["ignore_merges"] = json!(true);
    assert_eq!(encode(&description), [259]);
}

#[test]
fn added_tokens_swallow_white_space_if_they_say_so() {
    let tokenizer = load(&description()).expect("a valid description");
    let newline = tokenizer.encode("\n", SpecialTokens::AsText);
    assert_eq!(tokenizer.encode("<|end|>\n <tool>", SpecialTokens::Recognise), [300, 301]);
    let ids = tokenizer.encode("<tool>\n", SpecialTokens::Recognise);
    assert_eq!(ids, [&[301], newline.as_slice()].concat());
    assert!(tokenizer.is_control(300) && !tokenizer.is_control(301));
    assert_eq!(tokenizer.end_of_turn_ids(), [300]);
}

#[test]
fn documents_are_framed_as_the_files_say() {
    let mut description = description();
    description["post_processor"] = json!({"type": "Sequence", "processors": [
        {"type": "ByteLevel"},
        {"type": "TemplateProcessing", "single": [
            {"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
        ]},
    ]});
    let tokenizer = load(&description).expect("a valid description");
    assert_eq!((tokenizer.bos(), tokenizer.add_bos()), (Some(300), true));
    assert_eq!((tokenizer.eos(), tokenizer.add_eos()), (None, false));
    let config = br#"{"eos_token": {"content": "<tool>"}, "add_bos_token": false}"#;
    let tokenizer = tokenizer.with_tokenizer_config(config).expect("a valid configuration");
    assert_eq!((tokenizer.eos(), tokenizer.add_bos()), (Some(301), false));
    assert!(tokenizer.with_tokenizer_config(br#"{"bos_token": "<none>"}"#).is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    use ErrorKind::Unsupported;
    check_refused("/normalizer", json!({"type": "NFC"}), Unsupported, "NFC");
    check_refused("/decoder", json!({"type": "WordPiece"}), Unsupported, "WordPiece");
    check_refused("/pre_tokenizer", json!({"type": "Metaspace"}), Unsupported, "Metaspace");
    check_refused("/pre_tokenizer", json!(null), Unsupported, "ByteLevel");
    check_refused("/pre_tokenizer/add_prefix_space", json!(true), Unsupported, "add_prefix_space");
    check_refused("/post_processor", json!({"type": "Bert"}), Unsupported, "Bert");
    check_refused("/model/type", json!("Unigram"), Unsupported, "Unigram");
    check_refused("/model/dropout", json!(0.1), Unsupported, "dropout");
    check_refused("/model/end_of_word_suffix", json!("</w>"), Unsupported, "end_of_word_suffix");
    let split = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated"},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
    ]});
    check_refused("/pre_tokenizer", split, Unsupported, "\"x+\"");
}

#[test]
fn what_is_broken_is_refused() {
    use ErrorKind::{InvalidTokenizer, TooLarge};
    check_refused("/model/merges/0", json!("a missing"), InvalidTokenizer, "missing");
    check_refused("/model/merges/0", json!("b a"), InvalidTokenizer, "\"ba\"");
    check_refused("/model/merges/0", json!("ab"), InvalidTokenizer, "left right");
    check_refused("/model/merges/0", json!("a 語"), InvalidTokenizer, "語");
    check_refused("/model/vocab/ab", json!(0), InvalidTokenizer, "id 0");
    check_refused("/model/vocab/ab", json!(-1), InvalidTokenizer, "tokenizer.json");
    check_refused("/model/vocab/ab", json!(u64::MAX), TooLarge, "largest id");
    check_refused("/model/vocab/ab", json!(1_u64 << 32), TooLarge, "largest id");
    check_refused("/added_tokens/0/id", json!(5), InvalidTokenizer, "contradicts");
    check_refused("/added_tokens/0/content", json!("ab"), InvalidTokenizer, "contradicts");
    check_refused("/added_tokens/1/content", json!("<|end|>"), InvalidTokenizer, "<|end|>");
    check_refused("/added_tokens/1/content", json!(""), InvalidTokenizer, "empty");
    let mut foreign = description();
    foreign["model"]["vocab"]["語"] = json!(270);
    assert!(load(&foreign).expect_err("not byte-level").to_string().contains("語"));
    let twice = description().to_string().replacen("\"ab\":256", "\"ab\":256,\"ab\":280", 1);
    let error = Tokenizer::from_tokenizer_json(twice.as_bytes()).expect_err("twice");
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn deep_nesting_and_garbage_are_errors() {
    let deep = format!("{{\"pre_tokenizer\": {}", "[".repeat(1 << 20));
    for json in [deep.as_bytes(), b"", b"{}", b"[]", b"\xff", b"{\"model\": {\"vocab\": []}}"] {
        assert!(Tokenizer::from_tokenizer_json(json).is_err());
    }
}
