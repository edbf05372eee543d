//! In place of OpenTelemetry where the gateway is built without it: there are no traces, as the compiler knows.

use std::sync::Arc;

use domain::RequestId;
use http::HeaderMap;
use store::usage::UsageRecord;
use tokio_util::sync::CancellationToken;

use super::Instance;
use crate::config;
use crate::metrics::Metrics;
use crate::policy::Known;
use crate::upstream::Upstream;

/// Makes spans; there is none.
#[derive(Debug)]
pub(super) enum Traces {}

/// A traced request; there is none.
#[derive(Debug)]
pub(super) enum Request {}

/// The configuration refuses a collector, too.
pub(super) fn start(
    _settings: &config::Traces,
    _instance: Instance<'_>,
    _metrics: Arc<Metrics>,
    _stop: CancellationToken,
) -> Result<(Traces, std::future::Ready<()>), String> {
    Err("this gateway was built without the feature `opentelemetry`".to_owned())
}

impl Traces {
    pub(super) fn begin(&self, _: RequestId, _: &'static str, _: &HeaderMap) -> Option<Request> {
        match *self {}
    }
}

impl Request {
    pub(super) fn route(&self, _: &'static str) {
        match *self {}
    }

    pub(super) fn known(&self, _: &Known) {
        match *self {}
    }

    pub(super) fn model(&self, _: &str) {
        match *self {}
    }

    pub(super) fn sent_to(&self, _: &Upstream, _: &'static str) {
        match *self {}
    }

    pub(super) fn upstream_answered(&self, _: u16) {
        match *self {}
    }

    pub(super) fn upstream_failed(&self, _: &'static str) {
        match *self {}
    }

    pub(super) fn first_byte(&self) {
        match *self {}
    }

    pub(super) fn cut(&self, _: &'static str, _: bool) {
        match *self {}
    }

    pub(super) fn settled(&self, _: &UsageRecord) {
        match *self {}
    }

    pub(super) fn answered(&self, _: u16, _: &'static str) {
        match *self {}
    }
}
