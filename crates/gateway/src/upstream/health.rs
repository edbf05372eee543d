//! Whether a provider answers: one that keeps failing rests a while, so that requests do not wait for it first.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// So many failures in a row, and it rests.
const FAILURES: u32 = 3;
const REST: Duration = Duration::from_secs(10);

/// What is known of one provider. A request that has no other goes to it all the same.
#[derive(Debug)]
pub(super) struct Health {
    since: Instant,
    failures: AtomicU32,
    /// Milliseconds after `since`; 0 is not at all.
    rests_until: AtomicU64,
}

impl Default for Health {
    fn default() -> Self {
        Self { since: Instant::now(), failures: AtomicU32::new(0), rests_until: AtomicU64::new(0) }
    }
}

impl Health {
    /// It has answered.
    pub(super) fn answered(&self) {
        // Nearly always there is nothing to change, and reading is cheaper where many threads do it.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.rests_until.store(0, Ordering::Relaxed);
        }
    }

    /// It could not be reached, or failed. True when it begins to rest.
    pub(super) fn failed(&self) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES {
            self.rests_until.store(self.now() + millis(REST), Ordering::Relaxed);
        }
        failures == FAILURES
    }

    /// Whether it is better left alone.
    pub(super) fn is_resting(&self) -> bool {
        self.now() < self.rests_until.load(Ordering::Relaxed)
    }

    fn now(&self) -> u64 {
        millis(self.since.elapsed())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_after_three_failures_and_is_well_after_one_answer() {
        let health = Health::default();
        assert_eq!((health.failed(), health.failed(), health.is_resting()), (false, false, false));
        health.answered();
        assert_eq!((health.failed(), health.failed(), health.failed()), (false, false, true));
        assert!(health.is_resting() && !health.failed());
        health.answered();
        assert!(!health.is_resting());
    }
}
