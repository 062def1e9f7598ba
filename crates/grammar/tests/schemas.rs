//! Every schema is enforced or refused: text is drawn from what is allowed and held against a
//! validator that knows nothing of this crate.

mod walking;

use std::time::Instant;

use jsonschema::Validator;
use serde_json::{Value, json};
use walking::{Taste, compiler, walk};

fn corpus(part: &str) -> Vec<Value> {
    let corpus: Value = serde_json::from_str(include_str!("data/schemas.json")).expect("JSON");
    corpus[part].as_array().expect("a list").clone()
}

fn validator(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::options().should_validate_formats(true);
    options.build(schema).map_err(|error| format!("{schema} is no schema: {error}"))
}

/// Writes texts of all tastes and checks each; gives how many came to an end, or what is wrong.
fn check(schema: &Value, seeds: std::ops::Range<u64>) -> Result<usize, String> {
    let (_, compiler) = compiler();
    let start = Instant::now();
    let grammar = compiler.json_schema(schema).map_err(|refused| format!("{schema}: {refused}"))?;
    if start.elapsed().as_secs() > 20 {
        return Err(format!("{schema} took {:?}", start.elapsed()));
    }
    let validator = validator(schema)?;
    let mut ended = 0;
    let tastes = [
        (Taste::Any, 40),
        (Taste::First(&["{", "[", "\"", "9", "a"]), 60),
        (Taste::First(&[" ", "\n", "\t", "  ", "\\", "}"]), 60),
        (Taste::First(&["\"", ",", "-", "0", ".", "5"]), 60),
    ];
    for seed in seeds {
        for (taste, wild) in tastes {
            let written = walk(&grammar, taste, seed, wild, 400)
                .map_err(|error| format!("{schema}: {error}"))?;
            if !written.ended {
                continue;
            }
            ended += 1;
            let value: Value = serde_json::from_str(&written.text)
                .map_err(|error| format!("{schema}: {:?}: {error}", written.text))?;
            validator
                .validate(&value)
                .map_err(|error| format!("{schema}: {:?}: {error}", written.text))?;
        }
    }
    Ok(ended)
}

#[test]
fn every_enforced_schema_is_obeyed() {
    let schemas = corpus("enforced");
    assert!(schemas.len() + corpus("refused").len() >= 300);
    let (mut wrong, mut endless) = (Vec::new(), Vec::new());
    for schema in &schemas {
        match check(schema, 0..2) {
            Ok(0) => endless.push(schema),
            Ok(_) => {}
            Err(error) => wrong.push(error),
        }
    }
    assert!(endless.is_empty(), "without a whole text, so never checked: {endless:#?}");
    assert!(wrong.is_empty(), "{} are wrong: {wrong:#?}", wrong.len());
}

#[test]
fn every_other_schema_is_refused_by_name() {
    let (_, compiler) = compiler();
    let mut wrong = Vec::new();
    for case in corpus("refused") {
        let (schema, keyword, pointer) = (&case[0], &case[1], &case[2]);
        let Err(refused) = compiler.json_schema(schema) else {
            wrong.push(format!("{schema} was taken"));
            continue;
        };
        let is_keyword = |keyword| refused.keyword().unwrap_or_default() == keyword;
        let is_right = keyword.as_str().is_none_or(is_keyword)
            && pointer.as_str().is_none_or(|pointer| refused.pointer() == pointer)
            && !refused.reason().is_empty()
            && !refused.to_string().contains('\n');
        if !is_right {
            wrong.push(format!("{schema}: {refused}"));
        }
    }
    assert!(wrong.is_empty(), "{} are wrong: {wrong:#?}", wrong.len());
}

