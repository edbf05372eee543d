//! What an operator may count: requests by route and outcome, what the gateway adds to them, how it stands.
//!
//! Labels come from closed lists, so that no client can make up new ones; keys appear by their public id, and only if
//! the operator asks for it. Counting takes a look-up among a few labels or an atomic; nothing is formatted before
//! somebody reads.
//!
//! The library is `prometheus-client`, the Prometheus project's own: its handles are atomics, and it has no registry
//! for the whole process, so that two gateways in one test do not count each other's requests.

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use self::server::serve;
use crate::limits::rates::Rates;
use crate::metering::journal::Journal;
use crate::policy::Policy;

/// Everything that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    keys: Option<Family<KeyLabel, Counter>>,
    added: Histogram,
    upstream: Histogram,
    failovers: Counter,
    in_flight: Gauge,
    connections: Gauge,
    refused: Family<Reason, Counter>,
    refusals_dropped: Counter,
    spans_dropped: Counter,
    live: Live,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    /// The path template; `none` for what is no route.
    route: &'static str,
    /// The status class.
    status: &'static str,
    /// The refusal's code; empty if it was served.
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: String,
}

/// Why a connection was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What is looked up when somebody reads.
#[derive(Debug, Default)]
struct Live {
    policy_age: Gauge<f64, AtomicU64>,
    policy_version: Gauge,
    policy_is_fresh: Gauge,
    journal_length: Gauge,
    journal_room: Gauge,
    redis_is_up: Gauge,
    redis_counts: Gauge,
    redis_unanswered: Counter,
    rate_fallbacks: Counter,
}

/// Something that is counted while it lasts.
#[derive(Debug, Default)]
pub struct Inside(Gauge);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How long a request has waited for others: its client's body, and the upstream.
#[derive(Debug, Default)]
pub struct Waits(AtomicU64);

impl Waits {
    /// Adds the time until what it gives is dropped. (Not a future around the work: such a one holds the work twice,
    /// and each request would be moved about in memory for it.)
    pub fn begin(&self) -> Wait<'_> {
        Wait { waits: self, since: Instant::now() }
    }

    /// The sum.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Time that is spent on others.
#[derive(Debug)]
pub struct Wait<'a> {
    waits: &'a Waits,
    since: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let time = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waits.0.fetch_add(time, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Nothing counted yet; counts of each key only where asked for.
    pub fn new(per_key: bool) -> Self {
        // 50 us to 0.4 s: what the gateway itself takes; and 1 ms to 262 s: what a model takes.
        let added = Histogram::new(exponential_buckets(0.000_05, 2.0, 14));
        let upstream = Histogram::new(exponential_buckets(0.001, 4.0, 10));
        let mut metrics = Self {
            registry: Registry::with_prefix("latchkey_gateway"),
            requests: Family::default(),
            keys: per_key.then(Family::default),
            added,
            upstream,
            failovers: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            refused: Family::default(),
            refusals_dropped: Counter::default(),
            spans_dropped: Counter::default(),
            live: Live::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, live, .. } = self;
        registry.register(
            "requests",
            "Answered requests by route, status class and refusal code",
            self.requests.clone(),
        );
        if let Some(keys) = &self.keys {
            registry.register("key_requests", "Requests with a known key, by its public id", keys.clone());
        }
        let help = "What the gateway adds until an answer begins, without the waits for body and upstream";
        registry.register_with_unit("added", help, Unit::Seconds, self.added.clone());
        let help = "From a request's way upstream to the head of its answer";
        registry.register_with_unit("upstream", help, Unit::Seconds, self.upstream.clone());
        let help = "Requests that one upstream failed before the first byte, and another was asked for";
        registry.register("failovers", help, self.failovers.clone());
        registry.register("in_flight_requests", "Requests being served", self.in_flight.clone());
        registry.register("connections", "Connections being served", self.connections.clone());
        registry.register("refused_connections", "Connections not served, by reason", self.refused.clone());
        let help = "Refusals that found no room in memory and will not be shown";
        registry.register("dropped_refusals", help, self.refusals_dropped.clone());
        let help = "Spans that the collector did not take, or for which there was no room";
        registry.register("dropped_spans", help, self.spans_dropped.clone());
        let help = "Since the policy was last known to be in force; 0 before it is loaded, when it is not fresh either";
        registry.register_with_unit("policy_age", help, Unit::Seconds, live.policy_age.clone());
        registry.register("policy_version", "The policy version in force", live.policy_version.clone());
        registry.register("policy_fresh", "1 while requests can be decided", live.policy_is_fresh.clone());
        let help = "Requests open or settled whose usage is not in the database yet";
        registry.register("journal_queue", help, live.journal_length.clone());
        registry.register(
            "journal_room",
            "Requests there is still room for in the journal",
            live.journal_room.clone(),
        );
        let help = "1 while Redis answers; 0 without REDIS_URL, too";
        registry.register("redis_up", help, live.redis_is_up.clone());
        let help = "1 while Redis counts requests per minute, 0 while each gateway goes by its share";
        registry.register("rates_in_redis", help, live.redis_counts.clone());
        let help = "Requests refused because Redis did not answer";
        registry.register("redis_unanswered", help, live.redis_unanswered.clone());
        let help = "How often the gateways have gone over from Redis to their shares";
        registry.register("rate_fallbacks", help, live.rate_fallbacks.clone());
    }

    /// Counts an answered request. `code` is its refusal's, or empty.
    pub fn answered(&self, route: &'static str, status: StatusCode, code: &'static str) {
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&Outcome { route, status, code }).inc();
    }

    /// Counts a request of a key, by its public id, where the operator wants that.
    pub fn key_used(&self, public_id: &str) {
        if let Some(keys) = &self.keys {
            keys.get_or_create(&KeyLabel { key: public_id.to_owned() }).inc();
        }
    }

    /// Notes what the gateway itself took for a request.
    pub fn took(&self, time: Duration) {
        self.added.observe(time.as_secs_f64());
    }

    /// Counts a request that one upstream failed and another was asked for.
    pub fn failed_over(&self) {
        self.failovers.inc();
    }

    /// Notes what an upstream took to begin its answer.
    pub fn upstream_took(&self, time: Duration) {
        self.upstream.observe(time.as_secs_f64());
    }

    /// A request, while it is served.
    pub fn request(&self) -> Inside {
        inside(&self.in_flight)
    }

    /// A connection, while it is served.
    pub fn connection(&self) -> Inside {
        inside(&self.connections)
    }

    /// Counts a connection that was not served. The reason is one of a few fixed words.
    pub fn refused_connection(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a refusal that is not written down.
    pub fn refusal_dropped(&self) {
        self.refusals_dropped.inc();
    }

    /// How many refusals were not written down.
    pub fn refusals_dropped(&self) -> u64 {
        self.refusals_dropped.get()
    }

    /// Counts spans that nobody gets.
    pub fn spans_dropped(&self, count: u64) {
        self.spans_dropped.inc_by(count);
    }

    /// How many spans nobody got.
    pub fn dropped_spans(&self) -> u64 {
        self.spans_dropped.get()
    }

    /// Everything as `OpenMetrics` text, with how `policy`, `journal` and `rates` stand now.
    fn read(&self, policy: &Policy, journal: &Journal, rates: &Rates) -> Result<String, std::fmt::Error> {
        let live = &self.live;
        live.policy_age.set(policy.age().as_secs_f64());
        live.policy_version.set(policy.version());
        live.policy_is_fresh.set(i64::from(policy.is_fresh()));
        let (length, room) = journal.fill();
        live.journal_length.set(i64::try_from(length).unwrap_or(i64::MAX));
        live.journal_room.set(i64::try_from(room).unwrap_or(i64::MAX));
        let standing = rates.standing();
        live.redis_is_up.set(i64::from(standing.redis_is_up.unwrap_or(false)));
        live.redis_counts.set(i64::from(standing.redis_counts));
        live.redis_unanswered.inner().store(standing.unanswered, Ordering::Relaxed);
        live.rate_fallbacks.inner().store(standing.fallbacks, Ordering::Relaxed);
        let mut answer = String::new();
        text::encode(&mut answer, &self.registry)?;
        Ok(answer)
    }
}

