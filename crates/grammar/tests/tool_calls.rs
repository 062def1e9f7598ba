//! Calls of tools, as dialects write them.

mod walking;

use phial_grammar::{Allowed, AnswerForm, CallMode, Grammar, Tool, ToolCalls, ToolDialect};
use phial_text::{SpecialTokens, TokenId};
use serde_json::{Value, json};
use walking::{Taste, compiler, walk};

const TOOL_CALL: TokenId = 200_025;
const TOOL_CALL_END: TokenId = 200_026;

fn tool(name: &str, parameters: Value, strict: bool) -> Tool {
    Tool { name: name.to_owned(), parameters: Some(parameters), strict }
}

fn weather() -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 10},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city"],
        "additionalProperties": false,
    });
    tool("get_weather", parameters, true)
}

fn calls(mode: CallMode, parallel: bool, dialect: ToolDialect) -> ToolCalls {
    let clock = Tool { name: "clock".to_owned(), parameters: None, strict: false };
    ToolCalls { tools: vec![weather(), clock], mode, parallel, dialect }
}

fn grammar(calls: &ToolCalls) -> Grammar {
    compiler().1.tool_calls(calls).unwrap_or_else(|refused| panic!("{refused}"))
}

/// The calls in a text between marks; each is checked against its tool.
fn check(list: &Value) {
    for call in list.as_array().expect("a list") {
        let keys: Vec<&String> = call.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["name", "arguments"]);
        match call["name"].as_str().expect("a name") {
            "get_weather" => {
                assert!(call["arguments"]["city"].as_str().expect("a city").chars().count() <= 10);
            }
            "clock" => assert_eq!(call["arguments"], json!({})),
            other => panic!("{other}"),
        }
    }
}

fn encode(text: &str) -> Vec<TokenId> {
    compiler().0.encode(text, SpecialTokens::Recognise)
}

#[test]
fn required_calls_are_a_list_between_tokens() {
    let tokenizer = &compiler().0;
    let grammar = grammar(&calls(CallMode::Required, true, ToolDialect::phi4()));
    let mut matcher = grammar.matcher();
    let forced = matcher.forced().expect("forced tokens");
    assert_eq!(forced[0], TOOL_CALL);
    assert!("<|tool_call|>[{\"name\": \"".starts_with(&tokenizer.decode(&forced, false)));
    let mut several = 0;
    for seed in 0..12 {
        let written = walk(&grammar, Taste::Any, seed, 60, 300).expect("a text");
        assert!(written.ended, "{:?}", written.text);
        let list = written.text.strip_prefix("<|tool_call|>").expect("a beginning");
        let list = list.strip_suffix("<|/tool_call|>").expect("an end");
        let list: Value = serde_json::from_str(list).expect("JSON");
        several += usize::from(list.as_array().expect("a list").len() > 1);
        check(&list);
    }
    assert!(several > 0);
}

#[test]
fn a_named_call_is_one_of_that_tool() {
    let mode = CallMode::Named("get_weather".to_owned());
    let grammar = grammar(&calls(mode, true, ToolDialect::phi4()));
    let head = "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\":";
    let forced = grammar.matcher().forced().expect("forced tokens");
    assert_eq!(compiler().0.decode(&forced, false), head);
    let written = walk(&grammar, Taste::First(&["a", "\"", "}"]), 1, 40, 100).expect("a text");
    assert_eq!(written.text.matches("get_weather").count(), 1);
    let unknown = calls(CallMode::Named("other".to_owned()), true, ToolDialect::phi4());
    assert!(compiler().1.tool_calls(&unknown).is_err());
}

