//! What every request shares.

use std::sync::Arc;

use domain::secret::{KeyPrefix, Pepper};
use tokio_util::sync::CancellationToken;

use crate::config::{self, Limits};
use crate::metering::journal::Journal;
use crate::metering::refusals::Refusals;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::router::Aliases;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstreams;

/// What every request shares.
#[derive(Debug)]
pub struct State {
    /// What keys begin with.
    pub prefix: KeyPrefix,
    /// What stands for `/v1` beside it.
    pub aliases: Aliases,
    /// Makes digests.
    pub pepper: Pepper,
    /// What is enforced.
    pub policy: Arc<Policy>,
    /// Where requests are booked.
    pub journal: Journal,
    /// Where those that are refused are noted.
    pub refusals: Arc<Refusals>,
    /// Where they go.
    pub upstreams: Arc<Upstreams>,
    /// What stands between it and its clients.
    pub edge: config::Edge,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Makes spans, where somebody wants them.
    pub traces: Option<Traces>,
    /// Set when the gateway begins to stop: it is not ready any more.
    pub stopping: CancellationToken,
    /// What may still be consumed.
    pub leases: Arc<crate::limits::Limits>,
    /// Bounds of time and number.
    pub limits: Limits,
}