fn inside(gauge: &Gauge) -> Inside {
    gauge.inc();
    Inside(gauge.clone())
}

/// What the reading side needs.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The counts.
    pub metrics: Arc<Metrics>,
    /// How old it is.
    pub policy: Arc<Policy>,
    /// How full it is.
    pub journal: Journal,
    /// What requests per minute are counted by.
    pub rates: Arc<Rates>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;

    fn read(metrics: &Metrics) -> String {
        let policy = Policy::new(Duration::from_secs(30));
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), 1 << 20).unwrap();
        let pool =
            store::connect::lazy_pool("postgres://nobody@127.0.0.1:1/nothing", 1, Duration::from_secs(1));
        let rates = Rates::new(pool.unwrap(), store::new_id(), None);
        metrics.read(&policy, &Journal::new(Arc::new(spool), 8).0, &rates).unwrap()
    }

    #[tokio::test]
    async fn counts_are_read_as_they_stand() {
        let metrics = Metrics::new(false);
        metrics.answered("/v1/models", StatusCode::OK, "");
        metrics.answered("/v1/models", StatusCode::OK, "");
        metrics.answered("none", StatusCode::UNAUTHORIZED, "invalid_api_key");
        metrics.took(Duration::from_micros(70));
        metrics.upstream_took(Duration::from_secs(2));
        metrics.refused_connection("client");
        metrics.key_used("aBcDeF123456");
        let first = metrics.request();
        drop(metrics.request());
        let text = read(&metrics);
        for line in [
            "latchkey_gateway_requests_total{route=\"/v1/models\",status=\"2xx\",code=\"\"} 2",
            "latchkey_gateway_requests_total{route=\"none\",status=\"4xx\",code=\"invalid_api_key\"} 1",
            "latchkey_gateway_added_seconds_bucket{le=\"0.0001\"} 1",
            "latchkey_gateway_upstream_seconds_count 1",
            "latchkey_gateway_refused_connections_total{reason=\"client\"} 1",
            "latchkey_gateway_in_flight_requests 1",
            "latchkey_gateway_connections 0",
            "latchkey_gateway_policy_fresh 0",
            "latchkey_gateway_journal_queue 0",
            "latchkey_gateway_journal_room 8",
            "latchkey_gateway_redis_up 0",
            "latchkey_gateway_rates_in_redis 0",
            "latchkey_gateway_redis_unanswered_total 0",
            "latchkey_gateway_rate_fallbacks_total 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is missing in {text}");
        }
        assert!(!text.contains("aBcDeF123456"), "keys are counted unasked");
        assert!(text.ends_with("# EOF\n"), "{text}");
        drop(first);
        assert!(read(&metrics).contains("latchkey_gateway_in_flight_requests 0"));
    }

    #[tokio::test]
    async fn keys_are_counted_where_that_is_asked_for() {
        let metrics = Metrics::new(true);
        metrics.key_used("aBcDeF123456");
        assert!(read(&metrics).contains("latchkey_gateway_key_requests_total{key=\"aBcDeF123456\"} 1"));
    }
}
