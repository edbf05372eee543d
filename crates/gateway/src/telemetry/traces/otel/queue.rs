//! Spans on their way to the collector: a bounded queue that no request ever waits for, and a task that sends what is
//! in it in batches. The library's own processor does the same on a thread of its own, where this program's HTTP client
//! cannot run, and does not tell what it drops.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Spans that wait; the library's default.
const LENGTH: usize = 2_048;
/// Spans that go together; the library's default.
const BATCH: usize = 512;
/// How long the first of a batch waits for others; the library's default.
const DELAY: Duration = Duration::from_secs(5);
/// Between two complaints about the collector.
const COMPLAINT: Duration = Duration::from_mins(1);

/// Takes ended spans.
#[derive(Debug)]
pub(super) struct Queue {
    spans: Sender<SpanData>,
    metrics: Arc<Metrics>,
}

/// A queue, and its end.
pub(super) fn queue(metrics: Arc<Metrics>) -> (Queue, Receiver<SpanData>) {
    let (spans, waiting) = mpsc::channel(LENGTH);
    (Queue { spans, metrics }, waiting)
}

impl SpanProcessor for Queue {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_dropped(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    /// Whoever stops the gateway waits for the task.
    fn shutdown_with_timeout(&self, _time: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what is in the queue until it is told to stop, and then what is left.
pub(super) async fn export(
    mut waiting: Receiver<SpanData>,
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut outlet = Outlet { exporter, metrics, told: None };
    let mut batch = Vec::new();
    while stop.run_until_cancelled(fill(&mut waiting, &mut batch)).await == Some(Filled::Open) {
        outlet.send(std::mem::take(&mut batch)).await;
    }
    waiting.close();
    while !batch.is_empty() || waiting.recv_many(&mut batch, BATCH).await > 0 {
        outlet.send(std::mem::take(&mut batch)).await;
    }
}

#[derive(PartialEq, Eq)]
enum Filled {
    Open,
    /// Nobody is left to send anything.
    Closed,
}

/// Waits for a span, and then a while for others. What has come is in `batch` even where this is given up.
async fn fill(waiting: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) -> Filled {
    if waiting.recv_many(batch, BATCH).await == 0 {
        return Filled::Closed;
    }
    let end = Instant::now() + DELAY;
    while batch.len() < BATCH {
        match timeout_at(end, waiting.recv_many(batch, BATCH - batch.len())).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Filled::Open
}

/// Sends batches, and tells when that fails, but not each time.
struct Outlet {
    exporter: SpanExporter,
    metrics: Arc<Metrics>,
    told: Option<Instant>,
}

impl Outlet {
    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len();
        let Err(error) = self.exporter.export(batch).await else {
            return;
        };
        self.metrics.spans_dropped(u64::try_from(count).unwrap_or(u64::MAX));
        if self.told.is_none_or(|told| told.elapsed() >= COMPLAINT) {
            self.told = Some(Instant::now());
            let dropped = self.metrics.dropped_spans();
            tracing::warn!(%error, dropped, "the collector does not take spans; they are lost, requests go on");
        }
    }
}
