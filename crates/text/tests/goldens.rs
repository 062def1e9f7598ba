//! Token ids that tiktoken and Hugging Face gave.

use phial_text::{ChatTemplate, Message, SpecialTokens, Tokenizer, Vocabulary};
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

static PHI4: LazyLock<Tokenizer> = LazyLock::new(Tokenizer::phi4);

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../goldens").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("a golden file is JSON")
}

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().expect("a list of ids");
    ids.iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

#[test]
fn phi4_ids_equal_those_of_tiktoken() {
    let golden = golden("tokenizer.json");
    for (key, special) in
        [("plain", SpecialTokens::AsText), ("with_special", SpecialTokens::Recognise)]
    {
        let rows = golden[key].as_array().expect("rows");
        assert!(!rows.is_empty());
        for row in rows {
            let text = row[0].as_str().expect("a text");
            let expected = ids(&row[1]);
            assert_eq!(PHI4.encode(text, special), expected, "{key} {text:?}");
            assert_eq!(PHI4.decode(&expected, false), text);
        }
    }
}

/// Rows of the specification, made with tiktoken.
#[test]
fn phi4_ids_of_the_specification() {
    let rows: &[(&str, &[u32])] = &[
        ("Hello, world!", &[13225, 11, 2375, 0]),
        (
            "<|user|>What is 2+2?<|end|><|assistant|>",
            &[200021, 4827, 382, 220, 17, 10, 17, 30, 200020, 200019],
        ),
        (
            "<|system|>You are a helpful assistant.<|end|><|user|>Hi<|end|><|assistant|>",
            &[200022, 3575, 553, 261, 10297, 29186, 13, 200020, 200021, 12194, 200020, 200019],
        ),
        ("  leading spaces\n\n\nnewlines\t tab", &[220, 8117, 18608, 2499, 1389, 10105, 197, 6842]),
        ("12345678 3.14159", &[7633, 19354, 4388, 220, 18, 13, 16926, 4621]),
        ("I'll can't DON'T", &[67504, 8535, 153384]),
        (
            "Привет, мир! 你好世界 こんにちは",
            &[23881, 131903, 11, 37934, 0, 220, 177519, 28428, 220, 95839],
        ),
        ("🦀 naïve café", &[4103, 99, 222, 153475, 737, 30469]),
        ("def f(x):\n    return x**2\n", &[1314, 285, 4061, 1883, 271, 622, 1215, 410, 17, 198]),
        ("a/b//c\r\n/x", &[64, 7611, 393, 66, 370, 22739]),
        ("ǅungla IJSSEL", &[131, 227, 988, 1675, 357, 18535, 56650]),
        ("\u{301}e\u{301} अनुच्छेद", &[13430, 68, 13430, 119421, 29278, 33174]),
        (
            "<|user|><|endoftext11|>Transcribe the audio clip into text.<|end|><|assistant|>",
            &[200021, 200011, 3248, 4981, 290, 11065, 19925, 1511, 2201, 13, 200020, 200019],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(PHI4.encode(text, SpecialTokens::Recognise), *expected, "{text:?}");
    }
}

/// The starter model's vocabulary as GGUF has it, but only what its golden texts can use.
fn starter() -> (Tokenizer, ChatTemplate) {
    let extract: Value = serde_json::from_str(include_str!("data/smollm2-extract.json"))
        .expect("the extract is JSON");
    let size = extract["size"].as_u64().expect("a size") as usize;
    let mut tokens: Vec<_> = (0..size).map(|id| format!("[PAD{id}]")).collect();
    let mut token_types = vec![5; size];
    for (id, text) in extract["tokens"].as_object().expect("a map") {
        let id: usize = id.parse().expect("an id");
        tokens[id] = text.as_str().expect("a text").to_owned();
        token_types[id] = 1;
    }
    for id in ids(&extract["control"]) {
        token_types[id as usize] = 3;
    }
    let merges = extract["merges"].as_array().expect("a list");
    let tokenizer = Tokenizer::from_vocabulary(Vocabulary {
        tokens,
        token_types,
        merges: merges.iter().map(|merge| merge.as_str().expect("a merge").to_owned()).collect(),
        pre: "smollm".into(),
        model: "gpt2".into(),
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        padding: Some(2),
        ..Vocabulary::default()
    })
    .expect("a valid vocabulary");
    let source = extract["chat_template"].as_str().expect("a template");
    let template = ChatTemplate::from_jinja(source, &tokenizer).expect("a valid template");
    (tokenizer, template)
}

#[test]
fn starter_ids_equal_those_of_hugging_face() {
    let (tokenizer, template) = starter();
    let golden = golden("starter.json");
    for row in golden["chat"].as_array().expect("rows") {
        let text = row["prompt"].as_str().expect("a text");
        let expected = ids(&row["prompt_ids"]);
        assert_eq!(tokenizer.encode(text, SpecialTokens::Recognise), expected, "{text:?}");
        let message = Message::new("user", row["user"].as_str().expect("a text"));
        let prompt = template.render(&[message], None, true).expect("a conversation");
        assert_eq!(prompt.to_string(), text);
        assert_eq!(tokenizer.encode_prompt(&prompt), expected);
        let continuation = tokenizer.decode(&ids(&row["continuation_ids"]), false);
        assert_eq!(continuation, row["continuation"].as_str().expect("a text"));
    }
    let text = golden["text"]["text"].as_str().expect("a text");
    assert_eq!(tokenizer.encode(text, SpecialTokens::AsText), ids(&golden["text"]["ids"]));
    assert_eq!(tokenizer.end_of_turn_ids(), [0, 2]);
}

#[test]
fn bytes_return() {
    let all: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    for bytes in [&all[..], b"", b"\xff", b"a\xf0\x9f\xa6b", b" \xe4\xbd \n\xc3", "é🦀".as_bytes()]
    {
        let encoded = PHI4.encode_bytes(bytes);
        assert_eq!(PHI4.decode_bytes(&encoded, true), bytes);
    }
    let text = "Plain text is the same either way: <|end|> 🦀";
    assert_eq!(PHI4.encode_bytes(text.as_bytes()), PHI4.encode(text, SpecialTokens::AsText));
}

/// What a file stores must load as the same tokenizer.
#[test]
fn phi4_survives_being_stored() {
    let vocabulary = PHI4.to_vocabulary(200_064);
    assert_eq!(vocabulary.tokens.len(), 200_064);
    assert_eq!(vocabulary.merges.len(), 199_742);
    assert_eq!(vocabulary.merges[..2], ["Ġ Ġ", "ĠĠ ĠĠ"]);
    assert_eq!(
        (vocabulary.tokens[199_998].as_str(), vocabulary.token_types[199_998]),
        ("[PAD199998]", 5)
    );
    assert_eq!((vocabulary.token_types[200_020], vocabulary.token_types[200_025]), (3, 4));
    let loaded = Tokenizer::from_vocabulary(vocabulary.clone()).expect("a valid vocabulary");
    assert_eq!(loaded.to_vocabulary(0), vocabulary);
    for row in golden("tokenizer.json")["with_special"].as_array().expect("rows") {
        let text = row[0].as_str().expect("a text");
        assert_eq!(loaded.encode(text, SpecialTokens::Recognise), ids(&row[1]));
    }
    assert_eq!(loaded.end_of_turn_ids(), [199_999, 200_020]);
}

/// Every token, as a word of its own, is the token: the merges are complete.
#[test]
fn every_phi4_token_is_reached_by_merging() {
    let mut reached = 0;
    for id in 0..199_998 {
        let bytes = PHI4.token_bytes(id).expect("a token");
        reached += usize::from(PHI4.encode_bytes(bytes) == [id]);
        assert_eq!(PHI4.decode_bytes(&PHI4.encode_bytes(bytes), false), bytes);
    }
    // The rest are tokens that the pre-tokeniser cuts, or that are not whole characters.
    assert!(reached > 195_000, "{reached}");
}

/// A megabyte without a cut must not take the square of its length.
#[test]
fn long_words_take_little_time() {
    for text in
        ["x".repeat(1 << 20), "ab".repeat(1 << 19), "語".repeat(1 << 18), " ".repeat(1 << 20)]
    {
        let start = std::time::Instant::now();
        let encoded = PHI4.encode(&text, SpecialTokens::AsText);
        assert_eq!(PHI4.decode(&encoded, false), text);
        assert!(start.elapsed().as_secs() < 20);
    }
}

#[test]
fn broken_vocabularies_are_refused() {
    let valid = || Vocabulary {
        tokens: vec!["a".into(), "b".into(), "ab".into()],
        merges: vec!["a b".into()],
        pre: "gpt-2".into(),
        model: "gpt2".into(),
        ..Vocabulary::default()
    };
    assert!(Tokenizer::from_vocabulary(valid()).is_ok());
    let check = |change: fn(&mut Vocabulary), message: &str| {
        let mut vocabulary = valid();
        change(&mut vocabulary);
        let error = Tokenizer::from_vocabulary(vocabulary).expect_err(message);
        assert!(error.to_string().contains(message), "{error}");
    };
    check(|v| v.model = "llama".into(), "\"llama\"");
    check(|v| v.pre = "viking".into(), "\"viking\"");
    check(|v| v.token_types = vec![1], "1 token types");
    check(|v| v.token_types = vec![1, 1, 9], "type 9");
    check(|v| v.tokens[1] = "a".into(), "are both");
    check(|v| v.tokens[1] = " ".into(), "byte-level");
    check(|v| v.tokens[1] = String::new(), "empty");
    check(|v| v.tokens[1] = "é".repeat(1 << 17), "more than");
    check(|v| v.merges.push("a c".into()), "\"c\"");
    check(|v| v.merges.push("b a".into()), "\"ba\"");
    check(|v| v.merges.push("ab".into()), "left right");
    check(|v| v.eos = Some(3), "no token");
    check(|v| v.bos = Some(u32::MAX), "no token");
}
