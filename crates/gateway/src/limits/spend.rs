//! How fast one limit is spent, as far as leases must know.

use std::time::Duration;

use tokio::time::Instant;

/// What was consumed in the second that runs and in the one before, and the most that was in use at once in either.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spend {
    second: Instant,
    running: i64,
    before: i64,
    peak: i64,
    peak_before: i64,
}

impl Spend {
    pub(super) fn new(at: Instant) -> Self {
        Self { second: at, running: 0, before: 0, peak: 0, peak_before: 0 }
    }

    pub(super) fn add(&mut self, at: Instant, amount: i64) {
        self.turn(at);
        self.running = self.running.saturating_add(amount);
    }

    pub(super) fn in_use(&mut self, at: Instant, amount: i64) {
        self.turn(at);
        self.peak = self.peak.max(amount);
    }

    pub(super) fn peak(&mut self, at: Instant) -> i64 {
        self.turn(at);
        self.peak.max(self.peak_before)
    }

    pub(super) fn per_second(&mut self, at: Instant) -> i64 {
        self.turn(at);
        self.running.max(self.before)
    }

    fn turn(&mut self, at: Instant) {
        let seconds = at.saturating_duration_since(self.second).as_secs();
        if seconds > 0 {
            self.before = if seconds == 1 { self.running } else { 0 };
            self.running = 0;
            self.peak_before = if seconds == 1 { self.peak } else { 0 };
            self.peak = 0;
            self.second += Duration::from_secs(seconds);
        }
    }
}