#[test]
fn a_free_model_is_bound_from_the_first_token_of_a_call() {
    let grammar = grammar(&calls(CallMode::Auto, false, ToolDialect::phi4()));
    let mut matcher = grammar.matcher();
    for token in encode("It is {\"name\": 5} cold. ") {
        assert!(matches!(matcher.allowed(), Ok(Allowed::Any)));
        assert!(matcher.may_stop() && !matcher.is_complete());
        assert_eq!(matcher.forced(), Ok(Vec::new()));
        matcher.accept(token).expect("anything");
    }
    matcher.accept(TOOL_CALL).expect("a call");
    assert!(!matcher.may_stop());
    let rest = encode("[{\"name\": \"clock\", \"arguments\": {}}]<|/tool_call|>");
    for token in rest {
        let Ok(Allowed::Only(mask)) = matcher.allowed() else { panic!("bound") };
        assert!(mask.allows(token), "{token}");
        matcher.accept(token).expect("a call");
    }
    assert!(matcher.is_complete());

    let mut matcher = grammar.matcher();
    matcher.accept(TOOL_CALL).expect("a call");
    let Ok(Allowed::Only(mask)) = matcher.allowed() else { panic!("bound") };
    assert!(!mask.allows(encode("Hello")[0]) && !mask.allows(TOOL_CALL_END));
}

#[test]
fn a_trigger_of_text_binds_too() {
    let grammar = grammar(&calls(CallMode::Auto, true, ToolDialect::hermes()));
    let follow = |text: &str| {
        let mut matcher = grammar.matcher();
        for token in encode(text) {
            if let Ok(Allowed::Only(mask)) = matcher.allowed()
                && !mask.allows(token)
            {
                return None;
            }
            matcher.accept(token).ok()?;
        }
        Some((matcher.may_stop(), matcher.is_complete()))
    };
    let call = "<tool_call>\n{\"name\": \"clock\", \"arguments\": {}}\n</tool_call>";
    assert_eq!(follow("It is <tool> {\"name\": 5} cold."), Some((true, false)));
    assert_eq!(follow(call).map(|it| it.0), Some(true));
    assert_eq!(follow(&format!("Let me see. {call}")).map(|it| it.0), Some(true));
    assert_eq!(follow(&format!("{call}\n{call}")).map(|it| it.0), Some(true));
    assert_eq!(follow("<tool_call>\n{\"name\": \"other\""), None);
    assert_eq!(follow("<tool_call>\nHello"), None);
    assert_eq!(follow(&format!("{call} and text")), None);
}

#[test]
fn one_call_is_one_call() {
    let grammar = grammar(&calls(CallMode::Required, false, ToolDialect::phi4()));
    for seed in 0..4 {
        let written = walk(&grammar, Taste::First(&["}", ","]), seed, 60, 200).expect("a text");
        assert_eq!(written.text.matches("\"arguments\"").count(), 1, "{:?}", written.text);
    }
}

#[test]
fn what_strict_demands_is_enforced_or_refused() {
    let odd =
        json!({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}});
    let with = |strict, mode| ToolCalls {
        tools: vec![tool("odd", odd.clone(), strict)],
        ..calls(mode, true, ToolDialect::phi4())
    };
    for refused in [with(true, CallMode::Auto), with(false, CallMode::Required)] {
        let refused = compiler().1.tool_calls(&refused).expect_err("refused");
        assert_eq!(refused.tool(), Some("odd"));
        assert_eq!(refused.keyword(), Some("uniqueItems"));
        assert_eq!(refused.pointer(), "/properties/a/uniqueItems");
    }
    let open = grammar(&with(false, CallMode::Auto));
    assert_eq!(open.left_open().len(), 1);
    assert!(grammar(&calls(CallMode::Auto, true, ToolDialect::phi4())).left_open().is_empty());
}

#[test]
fn names_are_text_whatever_they_spell() {
    let name = "<|end|> \"quoted\" \\ é";
    let calls = ToolCalls {
        tools: vec![tool(name, json!({"type": "object", "additionalProperties": false}), true)],
        ..calls(CallMode::Required, false, ToolDialect::phi4())
    };
    let grammar = grammar(&calls);
    let written = walk(&grammar, Taste::Any, 0, 60, 60).expect("a text");
    let list = written.text.replace("<|tool_call|>", "").replace("<|/tool_call|>", "");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list[0]["name"], name);
}

