//! An upstream that answers at once.

use std::net::TcpListener;

use crate::client::Connection;

const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}],"usage":{"prompt_tokens":14,"completion_tokens":3,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}}"#;

/// Tokens of the prompt that no cache had, of those that one had, and of the answer.
pub const TOKENS: [i64; 3] = [10, 4, 3];

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"stub","object":"model","created":1,"owned_by":"stub"}]}"#;

/// Prints where it listens, and answers until it is killed.
pub fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let (answer, models) = (message(ANSWER), message(MODELS));
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let (answer, models) = (&answer, &models);
            let stream = stream.expect("a connection");
            scope.spawn(move || {
                let mut connection = Connection::of(stream);
                while let Some(request) = connection.read() {
                    let answer = if request.starts_with(b"GET ") { models } else { answer };
                    connection.write(answer);
                }
            });
        }
    });
}

fn message(body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
