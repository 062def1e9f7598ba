//! The example servers, over standard streams and over HTTP. They need Python 3, as the rest of
//! the tests does.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use phial_mcp::{Config, Servers};
use phial_serve::ExternalTools;
use serde_json::{Map, Value, json};

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mcp");
    folder.join(name).to_str().expect("a path of text").to_owned()
}

/// A shop's database in `folder`.
fn shop(folder: &Path) -> PathBuf {
    let file = folder.join("shop.db");
    let script = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute('CREATE TABLE goods (name TEXT, price INTEGER)')
connection.executemany('INSERT INTO goods VALUES (?, ?)', [('tea', 3), ('cake', 5)])
connection.commit()";
    let status = Command::new("python3").args(["-c", script]).arg(&file).status();
    assert!(status.expect("python3").success());
    file
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("an object") };
    object
}

fn program(label: &str, arguments: &[&str]) -> Servers {
    let command: Vec<String> = std::iter::once("python3")
        .chain(arguments.iter().copied())
        .map(|argument| json!(argument).to_string())
        .collect();
    let text = format!("[mcp.{label}]\ncommand = [{}]", command.join(", "));
    Servers::new(Config::parse(&text).expect("a configuration"))
}

async fn check_shop(servers: &Servers) {
    let tools = servers.tools("shop").await.expect("tools");
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["list_tables", "query"]);
    assert_eq!(tools[1].parameters["required"], json!(["sql"]));
    let query = |sql: &'static str| servers.call("shop", "query", object(json!({"sql": sql})));
    let text = query("SELECT price FROM goods WHERE name = 'tea'").await.expect("a result");
    assert_eq!(text, r#"[{"price": 3}]"#);
    let error = query("DELETE FROM goods").await.expect_err("it only reads");
    assert!(error.0.contains("readonly"), "{error}");
    let text = servers.call("shop", "list_tables", Map::new()).await.expect("tables");
    assert!(text.contains("goods"), "{text}");
    let error = servers.call("shop", "sell", Map::new()).await.expect_err("no such tool");
    assert!(error.0.contains("no such"), "{error}");
}

#[tokio::test]
async fn a_database_over_standard_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = shop(folder.path());
    let servers = program("shop", &[&example("sqlite_server.py"), file.to_str().expect("text")]);
    assert_eq!(servers.connect().await.expect("connected"), [("shop".to_owned(), 2)]);
    check_shop(&servers).await;
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_database_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = shop(folder.path());
    let mut command = Command::new("python3");
    command.arg(example("sqlite_server.py")).arg(file).args(["--http", "0"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().expect("python3"));
    let mut line = String::new();
    let out = running.0.stdout.take().expect("piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("listening on ").expect("an address");
    let config = Config::parse(&format!("[mcp.shop]\nurl = \"{url}\"")).expect("a configuration");
    check_shop(&Servers::new(config)).await;
}

/// Answers one request after the other with what was asked for.
fn echo_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().expect("a reader"));
            reader.read_line(&mut line).expect("a request");
            let path = line.split(' ').nth(1).unwrap_or_default();
            let head = format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n", path.len());
            let _ = stream.write_all(format!("{head}{path}").as_bytes());
        }
    });
    format!("http://{address}/v1")
}

#[tokio::test]
async fn an_http_api() {
    let base = echo_api();
    let servers = program("api", &[&example("http_api_server.py"), &base]);
    let get = |arguments: Value| servers.call("api", "get", object(arguments));
    let text = get(json!({"path": "now", "parameters": {"city": "Paris"}})).await.expect("text");
    assert_eq!(text, "/v1/now?city=Paris");
    let error = get(json!({"path": "../v2"})).await.expect_err("another place");
    assert!(error.0.contains("leads away"), "{error}");
}

#[tokio::test]
async fn servers_that_are_not_there() {
    let servers = program("gone", &["-c", "raise SystemExit"]);
    let error = servers.connect().await.expect_err("no server");
    assert!(error.0.starts_with("[mcp.gone]: "), "{error}");
    let config = Config::parse("[mcp.a]\ncommand = [\"no-such-program\"]").expect("valid");
    let error = Servers::new(config).connect().await.expect_err("no program");
    assert!(error.0.contains("no-such-program"), "{error}");
    let config =
        Config::parse("[mcp.a]\nurl = \"http://127.0.0.1:9\"\ntoken_variable = \"NO_SUCH\"");
    let error = Servers::new(config.expect("valid")).connect().await.expect_err("no token");
    assert!(error.0.contains("NO_SUCH"), "{error}");
    let error = servers.call("other", "x", Map::new()).await.expect_err("no such server");
    assert!(error.0.contains("'other'"), "{error}");
}
