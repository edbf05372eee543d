//! What all exchanges together were like.

use std::time::Duration;

use serde::Serialize;

use super::exchange::Exchange;

/// What was noted, exchange by exchange.
#[derive(Debug, Default)]
pub struct Samples {
    totals: Vec<Duration>,
    first_bytes: Vec<Duration>,
    gaps: Vec<Duration>,
    ways: Vec<Duration>,
    merged: u32,
    broken: u32,
    failed: u32,
    first_failure: Option<String>,
}

/// The result of a run, as `xtask` reads it.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// Answers with the expected status, read to their end.
    pub answered: usize,
    /// Everything else.
    pub failed: u32,
    /// The first of these.
    pub first_failure: Option<String>,
    /// From the first beginning to the last end.
    pub seconds: f64,
    /// To the last byte.
    pub total_ms: Times,
    /// To the first byte of the body.
    pub first_byte_ms: Times,
    /// The longest time between two arrivals of a stream.
    pub gap_ms: Times,
    /// The longest time that a frame of a stream was on its way.
    pub way_ms: Times,
    /// Frames that arrived together with another.
    pub merged: u32,
    /// Streams that lack a frame or have one out of order.
    pub broken: u32,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// Half are at most this.
    pub p50: f64,
    /// All but one in a hundred are at most this.
    pub p99: f64,
    /// All are at most this.
    pub max: f64,
}

impl Samples {
    /// Takes an answer.
    pub fn note(&mut self, exchange: &Exchange) {
        self.totals.push(exchange.total);
        self.first_bytes.push(exchange.first_byte);
        if let Some(stream) = &exchange.stream {
            self.gaps.push(stream.longest_gap);
            self.ways.push(stream.longest_way);
            self.merged += stream.merged;
            self.broken += u32::from(stream.is_broken);
        }
    }

    /// Takes what is no answer.
    pub fn fail(&mut self, why: &str) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| why.to_owned());
    }

    /// Takes what another connection has noted.
    pub fn add(&mut self, other: Self) {
        self.totals.extend(other.totals);
        self.first_bytes.extend(other.first_bytes);
        self.gaps.extend(other.gaps);
        self.ways.extend(other.ways);
        self.merged += other.merged;
        self.broken += other.broken;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// The whole, which took `time`.
    pub fn sum_up(self, time: Duration) -> Seen {
        Seen {
            answered: self.totals.len(),
            failed: self.failed,
            first_failure: self.first_failure,
            seconds: time.as_secs_f64(),
            total_ms: Times::of(self.totals),
            first_byte_ms: Times::of(self.first_bytes),
            gap_ms: Times::of(self.gaps),
            way_ms: Times::of(self.ways),
            merged: self.merged,
            broken: self.broken,
        }
    }
}

impl Times {
    /// Of these; zero if there are none.
    pub fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100).saturating_sub(1);
            samples.get(rank).map_or(0.0, |sample| sample.as_secs_f64() * 1_000.0)
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let times = Times::of((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(times, Times { p50: 100.0, p99: 198.0, max: 200.0 });
        assert_eq!(Times::of(vec![Duration::from_millis(3)]), Times { p50: 3.0, p99: 3.0, max: 3.0 });
        assert_eq!(Times::of(Vec::new()), Times::default());
    }
}
