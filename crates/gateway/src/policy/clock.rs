//! The database's time, kept between two looks at it by this machine's monotonic clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use time::OffsetDateTime;

/// Above this difference between the database's clock and this machine's, one of the two is wrong.
const MAX_SKEW: Duration = Duration::from_secs(30);

/// A clock that shows the database's time.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    /// The database's time at `origin`, in nanoseconds since 1970.
    at_origin: AtomicI64,
    skew_ms: AtomicI64,
}

impl Default for Clock {
    /// This machine's own time, until the database has been heard.
    fn default() -> Self {
        let clock = Self { origin: Instant::now(), at_origin: AtomicI64::new(0), skew_ms: AtomicI64::new(0) };
        clock.set(SystemTime::now().into());
        clock
    }
}

impl Clock {
    /// The database's time.
    pub fn now(&self) -> OffsetDateTime {
        let nanos = self.at_origin.load(Ordering::Relaxed).saturating_add(self.since_origin());
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// The database says it is `now`.
    pub(super) fn set(&self, now: OffsetDateTime) {
        let nanos = i64::try_from(now.unix_timestamp_nanos()).unwrap_or(i64::MAX);
        self.at_origin.store(nanos.saturating_sub(self.since_origin()), Ordering::Relaxed);
        let skew = (now - OffsetDateTime::from(SystemTime::now())).whole_milliseconds();
        self.skew_ms.store(i64::try_from(skew).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Whether this machine's clock and the database's disagree so much that one of them is wrong.
    pub fn is_skewed(&self) -> bool {
        Duration::from_millis(self.skew_ms.load(Ordering::Relaxed).unsigned_abs()) > MAX_SKEW
    }

    fn since_origin(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_the_database_said_and_goes_on() {
        let clock = Clock::default();
        assert!(!clock.is_skewed());
        let said = time::macros::datetime!(2030-01-01 00:00 UTC);
        clock.set(said);
        let shown = clock.now();
        assert!(shown >= said && shown < said + time::Duration::MINUTE, "{shown}");
        assert!(clock.is_skewed());
    }
}
