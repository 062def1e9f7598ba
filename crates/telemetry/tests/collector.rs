//! Traces as a collector gets them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use phial_serve::{Content, FinishedRequest, Generation, Observer, Outcome};
use phial_telemetry::{Destination, Options, Traces};
use prost::Message;

/// Takes traces on a port of this machine.
fn collector() -> (String, Receiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let mut line = String::new();
            reader.read_line(&mut line).expect("a request");
            assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
            let mut length = 0;
            let mut protobuf = false;
            loop {
                line.clear();
                reader.read_line(&mut line).expect("a header");
                let header = line.trim().to_ascii_lowercase();
                if header.is_empty() {
                    break;
                }
                if let Some(value) = header.strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
                protobuf |= header == "content-type: application/x-protobuf";
            }
            assert!(protobuf);
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer.as_bytes()).expect("an answer");
            let decoded = ExportTraceServiceRequest::decode(body.as_slice()).expect("protobuf");
            if sender.send(decoded).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

fn traces(address: &str, content: bool) -> Traces {
    let destination = Destination::find(Some(address), |_| None).expect("an address");
    let options = Options { content, version: "1.2.3" };
    Traces::start(&destination.expect("a collector"), &options).expect("traces")
}

fn request() -> FinishedRequest {
    FinishedRequest {
        id: "req_1".to_owned(),
        method: "POST".to_owned(),
        route: "/v1/chat/completions".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        host: Some("127.0.0.1:8080".to_owned()),
        traceparent: None,
        tracestate: None,
        began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        took: Duration::from_millis(1500),
        status: Some(200),
        outcome: Outcome::Complete,
        error: None,
        generation: Some(Generation {
            model: "phi-4-mini".to_owned(),
            answer: "chatcmpl-1".to_owned(),
            choices: 1,
            tokens_max: Some(64),
            temperature: Some(0.5),
            seed: Some(7),
            prompt_tokens: 12,
            cached_tokens: 8,
            generated_tokens: 5,
            queued: Duration::from_millis(250),
            first_token: Some(Duration::from_millis(500)),
            finish_reasons: vec!["stop"],
            ..Generation::default()
        }),
    }
}

/// What a collector hears of `requests`.
fn heard(requests: &[FinishedRequest], content: bool) -> (ResourceSpans, Vec<Span>) {
    let (address, receiver) = collector();
    let traces = traces(&address, content);
    assert_eq!(traces.wants_content(), content);
    for request in requests {
        traces.finished(request);
    }
    traces.end().expect("sent");
    let mut export = receiver.recv_timeout(Duration::from_secs(5)).expect("an export");
    let resource = export.resource_spans.remove(0);
    let spans = resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()).collect();
    (resource, spans)
}

fn by_name(attributes: &[KeyValue]) -> HashMap<String, Value> {
    let value =
        |value: &Option<AnyValue>| value.clone().and_then(|any| any.value).expect("a value");
    attributes.iter().map(|pair| (pair.key.clone(), value(&pair.value))).collect()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

#[test]
fn an_answer_is_a_span_in_the_words_of_the_conventions() {
    let (resource, spans) = heard(&[request()], false);
    let about = by_name(&resource.resource.expect("a resource").attributes);
    assert_eq!(about["service.name"], text("phial"));
    assert_eq!(about["service.version"], text("1.2.3"));
    let span = &spans[0];
    assert_eq!(span.name, "chat phi-4-mini");
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(span.start_time_unix_nano, 1_700_000_000_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_700_000_001_500_000_000);
    assert!(span.parent_span_id.is_empty());
    let said = by_name(&span.attributes);
    for (name, value) in [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("phial")),
        ("gen_ai.request.model", text("phi-4-mini")),
        ("gen_ai.response.model", text("phi-4-mini")),
        ("gen_ai.response.id", text("chatcmpl-1")),
        ("gen_ai.request.max_tokens", Value::IntValue(64)),
        ("gen_ai.request.temperature", Value::DoubleValue(0.5)),
        ("gen_ai.request.seed", Value::IntValue(7)),
        ("gen_ai.usage.input_tokens", Value::IntValue(12)),
        ("gen_ai.usage.cache_read.input_tokens", Value::IntValue(8)),
        ("gen_ai.usage.output_tokens", Value::IntValue(5)),
        ("gen_ai.latency.time_in_queue", Value::DoubleValue(0.25)),
        ("gen_ai.latency.time_to_first_token", Value::DoubleValue(0.5)),
        ("server.address", text("127.0.0.1")),
        ("server.port", Value::IntValue(8080)),
        ("http.response.status_code", Value::IntValue(200)),
        ("http.route", text("/v1/chat/completions")),
        ("phial.request.id", text("req_1")),
    ] {
        assert_eq!(said.get(name), Some(&value), "{name}");
    }
    let Value::ArrayValue(reasons) = &said["gen_ai.response.finish_reasons"] else { panic!() };
    assert_eq!(reasons.values[0].value, Some(text("stop")));
    for absent in ["error.type", "gen_ai.input.messages", "gen_ai.request.top_p"] {
        assert!(!said.contains_key(absent), "{absent}");
    }
}

