//! The engine of this machine as an upstream of the gateway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use phial_gateway::{BoxFuture, Demand, Refusal, Upstream};
use phial_openai::metering::Meter;
use phial_serve::Server;
use serde_json::json;
use tower::ServiceExt;

/// What is known of a model before it serves.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Bytes of weights, those included that are mapped from files.
    pub weights_bytes: u64,
    /// Bytes that keys and values may take.
    pub kv_bytes: u64,
    /// How keys and values are stored.
    pub kv_element: &'static str,
}

/// A server of this process.
pub struct LocalUpstream {
    server: Server,
    routes: Router,
    facts: ModelFacts,
    /// Totals of tokens when they were looked at last, and the speeds since the time before.
    pace: Mutex<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    since: Instant,
    totals: (f64, f64),
    /// Generated and read, a second.
    speeds: (f64, f64),
}

/// Speeds are means over at least so long.
const PACE_TIME: Duration = Duration::from_secs(1);

/// The text of all metrics is small.
const METRICS_BYTES_MAX: usize = 1 << 20;

impl LocalUpstream {
    pub fn new(server: Server, facts: ModelFacts) -> Self {
        let routes = phial_serve::router(&server);
        let pace = Pace { since: Instant::now(), totals: (0.0, 0.0), speeds: (0.0, 0.0) };
        Self { server, routes, facts, pace: Mutex::new(pace) }
    }

    async fn metrics_text(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap_or_default();
        let Ok(response) = self.routes.clone().oneshot(request).await;
        let bytes = to_bytes(response.into_body(), METRICS_BYTES_MAX).await.unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Metrics without labels, and sums of those that have some, by name.
    async fn metrics_by_name(&self) -> HashMap<String, f64> {
        let mut metrics: HashMap<String, f64> = HashMap::new();
        for line in self.metrics_text().await.lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let name = name.split('{').next().unwrap_or_default();
            *metrics.entry(name.to_owned()).or_default() += value;
        }
        metrics
    }

    fn speeds(&self, totals: (f64, f64)) -> (f64, f64) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = pace.since.elapsed();
        if elapsed >= PACE_TIME {
            let rate = |now: f64, before: f64| (now - before).max(0.0) / elapsed.as_secs_f64();
            let speeds = (rate(totals.0, pace.totals.0), rate(totals.1, pace.totals.1));
            *pace = Pace { since: Instant::now(), totals, speeds };
        }
        pace.speeds
    }
}

impl Upstream for LocalUpstream {
    fn models(&self) -> Vec<String> {
        vec![self.server.model().id.clone()]
    }

    fn measure<'a>(
        &'a self,
        route: &'a str,
        body: &'a Bytes,
    ) -> BoxFuture<'a, Result<Option<Demand>, Refusal>> {
        Box::pin(async move {
            let measured = self.server.measure(route, body).await.map_err(Refusal::Response)?;
            Ok(measured.map(|measured| Demand {
                prompt_tokens: measured.prompt_tokens,
                completion_tokens_max: measured.generated_tokens_max,
            }))
        })
    }

    fn call<'a>(
        &'a self,
        mut request: Request<Body>,
        meter: Meter,
    ) -> BoxFuture<'a, Response<Body>> {
        request.extensions_mut().insert(meter);
        Box::pin(async move {
            let Ok(response) = self.routes.clone().oneshot(request).await;
            response
        })
    }

    fn metrics(&self) -> BoxFuture<'_, String> {
        Box::pin(self.metrics_text())
    }

    fn engine(&self) -> BoxFuture<'_, Option<serde_json::Value>> {
        Box::pin(async move {
            let metrics = self.metrics_by_name().await;
            let metric = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
            let totals =
                (metric("phial_generation_tokens_total"), metric("phial_prompt_tokens_total"));
            let (generated, read) = self.speeds(totals);
            let ModelFacts { weights_bytes, kv_bytes, kv_element } = self.facts.clone();
            Some(json!([{
                "id": self.server.model().id,
                "loaded": true,
                "context_tokens": self.server.context_tokens(),
                "memory_bytes": weights_bytes + kv_bytes,
                "weights_bytes": weights_bytes,
                "kv_bytes": kv_bytes,
                "kv_used": metric("phial_kv_cache_usage_ratio"),
                "running": metric("phial_requests_running"),
                "waiting": metric("phial_requests_waiting"),
                "tokens_per_second": generated,
                "prompt_tokens_per_second": read,
                "capabilities": ["text", "tools", "json"],
                "quantisation": format!("{kv_element} keys and values"),
            }]))
        })
    }
}
