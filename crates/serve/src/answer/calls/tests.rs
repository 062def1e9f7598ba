//! Every way to write a call, and what is none.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tools::{Tool, ToolChoice, Tools};
use super::{CallReader, Marker, Output};

/// What a reader is given.
#[derive(Clone, Debug)]
enum Given<'a> {
    Text(&'a str),
    Token(Marker),
}

use Given::{Text, Token};

const OPEN: Given<'_> = Token(Marker::Open);
const CLOSE: Given<'_> = Token(Marker::Close);

fn tools() -> Tools {
    let tool = |name: &str, parameters| Tool {
        name: name.to_owned(),
        description: None,
        parameters,
        strict: false,
    };
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    Tools {
        list: vec![tool("get_weather", Some(city)), tool("now", None), tool("add", None)],
        ..Tools::default()
    }
}

/// What was read, put together again.
#[derive(Debug, Default, PartialEq)]
struct Read {
    content: String,
    /// Name and arguments.
    calls: Vec<(String, String)>,
}

/// Reads; checks what must always hold.
fn read(mut reader: CallReader, given: &[Given<'_>], cut: bool) -> Read {
    let mut outputs = Vec::new();
    let mut length = 0;
    for given in given {
        outputs.extend(match given {
            Text(text) => {
                length += text.len();
                reader.push(text)
            }
            Token(marker) => {
                length += 5;
                reader.marker(*marker, 5)
            }
        });
    }
    outputs.extend(reader.finish(cut));
    let mut read = Read::default();
    let mut open = false;
    for output in outputs {
        match output {
            Output::Text(text) => {
                assert!(!text.is_empty());
                length -= text.len();
                read.content.push_str(&text);
            }
            Output::Markup(bytes) => {
                assert!(bytes > 0);
                length -= bytes;
            }
            Output::Begin(name) => {
                assert!(!std::mem::replace(&mut open, true), "calls within calls");
                read.calls.push((name, String::new()));
            }
            Output::Arguments(text) => {
                assert!(open && !text.is_empty());
                read.calls.last_mut().expect("a call").1.push_str(&text);
            }
            Output::End => assert!(std::mem::replace(&mut open, false), "no call to end"),
        }
    }
    assert!(!open, "every call ends");
    assert_eq!(length, 0, "every byte is told");
    read
}

fn check(given: &[Given<'_>], content: &str, calls: &[(&str, Value)]) {
    let read = read(CallReader::new(&tools()), given, false);
    assert_eq!(read.content, content, "{given:?}");
    let got: Vec<(&str, Value)> = read
        .calls
        .iter()
        .map(|(name, text)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| panic!("{given:?}: {text}"));
            (name.as_str(), value)
        })
        .collect();
    assert_eq!(got, calls, "{given:?}");
}

fn paris() -> (&'static str, Value) {
    ("get_weather", json!({"city": "Paris"}))
}

const PARIS: &str = r#"{"name": "get_weather", "arguments": {"city": "Paris"}}"#;

