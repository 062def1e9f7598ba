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
