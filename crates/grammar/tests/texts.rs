//! Regular expressions, choices and Lark, and what is hostile.

mod walking;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use walking::{Taste, compiler, walk};

#[test]
fn expressions_match_as_a_whole() {
    let (_, compiler) = compiler();
    let grammar = compiler.regex("[a-c]{2,4}(/|-)\\d+").expect("a grammar");
    for seed in 0..6 {
        let written = walk(&grammar, Taste::Any, seed, 6, 20).expect("a text");
        let (head, tail) = written.text.split_once(['/', '-']).expect("a separator");
        assert!(
            (2..=4).contains(&head.len()) && head.bytes().all(|byte| (b'a'..=b'c').contains(&byte))
        );
        assert!(!tail.is_empty() && tail.chars().all(char::is_numeric));
    }
    for refused in ["(", "a(?=b)", "\\bx"] {
        assert!(compiler.regex(refused).is_err(), "{refused}");
    }
    assert!(compiler.regex(&"a".repeat(100_000)).is_err());
}

#[test]
fn choices_are_texts_not_expressions() {
    let (_, compiler) = compiler();
    let choices = ["a.b", "(x", "new\nline", "slash/\\", "é\"🦀"].map(str::to_owned);
    let grammar = compiler.choice(&choices).expect("a grammar");
    for seed in 0..10 {
        let written = walk(&grammar, Taste::Any, seed, 10, 10).expect("a text");
        assert!(choices.contains(&written.text), "{:?}", written.text);
    }
    assert!(compiler.choice(&[]).is_err());
    assert!(compiler.choice(&[String::new()]).is_err());
    assert!(compiler.choice(&vec!["a".to_owned(); 5000]).is_err());
}

#[test]
fn grammars_are_lark_without_back_doors() {
    let (_, compiler) = compiler();
    let sums = "start: number (\" + \" number)*\nnumber: /[0-9]{1,3}/\n";
    let grammar = compiler.lark(sums).expect("a grammar");
    let written = walk(&grammar, Taste::Any, 3, 10, 20).expect("a text");
    assert!(written.text.split(" + ").all(|number| number.parse::<u32>().is_ok()));
    for refused in [
        "root ::= \"a\"",
        "start: other",
        "start: %json {\"not\": {}}",
        "start: a\na: % json {}",
        "%llguidance {\"no_forcing\": true}\nstart: \"a\"",
        "start[temperature=0.5]: /a/",
        "",
    ] {
        assert!(compiler.lark(refused).is_err(), "{refused}");
    }
    assert!(compiler.lark(&"# comment\n".repeat(20_000)).is_err());
}

#[test]
fn costly_schemas_end_soon() {
    let (_, compiler) = compiler();
    let mut nested = json!({"type": "integer"});
    for _ in 0..200 {
        nested = json!({"type": "array", "items": nested});
    }
    let options = |count: usize| (0..count).map(|at| json!({"const": at})).collect::<Vec<_>>();
    let chain: Map<String, Value> = (0..3000)
        .map(|at| (format!("d{at}"), json!({"items": {"$ref": format!("#/$defs/d{}", at + 1)}})))
        .chain([("d3000".to_owned(), json!(true))])
        .collect();
    let hostile = [
        nested,
        json!({"allOf": (0..30).map(|_| json!({"anyOf": options(30)})).collect::<Vec<_>>()}),
        json!({"$ref": "#/$defs/d0", "$defs": chain}),
        json!({"type": "string", "pattern": "(a*)*(b*)*(.*x.{40})*$", "minLength": 50}),
        json!({"type": "string", "pattern": "((a{1,99}){1,99}){1,99}"}),
        json!({"type": "string", "pattern": "(.*a){30}.{200}(b|.){100}"}),
        json!({"enum": options(20_000)}),
        json!({"type": "array", "minItems": 100_000, "maxItems": 100_000}),
        json!({"patternProperties": {"^(a|b)*c{1,50}$": {}, "^(b|a)*d{1,50}$": {}}}),
        json!({"properties": {"a".repeat(300_000): {}}}),
        json!({"type": "object", "properties": (0..4000).map(|at| (format!("p{at}"), json!({"type": "string", "pattern": format!("^{at}[a-z]+$")}))).collect::<Map<_, _>>()}),
    ];
    for schema in hostile {
        let start = std::time::Instant::now();
        if let Ok(grammar) = compiler.json_schema(&schema) {
            // Giving up is fine, hanging is not.
            let _ = walk(&grammar, Taste::Any, 1, 20, 20);
        }
        let text = schema.to_string();
        assert!(
            start.elapsed().as_secs() < 60,
            "{:?}: {}",
            start.elapsed(),
            &text[..200.min(text.len())]
        );
    }
}

/// Values that look like schemas, right and wrong.
fn schema_like() -> impl Strategy<Value = Value> {
    let keyword = prop::sample::select(vec![
        "type",
        "items",
        "prefixItems",
        "properties",
        "required",
        "additionalProperties",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "patternProperties",
        "minProperties",
        "maxProperties",
        "not",
        "a",
        "x-guidance",
    ]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (-3i64..30).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "object",
            "array",
            "string",
            "integer",
            "number",
            "#",
            "#/$defs/a",
            "#/items",
            "^a+$",
            "(",
            "date",
            "uri",
            "",
            "a",
        ])
        .prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keyword.clone(), inner), 0..6).prop_map(|entries| {
                Value::Object(
                    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                )
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_schema_breaks_the_compiler(schema in schema_like()) {
        let (_, compiler) = compiler();
        match compiler.json_schema(&schema) {
            Ok(grammar) => {
                let _ = walk(&grammar, Taste::Any, 5, 8, 8);
            }
            Err(refused) => {
                let text = refused.to_string();
                prop_assert!(!text.contains('\n') && !text.contains("panic"), "{text}");
            }
        }
    }
}