#[test]
fn one_call_in_every_dress() {
    let list = format!("[{PARIS}]");
    let nested = format!(r#"{{"type": "function", "function": {PARIS}}}"#);
    let nested_list = format!(r#"[{{"id": "x", "type": "function", "function": {PARIS}}}]"#);
    let bodies = [
        PARIS.to_owned(),
        list,
        nested,
        nested_list,
        format!("\n {PARIS}\n"),
        format!("[\n  {PARIS}\n]"),
        r#"{"arguments": {"city": "Paris"}, "name": "get_weather"}"#.to_owned(),
        r#"{"name": "get_weather", "parameters": {"city": "Paris"}}"#.to_owned(),
        r#"{"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}"#.to_owned(),
        r#"[{"name": "get_weather", "parameters": "{\"city\": \"Paris\"}"}]"#.to_owned(),
        "{'name': 'get_weather', 'arguments': {'city': 'Paris'}}".to_owned(),
        "[{'name': 'get_weather', 'arguments': \"{'city': 'Paris'}\"}]".to_owned(),
        r#"{"function": "get_weather", "arguments": {"city": "Paris"}}"#.to_owned(),
        r#"{name: "get_weather", arguments: {city: "Paris",},}"#.to_owned(),
        // Brackets forgotten, and too many.
        r#"[{"name": "get_weather", "arguments": {"city": "Paris"}]"#.to_owned(),
        r#"[{"name": "get_weather", "arguments": {"city": "Paris"]"#.to_owned(),
        format!("[{PARIS}"),
        format!("{PARIS}}}]"),
    ];
    for body in &bodies {
        let fenced = format!("```json\n{body}\n```");
        let spelt = format!("<|tool_call|>{body}<|/tool_call|>");
        let hermes = format!("<tool_call>\n{body}\n</tool_call>");
        let open = format!("<|tool_call|>{body}");
        let in_fence = format!("<|tool_call|>```json\n{body}\n```<|/tool_call|>");
        let calls = [paris()];
        for text in [body, &fenced, &spelt, &hermes, &open, &in_fence] {
            check(&[Text(text)], "", &calls);
        }
        check(&[OPEN, Text(body), CLOSE], "", &calls);
        check(&[OPEN, Text(body)], "", &calls);
        check(&[Text(body), CLOSE], "", &calls);
        check(&[Text("Let me see.\n\n"), OPEN, Text(body), CLOSE], "Let me see.", &calls);
        check(&[Text(&format!("Let me see: {body}"))], "Let me see:", &calls);
        check(&[Text(&format!("{hermes}\nThere.\n"))], "There.\n", &calls);
        check(&[OPEN, Text(body), CLOSE, Text(" There.")], "There.", &calls);
        check(&[OPEN, Text(&format!("I call {body} now"))], "I callnow", &calls);
    }
    for body in [&bodies[1], &bodies[3], &bodies[5]] {
        check(&[Text(&format!("functools{body}"))], "", &[paris()]);
        check(&[Text(&format!("[TOOL_CALLS]{body}"))], "", &[paris()]);
        check(&[Text(&format!("Sure. functools{body}"))], "Sure.", &[paris()]);
    }
}

#[test]
fn several_calls_in_every_dress() {
    let add = r#"{"name": "add", "arguments": {"a": [1, [2]], "b": "]}"}}"#;
    let calls = [paris(), ("add", json!({"a": [1, [2]], "b": "]}"})), paris()];
    for text in [
        format!("[{PARIS}, {add}, {PARIS}]"),
        format!("{PARIS}, {add}, {PARIS}"),
        format!("{PARIS}\n{add}\n{PARIS}"),
        format!("{PARIS}{add};{PARIS}"),
        format!("<tool_call>{PARIS}</tool_call>\n<tool_call>{add}</tool_call><tool_call>{PARIS}"),
        format!("<|tool_call|>[{PARIS}, {add}]<|/tool_call|><|tool_call|>{PARIS}<|/tool_call|>"),
        format!("functools[{PARIS}, {add}, {PARIS}]"),
        format!("```json\n[{PARIS}]\n```\n```json\n[{add}, {PARIS}]\n```"),
        format!("[{PARIS}, {add}]\n\n{PARIS}"),
    ] {
        check(&[Text(&text)], "", &calls);
        if !text.starts_with("functools") {
            check(&[OPEN, Text(&text), CLOSE], "", &calls);
        }
    }
    let first = format!("[{PARIS}, {add}]");
    check(&[OPEN, Text(&first), CLOSE, OPEN, Text(PARIS), CLOSE], "", &calls);
    check(&[OPEN, Text(&first), CLOSE, Text("\nand\n"), OPEN, Text(PARIS), CLOSE], "and", &calls);
}

#[test]
fn only_the_first_call_counts_where_one_is_wanted() {
    let tools = Tools { parallel: false, ..tools() };
    let text = format!("[{PARIS}, {PARIS}]\nDone.");
    let read = read(CallReader::new(&tools), &[OPEN, Text(&text), CLOSE], false);
    assert_eq!(read.calls.len(), 1);
    assert_eq!(read.content, "Done.");
}

#[test]
fn arguments_may_be_missing_behind_a_marker() {
    for text in [
        r#"{"name": "now", "arguments": {}}"#,
        r#"{"name": "now", "arguments": null}"#,
        r#"{"name": "now", "arguments": ""}"#,
        r#"{"name": "now", "parameters": {}}"#,
    ] {
        check(&[Text(text)], "", &[("now", json!({}))]);
    }
    let bare = r#"{"name": "now"}"#;
    check(&[OPEN, Text(bare), CLOSE], "", &[("now", json!({}))]);
    check(&[Text(bare)], bare, &[]);
    // Keys beside those of a call.
    let more = r#"{"name": "now", "arguments": {}, "type": "dict", "description": "x", "k": [{}]}"#;
    check(&[OPEN, Text(more), CLOSE], "", &[("now", json!({}))]);
}

#[test]
fn what_is_no_call_stays_as_it_is() {
    for text in [
        "",
        " \n",
        "Hello.",
        "a < b, [1] and {x}; `{\"name\": \"now\"}`",
        r#"{"name": "Ada", "arguments": {"city": "Paris"}}"#,
        r#"{"name": "now", "city": "Paris"}"#,
        r#"[{"name": "Ada"}, {"name": "now", "arguments": {}}]"#,
        r#"{"tools": [
          {"name": "now", "arguments": {}}
        ]}"#,
        r#"{"name": "get_weather", "arguments": [1]}"#,
        r#"{"name": "get_weather", "arguments": "Paris"}"#,
        r#"{"name": ["get_weather"], "arguments": {}}"#,
        r#"The call `{"name": "now", "arguments": {}}` tells the time."#,
        r#"f({"name": "now", "arguments": {}})"#,
        "```python\nprint({})\n```\n",
        "```json\n{\"a\": 1}\n```",
        "functools.reduce([1, 2])",
        "<tool_cal",
        "<|tool_call|> is the token that begins a call.",
        "It ends with </tool_call>.",
        "[TOOL_CALLS] and [TOOLS]",
        "[",
        "{\"",
        r#"{"name": "get_weather", "#,
        "{ int x;\n\n}",
        "interval [0, 1)\n\nNext: {",
        // The description of the function instead of a call.
        r#"{"name": "get_weather", "description": "Weather", "parameters": {"city": {"type": "str"}}}"#,
        r#"{"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}"#,
    ] {
        check(&[Text(text)], text, &[]);
        let callable_none = Tools { choice: ToolChoice::None, ..tools() };
        assert_eq!(read(CallReader::new(&callable_none), &[Text(text)], true).content, text);
    }
    let none = Tools { choice: ToolChoice::None, ..tools() };
    assert_eq!(read(CallReader::new(&none), &[Text(PARIS)], false).content, PARIS);
    let named = Tools { choice: ToolChoice::Named("now".into()), ..tools() };
    assert_eq!(read(CallReader::new(&named), &[Text(PARIS)], false).content, PARIS);
}