#[test]
fn a_span_is_part_of_the_trace_that_the_client_began() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = FinishedRequest { traceparent: Some(parent.to_owned()), ..request() };
    // Who began a trace decides whether it is kept.
    let unwanted = parent.replace("-01", "-00");
    let unwanted = FinishedRequest { traceparent: Some(unwanted), ..request() };
    let nonsense = FinishedRequest { traceparent: Some("00-zz".to_owned()), ..request() };
    let (_, spans) = heard(&[traced, unwanted, nonsense], false);
    assert_eq!(spans.len(), 2);
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert_eq!(spans[0].trace_id, trace);
    assert_eq!(spans[0].parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert!(spans[1].trace_id != trace && spans[1].parent_span_id.is_empty());
}

#[test]
fn errors_are_told_apart() {
    let refused = FinishedRequest {
        status: Some(400),
        error: Some("context_length_exceeded"),
        generation: None,
        ..request()
    };
    let failed = FinishedRequest { status: Some(500), error: Some("internal_error"), ..request() };
    let cut = FinishedRequest { error: Some("request_timeout"), ..request() };
    let left = FinishedRequest { outcome: Outcome::Disconnected, ..request() };
    let other = FinishedRequest { route: "/metrics".to_owned(), ..request() };
    let (_, spans) = heard(&[refused, failed, cut, left, other], false);
    let told: Vec<_> = spans
        .iter()
        .map(|span| {
            let code = span.status.clone().unwrap_or_default().code;
            (by_name(&span.attributes)["error.type"].clone(), code == StatusCode::Error as i32)
        })
        .collect();
    let expected = [
        ("context_length_exceeded", false),
        ("internal_error", true),
        ("request_timeout", true),
        ("client_disconnected", true),
    ];
    assert_eq!(told, expected.map(|(error, ours)| (text(error), ours)));
    assert_eq!(spans[0].name, "chat");
}

#[test]
fn what_was_said_is_there_when_it_is_asked_for() {
    let mut request = request();
    request.generation.as_mut().expect("a generation").content = Some(Content {
        input: vec![("user".to_owned(), "Hi".to_owned())],
        output: vec!["Hello".to_owned()],
    });
    let (_, spans) = heard(&[request], true);
    let said = by_name(&spans[0].attributes);
    let input = r#"[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]"#;
    assert_eq!(said["gen_ai.input.messages"], text(input));
    let output = r#"[{"role":"assistant","parts":[{"type":"text","content":"Hello"}],"finish_reason":"stop"}]"#;
    assert_eq!(said["gen_ai.output.messages"], text(output));
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let traces = traces("http://127.0.0.1:1", false);
    let started = std::time::Instant::now();
    for _ in 0..10_000 {
        traces.finished(&request());
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Whether it can be told or not, there is an end.
    let _ = traces.end();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
