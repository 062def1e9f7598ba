//! An upstream that makes as many tokens as a request says, and counts them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use phial_gateway::{Demand, Refusal, Upstream};
use phial_openai::metering::{Meter, Owner, TokenCounts};
use serde_json::{Value, json};

/// Models that the stub has.
pub const MODELS: [&str; 2] = ["stub", "other"];

#[derive(Default)]
pub struct Stub {
    counts: Arc<Counts>,
    /// What came in: route, owner and headers.
    pub seen: Mutex<Vec<(String, String, Vec<String>)>>,
}

#[derive(Default)]
struct Counts {
    /// What was made, by request.
    made: Mutex<HashMap<String, TokenCounts>>,
    /// The same, in a file that outlives the process: a line per report.
    file: Option<File>,
}

impl Stub {
    pub fn with_file(path: &Path) -> Self {
        let file = File::options().create(true).append(true).open(path).unwrap();
        let counts = Counts { file: Some(file), ..Counts::default() };
        Self { counts: Arc::new(counts), ..Self::default() }
    }

    pub fn counted(&self) -> HashMap<String, TokenCounts> {
        self.counts.made.lock().unwrap().clone()
    }
}

impl Counts {
    fn count(&self, request: &str, counts: TokenCounts) {
        self.made.lock().unwrap().insert(request.to_owned(), counts);
        if let Some(mut file) = self.file.as_ref() {
            let TokenCounts { prompt_tokens, cached_tokens, completion_tokens } = counts;
            let line = format!("{request} {prompt_tokens} {cached_tokens} {completion_tokens}\n");
            file.write_all(line.as_bytes()).unwrap();
        }
    }
}

/// What a request asks of the stub, in its field `stub`.
#[derive(Clone, Copy, Debug)]
struct Work {
    prompt: u64,
    cached: u64,
    tokens: u64,
    delay: Duration,
    /// The status to answer with instead.
    status: u64,
    /// The token at which the answer breaks.
    breaks_at: u64,
    stream: bool,
}

fn work(body: &Value) -> Work {
    let number = |name: &str, default: u64| body["stub"][name].as_u64().unwrap_or(default);
    Work {
        prompt: number("prompt", 10),
        cached: number("cached", 0),
        tokens: number("tokens", 5),
        delay: Duration::from_micros(number("delay_us", 0)),
        status: number("status", 200),
        breaks_at: number("breaks_at", u64::MAX),
        stream: body["stream"] == true,
    }
}

impl Upstream for Stub {
    fn models(&self) -> Vec<String> {
        MODELS.map(str::to_owned).to_vec()
    }

    fn measure<'a>(
        &'a self,
        _: &'a str,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Option<Demand>, Refusal>> {
        Box::pin(async move {
            let body: Value = serde_json::from_slice(body).unwrap();
            let completion_tokens_max = body["max_tokens"].as_u64().unwrap_or(100);
            let prompt_tokens = work(&body).prompt;
            Ok(Some(Demand { prompt_tokens, completion_tokens_max }))
        })
    }

    fn call<'a>(&'a self, request: Request<Body>, meter: Meter) -> BoxFuture<'a, Response<Body>> {
        Box::pin(async move {
            let owner = request.extensions().get::<Owner>().map(|owner| owner.0.to_string());
            let names = request.headers().keys().map(ToString::to_string).collect();
            let route = request.uri().to_string();
            self.seen.lock().unwrap().push((route.clone(), owner.unwrap_or_default(), names));
            if route == "/v1/models" {
                let data: Vec<Value> = MODELS.iter().map(|id| json!({ "id": id })).collect();
                return Response::new(json!({ "object": "list", "data": data }).to_string().into());
            }
            if let Some(id) = route.strip_prefix("/v1/models/") {
                return Response::new(json!({ "id": id }).to_string().into());
            }
            let id = request.headers().get("x-request-id").cloned();
            let id = id.and_then(|id| id.to_str().ok().map(str::to_owned)).unwrap_or_default();
            let bytes = request.into_body().collect().await.unwrap().to_bytes();
            let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
                return Response::new(Body::from(format!("{} bytes", bytes.len())));
            };
            let work = work(&body);
            if work.status != 200 {
                let mut response = Response::new(Body::from("{\"error\":{}}"));
                *response.status_mut() = StatusCode::from_u16(work.status as u16).unwrap();
                return response;
            }
            let maker = Maker { id, work, made: 0, meter, counts: Arc::clone(&self.counts) };
            match work.stream {
                true => streamed(maker),
                false => whole(maker).await,
            }
        })
    }
}

/// An answer that is being made.
struct Maker {
    id: String,
    work: Work,
    made: u64,
    meter: Meter,
    counts: Arc<Counts>,
}

impl Maker {
    /// Makes one token: counted by the engine first, then told, then shown.
    async fn step(&mut self) -> Option<Result<Bytes, String>> {
        let Work { prompt, cached, tokens, delay, breaks_at, .. } = self.work;
        if self.made == tokens {
            return None;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if self.made == breaks_at {
            return Some(Err("the stub breaks".to_owned()));
        }
        self.made += 1;
        let counts = TokenCounts {
            prompt_tokens: prompt,
            cached_tokens: cached,
            completion_tokens: self.made,
        };
        self.counts.count(&self.id, counts);
        self.meter.report(counts);
        Some(Ok(Bytes::from_static(b"data: token\n\n")))
    }
}

async fn whole(mut maker: Maker) -> Response<Body> {
    let mut bytes = Vec::new();
    while let Some(step) = maker.step().await {
        match step {
            Ok(some) => bytes.extend_from_slice(&some),
            Err(_) => {
                let mut response = Response::new(Body::from("{}"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                return response;
            }
        }
    }
    Response::new(Body::from(bytes))
}

fn streamed(maker: Maker) -> Response<Body> {
    let stream = futures_util::stream::unfold(maker, |mut maker| async move {
        let step = maker.step().await?;
        Some((step.map_err(std::io::Error::other), maker))
    });
    Response::new(Body::from_stream(stream))
}