#[test]
fn after_an_empty_line_calls_are_looked_for_again() {
    let text = format!("interval [0, 1)\n\n{PARIS}");
    check(&[Text(&text)], "interval [0, 1)\n\n", &[paris()]);
}

#[test]
fn marker_tokens_are_never_content() {
    check(&[OPEN, Text("I cannot."), CLOSE], "I cannot.", &[]);
    check(&[Text("a "), CLOSE, Text("b")], "ab", &[]);
    check(&[OPEN, OPEN, CLOSE], "", &[]);
    let unknown = r#"[{"name": "launch", "arguments": {}}]"#;
    check(&[OPEN, Text(unknown), CLOSE], unknown, &[]);
    let mixed = format!(r#"{{"name": "launch", "arguments": {{}}}} {PARIS}"#);
    check(&[OPEN, Text(&mixed)], r#"{"name": "launch", "arguments": {}}"#, &[paris()]);
}

#[test]
fn cut_answers_give_what_there_was() {
    let cut = |given: &[Given<'_>]| read(CallReader::new(&tools()), given, true);
    let half = r#"{"name": "get_weather", "arguments": {"city": "Par"#;
    for given in [&[OPEN, Text(half)][..], &[Text(half)]] {
        let read = cut(given);
        assert_eq!(read.content, "");
        assert_eq!(read.calls, [("get_weather".to_owned(), r#"{"city":"Par"#.to_owned())]);
    }
    for given in [
        &[OPEN][..],
        &[OPEN, Text("[")],
        &[OPEN, Text("[{\"na")],
        &[OPEN, Text("[{\"name\": \"get_wea")],
        &[OPEN, Text("[{\"name\": \"get_weather\", \"argu")],
        &[Text("<|tool_call|>[{\"name\": \"get_wea")],
    ] {
        assert_eq!(cut(given), Read::default(), "{given:?}");
    }
    let read = cut(&[OPEN, Text(PARIS), Text(", {\"name\": \"get")]);
    assert_eq!((read.content.as_str(), read.calls.len()), ("", 1));
}

#[test]
fn a_call_that_breaks_off_is_not_completed() {
    for text in [
        r#"{"name": "get_weather", "arguments": {"city" "Paris"}}"#,
        r#"{"name": "get_weather", "arguments": {"city": Paris}}"#,
        r#"{"name": "get_weather", "arguments": {"city": "Par"#,
    ] {
        let read = read(CallReader::new(&tools()), &[OPEN, Text(text)], false);
        assert_eq!(read.content, "");
        assert_eq!(read.calls.len(), 1);
        assert!(serde_json::from_str::<Value>(&read.calls[0].1).is_err());
    }
}

#[test]
fn arguments_come_as_soon_as_they_are_certain() {
    let mut reader = CallReader::new(&tools());
    assert_eq!(reader.push(r#"[{"name": "get_wea"#), []);
    assert_eq!(reader.push(r#"ther", "arguments""#), []);
    let outputs = reader.push(r#": {"city""#);
    assert_eq!(outputs[0], Output::Begin("get_weather".into()));
    let said = |outputs: Vec<Output>| -> String {
        let text = |output| match output {
            Output::Arguments(text) => Some(text),
            _ => None,
        };
        outputs.into_iter().filter_map(text).collect()
    };
    assert_eq!(said(outputs), r#"{"city":"#.trim_end_matches(':').to_owned() + ":");
    assert_eq!(said(reader.push(r#": "Pa"#)), "\"Pa");
    assert_eq!(said(reader.push(r#"ris\u00e"#)), "ris");
    assert_eq!(said(reader.push(r#"9"}"#)), "é\"}");
    assert_eq!(reader.calls(), 1);
}

/// Pieces that mean something in one dialect or another.
const SCRAPS: &[&str] = &[
    "<|tool_call|>",
    "<|/tool_call|>",
    "<tool_call>",
    "</tool_call>",
    "functools",
    "[TOOL_CALLS]",
    "```",
    "json\n",
    "`",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ":",
    ";",
    "\"",
    "'",
    "\\",
    "\n",
    " ",
    "\n\n",
    "name",
    "\"name\": ",
    "arguments",
    "\"arguments\": {",
    "\"parameters\": ",
    "function",
    "\"get_weather\"",
    "now",
    "'add'",
    "\"city\": \"Paris\"",
    "null",
    "None",
    "12",
    "-",
    "<",
    "é",
    "🦀",
    "text",
    "\\u00e9",
    "description",
    r#"{"name": "get_weather", "arguments": {"city": "Paris"}}"#,
    r#"{"name": "now", "arguments": "{}"}"#,
    r#"{'name': 'add', 'parameters': {'a': (1, None)}}"#,
];

fn scraps() -> impl Strategy<Value = Vec<Option<&'static str>>> {
    // None is a marker token.
    let scrap = prop_oneof![9 => prop::sample::select(SCRAPS).prop_map(Some), 1 => Just(None)];
    prop::collection::vec(scrap, 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn division_into_pieces_makes_no_difference(
        scraps in scraps(),
        sizes in prop::collection::vec(1usize..9, 1..40),
        cut: bool,
        parallel: bool,
    ) {
        let tools = Tools { parallel, ..tools() };
        let mut joined: Vec<Result<String, Marker>> = Vec::new();
        for (index, scrap) in scraps.iter().enumerate() {
            match (joined.last_mut(), scrap) {
                (Some(Ok(text)), Some(scrap)) => text.push_str(scrap),
                (_, Some(scrap)) => joined.push(Ok((*scrap).to_owned())),
                (_, None) if index % 2 == 0 => joined.push(Err(Marker::Open)),
                (_, None) => joined.push(Err(Marker::Close)),
            }
        }
        let whole: Vec<Given<'_>> = joined
            .iter()
            .map(|part| match part {
                Ok(text) => Text(text),
                Err(marker) => Token(*marker),
            })
            .collect();
        let mut sizes = sizes.iter().cycle();
        let mut divided = Vec::new();
        for part in &joined {
            match part {
                Err(marker) => divided.push(Token(*marker)),
                Ok(text) => {
                    let mut rest = text.as_str();
                    while !rest.is_empty() {
                        let mut size = (*sizes.next().expect("a cycle")).min(rest.len());
                        while !rest.is_char_boundary(size) {
                            size += 1;
                        }
                        let (piece, after) = rest.split_at(size);
                        divided.push(Text(piece));
                        rest = after;
                    }
                }
            }
        }
        let expected = read(CallReader::new(&tools), &whole, cut);
        prop_assert_eq!(read(CallReader::new(&tools), &divided, cut), expected);
    }

    /// Any arguments come through, whatever they spell.
    #[test]
    fn arguments_come_through(
        entries in prop::collection::btree_map("\\PC{0,8}", "\\PC{0,12}|[\"'\\\\{}\\[\\]<>|`\n]{0,8}", 0..4),
        eighths: i32,
        integer: i64,
        style in 0usize..5,
    ) {
        let mut arguments = json!(entries);
        arguments["list"] = json!([f64::from(eighths) / 8.0, integer, null, true, {"deep": []}]);
        let call = json!({"name": "add", "arguments": arguments});
        let text = match style {
            0 => format!("<|tool_call|>[{call}]<|/tool_call|>"),
            1 => call.to_string(),
            2 => format!("```json\n{}\n```", serde_json::to_string_pretty(&json!([call])).expect("JSON")),
            3 => json!({"name": "add", "arguments": arguments.to_string()}).to_string(),
            _ => format!("functools[{}]", json!({"arguments": arguments, "name": "add"})),
        };
        let read = read(CallReader::new(&tools()), &[Text(&text)], false);
        prop_assert_eq!(read.content, "");
        prop_assert_eq!(read.calls.len(), 1);
        let got: Value = serde_json::from_str(&read.calls[0].1).expect("JSON");
        prop_assert_eq!(got, arguments);
    }
}

#[test]
fn answers_that_have_a_form_hold_no_calls() {
    let formed = |given: &[Given<'_>]| read(CallReader::new(&tools()).beside_form(), given, false);
    let quoted = format!("{{\"said\": \"<tool_call>{PARIS}</tool_call>\"}}");
    for text in [PARIS, &quoted, "[TOOL_CALLS", "<tool", "[1]", "```json\n[]```", " {}"] {
        let read = formed(&[Text(text)]);
        assert_eq!((read.content.as_str(), read.calls.len()), (text, 0));
    }
    let called = formed(&[OPEN, Text(PARIS), CLOSE]);
    assert_eq!((called.content.as_str(), called.calls.len()), ("", 1));
    let spelt = formed(&[Text(&format!("<tool_call>\n{PARIS}\n</tool_call>"))]);
    assert_eq!((spelt.content.as_str(), spelt.calls.len()), ("", 1));
}