#[test]
fn mistakes_are_named() {
    let base = || calls(CallMode::Auto, true, ToolDialect::phi4());
    let none = ToolCalls { tools: Vec::new(), ..base() };
    let twice = ToolCalls { tools: vec![weather(), weather()], ..base() };
    let control = ToolCalls { tools: vec![tool("a\nb", json!({}), false)], ..base() };
    let many = ToolCalls {
        tools: (0..200).map(|index| tool(&format!("t{index}"), json!({}), false)).collect(),
        ..base()
    };
    let mut dialect = ToolDialect::phi4();
    dialect.trigger = "elsewhere".to_owned();
    for (calls, what) in [
        (none, "no tools"),
        (twice, "two tools"),
        (control, "control characters"),
        (many, "the limit is 128"),
        (calls(CallMode::Auto, true, dialect), "trigger"),
    ] {
        let refused = compiler().1.tool_calls(&calls).expect_err(what);
        assert!(refused.to_string().contains(what), "{refused}");
    }
}

/// A text is calls from its beginning, or the form, and nothing of either where it is the other.
#[test]
fn an_answer_has_its_form_or_is_calls() {
    let tokenizer = &compiler().0;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0,
        "maximum": 99}}, "required": ["n"], "additionalProperties": false});
    let forms = [
        AnswerForm::JsonSchema(schema),
        AnswerForm::JsonObject,
        AnswerForm::Regex("[0-9]{2}".to_owned()),
        AnswerForm::Choice(vec!["yes".to_owned(), "no".to_owned()]),
        AnswerForm::Lark("start: calls\ncalls: \"a\" | \"b\"".to_owned()),
    ];
    for dialect in [ToolDialect::phi4(), ToolDialect::hermes()] {
        let open = tokenizer.encode(&dialect.trigger, SpecialTokens::Recognise)[0];
        let calls = calls(CallMode::Auto, true, dialect);
        for form in &forms {
            let grammar = compiler().1.answer_or_calls(form, &calls).expect("a grammar");
            let mut matcher = grammar.matcher();
            assert!(matcher.forced().expect("tokens").is_empty());
            let Ok(Allowed::Only(mask)) = matcher.allowed() else { panic!("all is constrained") };
            assert!(mask.allows(open), "{form:?}");
            assert!(!mask.allows(encode("Hello")[0]));
            let mut kinds = [0, 0];
            for seed in 0..8 {
                let first = [Taste::First(&["{", "1", "y", "a"]), Taste::Any][seed as usize % 2];
                let written = walk(&grammar, first, seed, 12, 300).expect("a text");
                if !written.ended {
                    continue;
                }
                let text = written.text.as_str();
                let called = text.starts_with(&calls.dialect.trigger);
                kinds[usize::from(called)] += 1;
                let right = called
                    || match form {
                        AnswerForm::JsonSchema(_) => {
                            let value: Value = serde_json::from_str(text).expect("JSON");
                            value["n"].as_u64().is_some_and(|number| number <= 99)
                        }
                        AnswerForm::JsonObject => {
                            serde_json::from_str::<Value>(text).expect("JSON").is_object()
                        }
                        AnswerForm::Regex(_) => text.len() == 2 && text.parse::<u8>().is_ok(),
                        AnswerForm::Choice(choices) => choices.iter().any(|one| one == text),
                        AnswerForm::Lark(_) => matches!(text, "a" | "b"),
                    };
                assert!(right, "{form:?}: {text:?}");
            }
            assert!(kinds[0] > 0, "{form:?}: {kinds:?}");
        }
        let bad = AnswerForm::JsonSchema(json!({"not": {}}));
        let refused = compiler().1.answer_or_calls(&bad, &calls).expect_err("not enforced");
        assert_eq!((refused.tool(), refused.keyword()), (None, Some("not")));
    }
}
