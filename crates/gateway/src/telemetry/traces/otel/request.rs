//! The spans of one request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use store::usage::UsageRecord;

use crate::policy::Known;
use crate::upstream::Upstream;

/// A traced request. What is not ended when it is dropped ends then.
#[derive(Debug)]
pub(crate) struct Request {
    spans: Mutex<Spans>,
    method: &'static str,
    context: SpanContext,
    tracer: SdkTracer,
}

#[derive(Debug)]
struct Spans {
    /// Goes before the other, so that it ends first.
    upstream: Option<Part>,
    request: Part,
}

/// A span, which has one error at most.
#[derive(Debug)]
struct Part {
    span: Span,
    has_failed: bool,
}

impl Part {
    fn new(span: Span) -> Self {
        Self { span, has_failed: false }
    }

    fn say(&mut self, name: &'static str, value: impl Into<Value>) {
        self.span.set_attribute(KeyValue::new(name, value));
    }

    fn answered(&mut self, status: u16) {
        self.say("http.response.status_code", i64::from(status));
    }

    /// Notes an error, unless there was one before. What is wrong with a request is no failure of this service's.
    fn fail(&mut self, error: impl Into<Value>, is_failure: bool) {
        if std::mem::replace(&mut self.has_failed, true) {
            return;
        }
        self.say("error.type", error);
        if is_failure {
            self.span.set_status(Status::error(""));
        }
    }
}

impl Request {
    pub(super) fn new(request: Span, method: &'static str, tracer: SdkTracer) -> Self {
        let context = request.span_context().clone();
        let spans = Spans { upstream: None, request: Part::new(request) };
        Self { spans: Mutex::new(spans), method, context, tracer }
    }

    pub(crate) fn route(&self, route: &'static str) {
        let request = &mut self.lock().request;
        request.span.update_name(format!("{} {route}", self.method));
        request.say("http.route", route);
        // Never the path itself: it is the client's text, and people put keys into base URLs.
        request.say("url.path", route);
    }

    pub(crate) fn known(&self, known: &Known) {
        let request = &mut self.lock().request;
        request.say("latchkey.key", String::from(&*known.public_id));
        request.say("latchkey.account", known.account.0.to_string());
    }

    pub(crate) fn model(&self, id: &str) {
        self.lock().request.say("gen_ai.request.model", id.to_owned());
    }

    pub(crate) fn sent_to(&self, upstream: &Upstream, path: &'static str) {
        let (host, port) = upstream.address();
        let builder =
            SpanBuilder::from_name(format!("POST {path}")).with_kind(SpanKind::Client).with_attributes([
                KeyValue::new("http.request.method", "POST"),
                KeyValue::new("url.template", path),
                KeyValue::new("server.address", host.to_owned()),
                KeyValue::new("server.port", i64::from(port)),
                KeyValue::new("latchkey.upstream", upstream.name().to_owned()),
            ]);
        let within = Context::new().with_remote_span_context(self.context.clone());
        let span = self.tracer.build_with_context(builder, &within);
        // The one before is over.
        self.lock().upstream = Some(Part::new(span));
    }

    pub(crate) fn upstream_answered(&self, status: u16) {
        if let Some(upstream) = &mut self.lock().upstream {
            upstream.answered(status);
            if status >= 400 {
                upstream.fail(status.to_string(), true);
            }
        }
    }

    pub(crate) fn upstream_failed(&self, code: &'static str) {
        let upstream = self.lock().upstream.take();
        if let Some(mut upstream) = upstream {
            upstream.fail(code, true);
        }
    }

    pub(crate) fn first_byte(&self) {
        self.lock().request.span.add_event("first byte", Vec::new());
    }

    pub(crate) fn cut(&self, code: &'static str, by_upstream: bool) {
        let Spans { upstream, request } = &mut *self.lock();
        request.fail(code, by_upstream);
        if let Some(upstream) = upstream.as_mut().filter(|_| by_upstream) {
            upstream.fail(code, true);
        }
    }

    pub(crate) fn settled(&self, record: &UsageRecord) {
        let Spans { upstream, request } = &mut *self.lock();
        if record.streamed {
            request.span.add_event("end of stream", Vec::new());
        }
        if !record.model.is_empty() {
            request.say("gen_ai.usage.input_tokens", i64::from(record.usage.input));
            request.say("gen_ai.usage.output_tokens", i64::from(record.usage.output));
            request.say("latchkey.cost_nano_usd", record.cost.0);
            request.say("latchkey.usage_is_estimated", record.estimated);
        }
        request.say("latchkey.interrupted", record.interrupted);
        *upstream = None;
    }

    pub(crate) fn answered(&self, status: u16, code: &'static str) {
        let request = &mut self.lock().request;
        request.answered(status);
        let is_failure = status >= 500;
        if !code.is_empty() {
            request.fail(code, is_failure);
        } else if status >= 400 {
            request.fail(status.to_string(), is_failure);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
