//! Requests per minute: a rolling window that never lets any 60 s admit more than the limit.
//!
//! Sixty cells of one second each, counted together with the one that is filling: 61 in all. A request therefore
//! stays in the count for 60 to 61 s, so the limit is never exceeded and at most 1/60 of it goes unused.

use std::time::Duration;

use crate::KeyId;
use crate::decision::RateRoom;

/// Whole cells in the window.
const SECONDS: u64 = 60;
const CELLS: usize = 61;

/// The requests of one key that were admitted within the last minute. Seconds come from a clock that never goes back.
#[derive(Clone, Debug)]
pub struct RateWindow {
    cells: [u32; CELLS],
    total: u32,
    /// The second that is filling.
    second: u64,
}

impl RateWindow {
    /// An empty window at second `now`.
    pub fn new(now: u64) -> Self {
        Self { cells: [0; CELLS], total: 0, second: now }
    }

    /// What a limit of `limit` requests leaves at second `now`.
    pub fn room(&mut self, limit: u32, now: u64) -> RateRoom {
        self.advance(now);
        RateRoom { limit, admitted: self.total, next_slot_in: self.next_slot_in(limit) }
    }

    /// Counts one admitted request.
    pub fn take(&mut self, now: u64) {
        self.advance(now);
        let cell = &mut self.cells[place(self.second)];
        *cell = cell.saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// Gives back the slot of a request that was counted at second `at` and then refused by a later step.
    pub fn give_back(&mut self, at: u64) {
        let still_counted = at <= self.second && self.second - at <= SECONDS;
        let cell = &mut self.cells[place(at)];
        if still_counted && *cell > 0 {
            *cell -= 1;
            self.total -= 1;
        }
    }

    /// Empties the cells that have left the window. A clock that stands still or goes back changes nothing.
    fn advance(&mut self, now: u64) {
        let passed = now.saturating_sub(self.second);
        if passed > SECONDS {
            *self = Self::new(now);
            return;
        }
        for second in self.second + 1..=self.second + passed {
            let left = std::mem::take(&mut self.cells[place(second)]);
            self.total -= left;
        }
        self.second += passed;
    }

    /// Until enough requests have left the window for one more.
    fn next_slot_in(&self, limit: u32) -> Duration {
        let mut excess = u64::from(self.total) + 1;
        // The oldest cell leaves when the next second begins, the one that is filling 61 s after it began.
        for age in 0..=SECONDS {
            let oldest = (self.second + 1 + age) % 61;
            if excess <= u64::from(limit) {
                return Duration::from_secs(age);
            }
            excess = excess.saturating_sub(u64::from(self.cells[usize::try_from(oldest).unwrap_or(0)]));
        }
        Duration::from_secs(SECONDS + 1)
    }
}

/// What one of `members` gateways may admit of a key's `limit` when they share it without counting together: equal
/// parts, and what does not divide to some of them, another choice for each key. `rank` is the gateway's place among
/// them, from 0. A limit smaller than the number of gateways is one gateway's alone: its parts would be none.
pub fn share(limit: u32, key: KeyId, members: usize, rank: usize) -> u32 {
    let Ok(count) = u32::try_from(members) else { return 0 };
    if count == 0 || rank >= members {
        return 0;
    }
    // The tail of a version 7 id is random, so keys spread evenly.
    let offset = usize::from(u16::from_be_bytes([key.0.as_bytes()[14], key.0.as_bytes()[15]]));
    let place = (rank + offset) % members;
    if limit < count {
        return if place == 0 { limit } else { 0 };
    }
    limit / count + u32::from(u32::try_from(place).is_ok_and(|place| place < limit % count))
}

/// The most of `times` (in any unit, in any order) that lie within `span` of each other, its end left out: what no window
/// of that span may hold more of, wherever it begins.
pub fn most_within(times: &[i64], span: i64) -> usize {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times[first] >= span {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

fn place(second: u64) -> usize {
    usize::try_from(second % 61).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_window_says_when_the_next_slot_comes() {
        let mut window = RateWindow::new(100);
        for _ in 0..3 {
            window.take(100);
        }
        window.take(130);
        let room = window.room(4, 130);
        assert_eq!((room.admitted, room.next_slot_in), (4, Duration::from_secs(31)));
        assert_eq!(window.room(4, 160).admitted, 4, "60 s later it may still be less than a minute ago");
        assert_eq!(window.room(4, 161).admitted, 1);
        assert_eq!(window.room(1, 161).next_slot_in, Duration::from_secs(30));
        assert_eq!(window.room(0, 161).next_slot_in, Duration::from_secs(61));
        assert_eq!(window.room(4, 10_000).admitted, 0);
    }

    #[test]
    fn a_refused_request_does_not_count() {
        let mut window = RateWindow::new(7);
        window.take(7);
        window.take(8);
        window.give_back(7);
        assert_eq!(window.room(5, 8).admitted, 1);
        window.give_back(7);
        assert_eq!(window.room(5, 8).admitted, 1, "nothing is given back twice");
        window.take(90);
        window.give_back(8);
        assert_eq!(window.room(5, 90).admitted, 1, "what has left the window is not given back");
    }

    #[test]
    fn a_clock_that_goes_back_forgets_nothing() {
        let mut window = RateWindow::new(100);
        window.take(100);
        assert_eq!(window.room(5, 40).admitted, 1);
        window.take(40);
        assert_eq!(window.room(5, 100).admitted, 2);
    }

    #[test]
    fn the_fullest_window_is_found_wherever_it_begins() {
        assert_eq!(most_within(&[], 60), 0);
        assert_eq!(most_within(&[5], 60), 1);
        assert_eq!(most_within(&[0, 59], 60), 2);
        assert_eq!(most_within(&[0, 60], 60), 1, "they are never in one window");
        assert_eq!(most_within(&[130, 0, 70, 129, 75, 40], 60), 3);
        assert_eq!(most_within(&[7, 7, 7, 66, 67], 60), 4);
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_limit(limit in 1_u32..1_000, members in 1_usize..20, key: [u8; 16]) {
            let key = KeyId(uuid::Uuid::from_bytes(key));
            let shares: Vec<u32> = (0..members).map(|rank| share(limit, key, members, rank)).collect();
            prop_assert_eq!(shares.iter().sum::<u32>(), limit);
            if usize::try_from(limit).unwrap() >= members {
                prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            }
            prop_assert_eq!(share(limit, key, members, members), 0);
        }

        /// Instants in milliseconds, whole seconds as the window sees them: any 60 s hold at most `limit`.
        #[test]
        fn no_minute_admits_more_than_the_limit(
            limit in 1_u32..8,
            gaps in proptest::collection::vec(0_u64..20_000, 1..200),
        ) {
            let mut window = RateWindow::new(0);
            let mut clock = 0;
            let mut admitted: Vec<i64> = Vec::new();
            for gap in gaps {
                clock += gap;
                let room = window.room(limit, clock / 1000);
                if room.admitted < limit {
                    window.take(clock / 1000);
                    admitted.push(i64::try_from(clock).unwrap());
                } else {
                    // What it promises is kept: at that second there is a slot.
                    let then = clock / 1000 + room.next_slot_in.as_secs();
                    prop_assert!(window.clone().room(limit, then).admitted < limit);
                    prop_assert!(window.clone().room(limit, then - 1).admitted >= limit);
                }
            }
            prop_assert!(most_within(&admitted, 60_000) <= limit as usize);
        }
    }
}
