//! A gateway that is killed in the middle, again and again: what clients saw is paid for, what was
//! paid for was made, and nothing stays reserved.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use phial_gateway::Gateway;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::service::{Home, Service, chat, in_both};
use crate::stub::Stub;

const FOLDER: &str = "PHIAL_TEST_NODE_FOLDER";
const NODE: &str = "PHIAL_TEST_NODE";
const DATABASE: &str = "PHIAL_TEST_NODE_DATABASE";

/// The child: a gateway over the stub. Does nothing unless it is asked for by its variables.
#[test]
fn a_node_for_other_tests() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let node = std::env::var(NODE).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut home = Home::at(&folder);
        home.database = std::env::var(DATABASE).ok();
        let stub = Arc::new(Stub::with_file(&folder.join(format!("{node}.counts"))));
        let gateway = Gateway::open(home.settings(&node), stub).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        let service =
            gateway.routes().into_make_service_with_connect_info::<std::net::SocketAddr>();
        axum::serve(listener, service).await.unwrap();
    });
}

/// A gateway in a process of its own.
pub struct Node {
    child: Child,
    pub address: String,
}

impl Node {
    pub fn start(home: &Home, node: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "crash::a_node_for_other_tests", "--nocapture"])
            .env(FOLDER, home.path())
            .env(NODE, node)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(database) = &home.database {
            command.env(DATABASE, database);
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("listening on ")?.1.to_owned()));
        Self { child, address: listening.expect("the node starts") }
    }

    /// As `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client got of an answer.
#[derive(Clone, Debug)]
pub struct Got {
    pub request: String,
    pub tokens: u64,
    pub is_whole: bool,
}

/// Asks over a connection of its own, and leaves after so many tokens.
pub async fn ask(address: &str, key: &str, body: &str, leave_after: u64) -> Option<Got> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    loop {
        let read = stream.read_buf(&mut bytes).await.unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes);
        let tokens = text.matches("data: token").count() as u64;
        let ended = read == 0;
        if !ended && tokens < leave_after {
            continue;
        }
        let request =
            text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).map(str::to_owned)?;
        // Chunks end with an empty one.
        let is_whole = text.starts_with("HTTP/1.1 200") && text.ends_with("0\r\n\r\n");
        return Some(Got { request, tokens, is_whole });
    }
}

/// What the stub counted, by request.
pub fn counts(home: &Path, node: &str) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(home.join(format!("{node}.counts"))).unwrap_or_default();
    let mut made = HashMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let [request, _, _, tokens] = words[..] {
            made.insert(request.to_owned(), tokens.parse().unwrap());
        }
    }
    made
}

/// A source of numbers that differ, the same in every run.
pub fn next(state: &AtomicU64) -> u64 {
    let last = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mixed = (last ^ (last >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33
}

/// Clients that ask, and leave when they feel like it, until they are told to stop.
pub async fn clients(
    address: &str,
    keys: &[String],
    count: usize,
    stop: &Arc<AtomicBool>,
    numbers: &Arc<AtomicU64>,
) -> Vec<Got> {
    let mut tasks = Vec::new();
    for client in 0..count {
        let (address, key) = (address.to_owned(), keys[client % keys.len()].clone());
        let (stop, numbers) = (Arc::clone(stop), Arc::clone(numbers));
        tasks.push(tokio::spawn(async move {
            let mut all = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let tokens = 1 + next(&numbers) % 12;
                let delay = next(&numbers) % 2_000;
                let stub = json!({ "prompt": 7, "cached": next(&numbers) % 8, "tokens": tokens,
                                   "delay_us": delay });
                let body = chat(true, 12, stub).to_string();
                let leave_after = if next(&numbers).is_multiple_of(3) { 2 } else { u64::MAX };
                all.extend(ask(&address, &key, &body, leave_after).await);
            }
            all
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

in_both! {
    async fn killing_a_node_at_any_moment_loses_and_invents_nothing(place) {
        const KILLS: u64 = 6;
        let service = Service::start(place).await;
        let user = service.user("ann", 60_000).await;
        let (_, limited) = service.key(&user, json!({ "remain_quota": 8_000 })).await;
        let (_, free) = service.key(&user, json!({})).await;
        let keys = [limited, free];
        service.gateway.close().await;
        let home = service.end();
        let numbers = Arc::new(AtomicU64::new(42));
        let mut all = Vec::new();
        for _ in 0..KILLS {
            let node = Node::start(&home, "one");
            let stop = Arc::new(AtomicBool::new(false));
            let life = Duration::from_millis(100 + next(&numbers) % 400);
            let (address, stopping) = (node.address.clone(), Arc::clone(&stop));
            let killing = async {
                tokio::time::sleep(life).await;
                tokio::task::spawn_blocking(move || node.kill()).await.unwrap();
                stopping.store(true, Ordering::Relaxed);
            };
            let (got, ()) =
                tokio::join!(clients(&address, &keys, 40, &stop, &numbers), killing);
            all.extend(got);
        }
        // The last start settles what the last kill left.
        let node = Node::start(&home, "one");
        node.kill();
        let books = home.books("one").await;
        books.check();
        let (settled, made) = (books.settled(), counts(&home.path(), "one"));
        let whole = all.iter().filter(|got| got.is_whole).count();
        assert!(whole > 100, "too little happened: {whole} of {}", all.len());
        assert!(settled.values().any(|entry| entry.finish == "lost"), "nothing was killed");
        for got in &all {
            let Some(entry) = settled.get(got.request.as_str()) else {
                panic!("an answer that nobody pays for: {got:?}");
            };
            let (paid, made) = (entry.completion as u64, made.get(&got.request).copied().unwrap_or(0));
            assert!(got.tokens <= paid, "{got:?} {entry:?}");
            // The stub counts a token before it tells of it: the kill may fall between.
            assert!(paid <= made && made <= paid + u64::from(entry.finish == "lost"), "{entry:?}");
            if got.is_whole {
                assert_eq!(got.tokens, paid, "{entry:?}");
            }
        }
        for (request, made) in made {
            let entry = settled[request.as_str()];
            let paid = entry.completion as u64;
            assert!(paid <= made && made <= paid + u64::from(entry.finish == "lost"), "{entry:?}");
        }
    }
}
