//! From requests that are over to spans on their way.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use phial_serve::{FinishedRequest, Observer};

use crate::attributes::{attributes, error, operation};
use crate::client::Client;
use crate::{Destination, TelemetryError};

/// How long the last spans may take to go out when the program ends.
const END_TIME_MAX: Duration = Duration::from_secs(3);

/// What is traced, and how it is called.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether what people ask and are told goes into traces.
    pub content: bool,
    /// Of the program, `service.version`.
    pub version: &'static str,
}

/// Sends a span for every request to a model. Spans are sent in batches by a thread of their own;
/// when a collector does not keep up, spans are dropped rather than answers delayed. The standard
/// variables of the environment set headers, sampling, limits and the name of the service.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    content: bool,
}

impl Traces {
    /// Sends to `destination` from now on.
    ///
    /// # Errors
    /// If a variable of the environment cannot be used.
    pub fn start(destination: &Destination, options: &Options) -> Result<Self, TelemetryError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&destination.url)
            .build()
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", options.version));
        if !named {
            resource = resource.with_service_name("phial");
        }
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource.build())
            .build();
        let tracer = provider.tracer("phial");
        Ok(Self { provider, tracer, content: options.content })
    }

    /// Sends what is left; nothing is sent after that.
    ///
    /// # Errors
    /// If the collector does not take it in time.
    pub fn end(&self) -> Result<(), TelemetryError> {
        let ended = self.provider.shutdown_with_timeout(END_TIME_MAX);
        ended.map_err(|error| TelemetryError::Exporter(error.to_string()))
    }
}

impl Observer for Traces {
    fn wants_content(&self) -> bool {
        self.content
    }

    fn finished(&self, request: &FinishedRequest) {
        let Some(operation) = operation(request) else { return };
        let model = request.generation.as_ref().map(|generation| generation.model.as_str());
        let name = match model {
            Some(model) if !model.is_empty() => format!("{operation} {model}"),
            _ => operation.to_owned(),
        };
        let span = self
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_start_time(request.began)
            .with_attributes(attributes(request, operation));
        let mut span = self.tracer.build_with_context(span, &parent(request));
        // What is wrong with a request is no error of the server.
        let is_ours = request.status.is_some_and(|status| !(400..500).contains(&status));
        if let Some(error) = error(request).filter(|_| is_ours) {
            span.set_status(Status::error(error));
        }
        span.end_with_timestamp(request.began + request.took);
    }
}

/// The trace that the request is part of, if it says so.
fn parent(request: &FinishedRequest) -> Context {
    let headers = [("traceparent", &request.traceparent), ("tracestate", &request.tracestate)];
    let carrier: HashMap<String, String> = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
        .collect();
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
}
