//! Spans as OpenTelemetry has them, with the names of its semantic conventions and `latchkey.` for what is our own.

mod collector;
mod parent;
mod queue;
mod request;
mod sampler;

use std::sync::Arc;

use domain::RequestId;
use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter as _};
use tokio_util::sync::CancellationToken;

pub(super) use self::request::Request;
use super::Instance;
use crate::config;
use crate::metrics::Metrics;

/// What this service is called unless its operator says otherwise.
const SERVICE: &str = "latchkey-gateway";

/// Makes spans.
#[derive(Debug)]
pub(super) struct Traces {
    tracer: SdkTracer,
    /// Where requests arrive, as far as that says anything.
    server: Vec<KeyValue>,
}

/// What makes spans, and what exports them until it is told to stop.
pub(super) fn start(
    settings: &config::Traces,
    instance: Instance<'_>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<(Traces, impl Future<Output = ()> + Send + use<>), String> {
    let resource = resource(settings, instance);
    let mut exporter = collector::exporter(settings)?;
    exporter.set_resource(&resource);
    let (queue, waiting) = queue::queue(metrics.clone());
    let provider = SdkTracerProvider::builder()
        .with_sampler(sampler::sampler(settings.sampler))
        .with_resource(resource)
        .with_span_processor(queue)
        .build();
    let mut server = vec![KeyValue::new("server.port", i64::from(instance.address.port()))];
    if !instance.address.ip().is_unspecified() {
        server.push(KeyValue::new("server.address", instance.address.ip().to_string()));
    }
    let traces = Traces { tracer: provider.tracer(SERVICE), server };
    Ok((traces, queue::export(waiting, exporter, metrics, stop)))
}

impl Traces {
    /// Begins a request's span. `None` for a request that is not sampled.
    pub(super) fn begin(&self, id: RequestId, method: &'static str, headers: &HeaderMap) -> Option<Request> {
        let parent = parent::parent(headers);
        let own = [
            KeyValue::new("http.request.method", method),
            KeyValue::new("latchkey.request_id", id.to_string()),
        ];
        let builder = SpanBuilder::from_name(method)
            .with_kind(SpanKind::Server)
            .with_attributes(own.into_iter().chain(self.server.iter().cloned()));
        let parent = parent.unwrap_or_default();
        let span = self.tracer.build_with_context(builder, &parent);
        span.is_recording().then(|| Request::new(span, method, self.tracer.clone()))
    }
}

/// What is said of this gateway with every batch. What the operator says goes before what it says itself.
fn resource(settings: &config::Traces, instance: Instance<'_>) -> Resource {
    let own = [
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.id.to_string()),
        KeyValue::new("latchkey.gateway", instance.name.to_owned()),
    ];
    let theirs = settings.attributes.iter().cloned().map(|(name, value)| KeyValue::new(name, value));
    let service = settings.service.clone().map(|name| KeyValue::new("service.name", name));
    Resource::builder_empty().with_attributes(own).with_attributes(theirs).with_attributes(service).build()
}
