//! Traces of requests, for whoever names a collector. The rest of the gateway knows this file only: without a collector
//! a [`Trace`] is nothing, and each call on it one branch.
//!
//! What never goes into a span: secrets, prompts, answers, paths and queries as they came, the client's address, and
//! any other text of a client's. A key appears by its public id, a model by the name it is offered under.

#[cfg(feature = "opentelemetry")]
mod otel;
#[cfg(not(feature = "opentelemetry"))]
#[path = "traces/none.rs"]
mod otel;

use std::net::SocketAddr;
use std::sync::Arc;

use domain::RequestId;
use http::{HeaderMap, Method, StatusCode};
use store::usage::UsageRecord;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config;
use crate::metrics::Metrics;
use crate::policy::Known;
use crate::upstream::Upstream;

/// What a stop leaves the last spans, if that much of it is left.
const FLUSH_TIME: Duration = Duration::from_secs(3);
/// The error of a request whose client has left.
const CLIENT_CLOSED: &str = "client_closed";

/// The collector cannot be spoken to.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub struct SetupError(String);

/// The gateway, as spans name it.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// Its id.
    pub id: Uuid,
    /// What the console calls it.
    pub name: &'a str,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Makes spans.
#[derive(Debug)]
pub struct Traces(otel::Traces);

impl Traces {
    /// Starts to export, in the background and in batches, if there are settings. Nothing is connected yet.
    pub fn start(
        settings: Option<&config::Traces>,
        instance: Instance<'_>,
        metrics: &Arc<Metrics>,
    ) -> Result<(Option<Self>, Option<Exporting>), SetupError> {
        let Some(settings) = settings else { return Ok((None, None)) };
        let stop = CancellationToken::new();
        let started = otel::start(settings, instance, metrics.clone(), stop.clone());
        let (traces, exporting) = started.map_err(SetupError)?;
        Ok((Some(Self(traces)), Some(Exporting { stop, task: tokio::spawn(exporting) })))
    }

    /// Begins the span of a request, as a child of what a valid `traceparent` names.
    pub fn begin(&self, id: RequestId, method: &Method, headers: &HeaderMap) -> Trace {
        Trace(self.0.begin(id, method_name(method), headers).map(Arc::new))
    }
}

/// The export in the background.
#[derive(Debug)]
pub struct Exporting {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The last spans on their way.
#[derive(Debug)]
pub struct Flushing {
    task: JoinHandle<()>,
    end: Instant,
}

impl Exporting {
    /// No request runs any more: what is left is sent, until `end` at the latest.
    pub fn flush(self, end: Instant) -> Flushing {
        self.stop.cancel();
        Flushing { task: self.task, end: end.min(Instant::now() + FLUSH_TIME) }
    }
}

impl Flushing {
    /// Waits until it is done, or its time over.
    pub async fn ended(mut self) {
        if timeout_at(self.end, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the collector did not take the last spans in time; they are lost");
        }
    }
}

/// A request's spans: its own, and one for each upstream it is sent to. They end with the last copy.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<otel::Request>>);

impl Trace {
    /// The path template it is for.
    pub fn route(&self, route: &'static str) {
        self.with(|request| request.route(route));
    }

    /// Whose it is.
    pub fn known(&self, known: &Known) {
        self.with(|request| request.known(known));
    }

    /// The model, by the name it is offered under.
    pub fn model(&self, id: &str) {
        self.with(|request| request.model(id));
    }

    /// It is sent to an upstream, below whose base URL it goes to `path`.
    pub fn sent_to(&self, upstream: &Upstream, path: &'static str) {
        self.with(|request| request.sent_to(upstream, path));
    }

    /// The upstream has begun its answer.
    pub fn upstream_answered(&self, status: StatusCode) {
        self.with(|request| request.upstream_answered(status.as_u16()));
    }

    /// The upstream has not answered; `code` says why.
    pub fn upstream_failed(&self, code: &'static str) {
        self.with(|request| request.upstream_failed(code));
    }

    /// The first byte of the answer is about to leave.
    pub fn first_byte(&self) {
        self.with(otel::Request::first_byte);
    }

    /// It has been ended early, by a refusal of this code: because the upstream has failed, or for another reason.
    pub fn cut(&self, code: &'static str, by_upstream: bool) {
        self.with(|request| request.cut(code, by_upstream));
    }

    /// It has been settled.
    pub fn settled(&self, record: &UsageRecord) {
        self.with(|request| {
            if record.status == crate::metering::journal::client_closed() {
                request.cut(CLIENT_CLOSED, false);
            }
            request.settled(record);
        });
    }

    /// Its answer begins with this status; `code` is its refusal's, or empty.
    pub fn answered(&self, status: StatusCode, code: &'static str) {
        self.with(|request| request.answered(status.as_u16(), code));
    }

    fn with(&self, work: impl FnOnce(&otel::Request)) {
        if let Some(request) = &self.0 {
            work(request);
        }
    }
}

/// A client can make up methods; those are one.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