#[test]
fn bounds_of_numbers_hold() {
    let mut random = walking::Random(7);
    for round in 0..60u64 {
        let mut number = |scale: i64| {
            let digits = random.below(4) as i32;
            let whole = random.below(2 * scale as usize) as i64 - scale;
            whole as f64 / 10f64.powi(digits)
        };
        let (one, two) = (number(1000), number(20));
        let (low, high) = (one.min(two), one.max(two));
        let lower = ["minimum", "exclusiveMinimum"][random.below(2)];
        let upper = ["maximum", "exclusiveMaximum"][random.below(2)];
        let kind = ["number", "integer"][usize::from(round % 3 == 0)];
        let schema = match round % 4 {
            0 => json!({"type": kind, lower: low}),
            1 => json!({"type": kind, upper: high}),
            _ => json!({"type": kind, lower: low, upper: high}),
        };
        let (_, compiler) = compiler();
        if compiler.json_schema(&schema).is_ok() {
            check(&schema, 0..2).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn white_space_of_json_objects_is_bounded() {
    let (_, compiler) = compiler();
    let grammar = compiler.json_object().expect("a grammar");
    for seed in 0..4 {
        let blanks: &[&str] = &["        ", "    ", "\n\n", "\n", "\t", " ", "{", "\"", ":"];
        let written = walk(&grammar, Taste::First(blanks), seed, 300, 400).expect("a text");
        let mut longest = 0;
        let (mut run, mut in_string, mut escaped) = (0, false, false);
        for byte in written.text.bytes() {
            match byte {
                b'"' if !escaped => in_string = !in_string,
                b' ' | b'\n' | b'\r' | b'\t' if !in_string => run += 1,
                _ => run = 0,
            }
            escaped = in_string && byte == b'\\' && !escaped;
            longest = longest.max(run);
        }
        assert!(longest <= 50, "{longest} blanks in {:?}", written.text);
        if written.ended {
            let value: Value = serde_json::from_str(&written.text).expect("JSON");
            assert!(value.is_object());
        }
    }
}

/// Numbers that JSON can write and readers take for infinity, or not at all.
#[test]
fn numbers_of_any_value_are_finite() {
    let (_, compiler) = compiler();
    let any = [
        json!({}),
        json!(true),
        json!({"type": "object"}),
        json!({"type": "array"}),
        json!({"properties": {"a": {}, "b": {"description": "anything"}}}),
        json!({"type": "object", "additionalProperties": true, "required": ["a"]}),
        json!({"type": ["object", "number"], "patternProperties": {"^x": {"items": {}}}}),
        json!({"anyOf": [{"type": "array", "prefixItems": [{}]}, {"type": "object"}]}),
        json!({"minimum": 3}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}),
    ];
    let mut grammars: Vec<_> = any.iter().map(|s| compiler.json_schema(s).expect("one")).collect();
    grammars.push(compiler.json_object().expect("a grammar"));
    let tastes = [&["e", "E", "9", "{", "\"", ":"], &["-", "9", "e", "[", "{\"", ","]];
    for (index, grammar) in grammars.iter().enumerate() {
        for (seed, taste) in (0..4).flat_map(|seed| tastes.map(|taste| (seed, taste))) {
            let written = walk(grammar, Taste::First(taste), seed, 60, 400).expect("a text");
            if written.ended {
                let read = serde_json::from_str::<Value>(&written.text);
                assert!(read.is_ok(), "{index}: {:?}: {read:?}", written.text);
            }
        }
        for number in ["1e400", "-1E5", &"9".repeat(40)] {
            for before in ["", "[", "{\"a\": ", "{\"a\": [", "{\"x\": [", "[["] {
                assert!(!takes(grammar, &format!("{before}{number}")), "{index}: {before}{number}");
            }
        }
    }
}

/// Whether a text of the grammar may begin so.
fn takes(grammar: &phial_grammar::Grammar, text: &str) -> bool {
    let mut matcher = grammar.matcher();
    let (tokenizer, _) = compiler();
    text.bytes().all(|byte| {
        let one = [byte];
        let text = str::from_utf8(&one).expect("ASCII");
        let token = tokenizer.encode(text, phial_text::SpecialTokens::AsText)[0];
        let allowed = match matcher.allowed() {
            Ok(phial_grammar::Allowed::Only(mask)) => mask.allows(token),
            _ => false,
        };
        allowed && matcher.accept(token).is_ok()
    })
}

/// No text of these ever ends. They are refused, given up, or given piece by piece to whoever counts
/// tokens; none keeps anybody busy.
#[test]
fn endless_texts_keep_nobody_busy() {
    let (_, compiler) = compiler();
    let forced = [
        json!({"$ref": "#"}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"],
            "additionalProperties": false}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"},
            "minItems": 1, "maxItems": 1}, "b": {"$ref": "#/$defs/a"}}}),
        json!({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "object",
            "properties": {"left": {"$ref": "#/$defs/a"}, "right": {"$ref": "#/$defs/a"}},
            "required": ["left", "right"]}}}),
    ];
    for schema in forced {
        let start = Instant::now();
        if let Ok(grammar) = compiler.json_schema(&schema)
            && let Ok(written) = walk(&grammar, Taste::Any, 1, 50, 50)
        {
            assert!(!written.ended, "{schema}: {:?}", written.text);
        }
        assert!(start.elapsed().as_secs() < 30, "{schema}: {:?}", start.elapsed());
    }
    let chosen = json!({"type": "object", "properties": {"on": {"type": "boolean"},
        "next": {"$ref": "#"}}, "required": ["on", "next"], "additionalProperties": false});
    let grammar = compiler.json_schema(&chosen).expect("a grammar");
    for seed in 0..4 {
        let written = walk(&grammar, Taste::Any, seed, 60, 60).expect("a text");
        assert!(!written.ended);
        assert!(written.text.matches("\"next\"").count() > 5, "{:?}", written.text);
    }
}
