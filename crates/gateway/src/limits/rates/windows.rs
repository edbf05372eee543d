//! What this gateway has admitted of each key within the last minute.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::KeyId;
use domain::decision::RateRoom;
use domain::rate::RateWindow;

/// Keys are spread over so many locks.
const SHARDS: usize = 64;

/// Every key's window.
#[derive(Debug)]
pub(super) struct Windows {
    hasher: RandomState,
    shards: [Mutex<HashMap<KeyId, RateWindow>>; SHARDS],
    /// How often they have begun anew.
    generation: AtomicU64,
}

/// Where a request is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: KeyId,
    second: u64,
    generation: u64,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
            generation: AtomicU64::new(0),
        }
    }

    /// Counts one request if there are fewer than `share`. The rooms are what there was before it, and is after it.
    pub(super) fn take(
        &self,
        key: KeyId,
        share: u32,
        now: impl FnOnce() -> u64,
    ) -> (RateRoom, Option<(Place, RateRoom)>) {
        let mut windows = self.shard(key);
        // Read under the lock, so that the seconds of one window never go back.
        let second = now();
        let window = windows.entry(key).or_insert_with(|| RateWindow::new(second));
        let room = window.room(share, second);
        let taken = (room.admitted < share).then(|| {
            window.take(second);
            let generation = self.generation.load(Ordering::Acquire);
            (Place { key, second, generation }, window.room(share, second))
        });
        (room, taken)
    }

    /// What a share leaves now.
    pub(super) fn room(&self, key: KeyId, share: u32, now: impl FnOnce() -> u64) -> RateRoom {
        let mut windows = self.shard(key);
        let second = now();
        let mut unused = RateWindow::new(second);
        windows.get_mut(&key).unwrap_or(&mut unused).room(share, second)
    }

    /// The request counted there was refused by a later step.
    pub(super) fn give_back(&self, place: Place) {
        let mut windows = self.shard(place.key);
        // What was counted before they began anew has been told to others: it stays.
        if self.generation.load(Ordering::Acquire) == place.generation
            && let Some(window) = windows.get_mut(&place.key)
        {
            window.give_back(place.second);
        }
    }

    /// Counts requests of an earlier run.
    pub(super) fn add(&self, key: KeyId, second: u64, requests: i64) {
        let mut windows = self.shard(key);
        let window = windows.entry(key).or_insert_with(|| RateWindow::new(second));
        for _ in 0..requests {
            window.take(second);
        }
    }

    /// Empties them all, and gives what they held.
    pub(super) fn begin_anew(&self, second: u64) -> Vec<(KeyId, u32)> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        let mut held = Vec::new();
        for shard in &self.shards {
            let windows = std::mem::take(&mut *lock(shard));
            let counts = windows.into_iter().map(|(key, mut w)| (key, w.room(u32::MAX, second).admitted));
            held.extend(counts.filter(|(_, admitted)| *admitted > 0));
        }
        held
    }

    /// Forgets windows nobody has used for a minute.
    pub(super) fn forget_idle(&self, now: impl Fn() -> u64) {
        for shard in &self.shards {
            let mut windows = lock(shard);
            let second = now();
            windows.retain(|_, window| window.room(u32::MAX, second).admitted > 0);
        }
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, HashMap<KeyId, RateWindow>> {
        lock(&self.shards[usize::try_from(self.hasher.hash_one(key) % 64).unwrap_or(0)])
    }
}

fn lock(shard: &Mutex<HashMap<KeyId, RateWindow>>) -> MutexGuard<'_, HashMap<KeyId, RateWindow>> {
    // A panic while it was held leaves counts that are at worst too high.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_they_began_anew_is_told_and_not_given_back() {
        let (windows, key) = (Windows::new(), KeyId(uuid::Uuid::from_u128(1)));
        let (_, first) = windows.take(key, 2, || 100);
        windows.take(key, 2, || 100);
        assert!(windows.take(key, 2, || 100).1.is_none());
        assert_eq!(windows.begin_anew(101), [(key, 2)]);
        let (_, second) = windows.take(key, 1, || 101);
        windows.give_back(first.unwrap().0);
        assert_eq!(windows.room(key, 1, || 101).admitted, 1);
        windows.give_back(second.unwrap().0);
        assert_eq!(windows.room(key, 1, || 101).admitted, 0);
        assert!(windows.begin_anew(101).is_empty());
    }
}
