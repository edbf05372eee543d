//! What every request shares.

use std::sync::Arc;

use domain::secret::{KeyPrefix, Pepper};

use crate::config::Limits;
use crate::metering::journal::Journal;
use crate::policy::Policy;
use crate::router::Aliases;
use crate::upstream::Upstream;

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
    /// Where they go.
    pub upstream: Upstream,
    /// Bounds of time and number.
    pub limits: Limits,
}
