//! Requests per minute: counted in memory, shared between gateways by what the database says.
//!
//! A slot is taken before the decision and given back if a later step refuses. What is counted is what this gateway
//! has admitted; what it may admit is its share of the limit, all of it where it is alone. While the gateways change,
//! or when it has not been able to ask for too long, it goes by the smaller share or by none.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::KeyId;
use domain::decision::RateRoom;
use domain::rate::{self, RateWindow};
use domain::refusal::Refusal;
use store::policy;
use store::shares::{self, Membership};
use store::{PgPool, StoreError};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// Keys are spread over so many locks.
const SHARDS: usize = 64;
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Until it is known for the first time.
const ASK_FIRST: Duration = Duration::from_millis(50);
const ASK_TIME: Duration = Duration::from_secs(5);
/// A gateway that has not asked for this long is nobody's member any more (`share_rates` counts the same).
const SHARES_LAST: Duration = Duration::from_secs(30);
/// How far back requests count.
const WINDOW: Duration = Duration::from_secs(61);

/// Every key's window, and this gateway's share.
#[derive(Debug)]
pub struct Rates {
    pool: PgPool,
    gateway: Uuid,
    started: Instant,
    /// The second of `started`, since 1970, by the database's clock.
    first_second: AtomicU64,
    shares: RwLock<Shares>,
    hasher: RandomState,
    windows: [Mutex<HashMap<KeyId, RateWindow>>; SHARDS],
}

#[derive(Debug, Default)]
struct Shares {
    membership: Membership,
    asked: Option<Instant>,
}

impl Shares {
    fn are_known(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < SHARES_LAST)
    }
}

/// One request's place in its key's window. Dropped without [`Slot::keep`], it is given back.
#[derive(Debug)]
pub struct Slot {
    rates: Arc<Rates>,
    key: KeyId,
    second: u64,
    /// What is left beside it.
    after: RateRoom,
    is_kept: bool,
}

impl Slot {
    /// The request is admitted. Gives what the limit leaves after it.
    pub fn keep(mut self) -> RateRoom {
        self.is_kept = true;
        self.after
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_kept {
            let mut windows = self.rates.shard(self.key);
            if let Some(window) = windows.get_mut(&self.key) {
                window.give_back(self.second);
            }
        }
    }
}

impl Rates {
    /// No requests yet, and no share: of the gateway called `gateway`.
    pub fn new(pool: PgPool, gateway: Uuid) -> Self {
        Self {
            pool,
            gateway,
            started: Instant::now(),
            first_second: AtomicU64::new(0),
            shares: RwLock::default(),
            hasher: RandomState::new(),
            windows: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Takes a slot of a key's `limit` requests per minute, if there is one. The room is what there was before.
    pub fn take(self: &Arc<Self>, key: KeyId, limit: u32) -> Result<(RateRoom, Option<Slot>), Refusal> {
        let share = self.share(key, limit).ok_or(Refusal::PolicyUnavailable)?;
        let mut windows = self.shard(key);
        // Read under the lock, so that the seconds of one window never go back.
        let second = self.second();
        let window = windows.entry(key).or_insert_with(|| RateWindow::new(second));
        let room = window.room(share, second);
        let slot = (room.admitted < share).then(|| {
            window.take(second);
            let after = of_all(window.room(share, second), limit);
            Slot { rates: self.clone(), key, second, after, is_kept: false }
        });
        Ok((of_all(room, limit), slot))
    }

    /// What a key's limit leaves now, without taking any of it.
    pub fn room(&self, key: KeyId, limit: u32) -> Result<RateRoom, Refusal> {
        let share = self.share(key, limit).ok_or(Refusal::PolicyUnavailable)?;
        let (second, mut windows) = (self.second(), self.shard(key));
        let mut unused = RateWindow::new(second);
        Ok(of_all(windows.get_mut(&key).unwrap_or(&mut unused).room(share, second), limit))
    }

    /// Whether it is known what this gateway may admit.
    pub fn is_known(&self) -> bool {
        self.shares.read().unwrap_or_else(PoisonError::into_inner).are_known()
    }

    /// Counts what the ledger knows of the last minute: at start, before any request is taken.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let now = policy::pulse(&self.pool).await?.now;
        let admitted = shares::list_admitted(&self.pool, now - WINDOW).await?;
        let now = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        self.first_second.store(now.saturating_sub(self.started.elapsed().as_secs()), Ordering::Release);
        for requests in admitted {
            let second = u64::try_from(requests.second).unwrap_or(0).min(now);
            let mut windows = self.shard(requests.key);
            let window = windows.entry(requests.key).or_insert_with(|| RateWindow::new(second));
            for _ in 0..requests.count {
                window.take(second);
            }
        }
        Ok(())
    }

    /// Asks what to go by once a second, until dropped.
    pub async fn follow(self: Arc<Self>) {
        loop {
            let moment = Instant::now();
            match timeout(ASK_TIME, shares::agree(&self.pool, self.gateway, self.epoch())).await {
                Ok(Ok(Some(membership))) => self.go_by(membership, moment),
                // Not signed in yet: that takes a moment.
                Ok(Ok(None)) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "this gateway's share of rate limits is not known anew");
                }
                Err(_) => tracing::debug!("the database does not say this gateway's share of rate limits"),
            }
            self.forget_idle();
            sleep(if self.is_known() { ASK_EVERY } else { ASK_FIRST }).await;
        }
    }

    fn go_by(&self, membership: Membership, asked: Instant) {
        let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
        if shares.membership.members != membership.members {
            let (epoch, gateways) = (membership.epoch, membership.members.len());
            tracing::info!(epoch, gateways, "the gateways that share rate limits have changed");
        }
        *shares = Shares { membership, asked: Some(asked) };
    }

    fn epoch(&self) -> i64 {
        self.shares.read().unwrap_or_else(PoisonError::into_inner).membership.epoch
    }

    /// What this gateway may admit of `limit`; `None` where that is not known.
    fn share(&self, key: KeyId, limit: u32) -> Option<u32> {
        let shares = self.shares.read().unwrap_or_else(PoisonError::into_inner);
        if !shares.are_known() {
            return None;
        }
        let among = |members: &[Uuid]| {
            let rank = members.iter().position(|member| *member == self.gateway);
            rank.map_or(0, |rank| rate::share(limit, key, members.len(), rank))
        };
        let Membership { members, previous, settled, .. } = &shares.membership;
        Some(if *settled { among(members) } else { among(members).min(among(previous)) })
    }

    /// Windows nobody has used for a minute.
    fn forget_idle(&self) {
        for shard in &self.windows {
            let second = self.second();
            let mut windows = shard.lock().unwrap_or_else(PoisonError::into_inner);
            windows.retain(|_, window| window.room(u32::MAX, second).admitted > 0);
        }
    }

    fn second(&self) -> u64 {
        self.first_second.load(Ordering::Acquire) + self.started.elapsed().as_secs()
    }

    fn shard(&self, key: KeyId) -> MutexGuard<'_, HashMap<KeyId, RateWindow>> {
        let place = usize::try_from(self.hasher.hash_one(key) % 64).unwrap_or(0);
        // A panic while it was held leaves counts that are at worst too high.
        self.windows[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A share's room in terms of the whole limit, which is what a client knows: what others may admit is not its to use
/// here.
fn of_all(room: RateRoom, limit: u32) -> RateRoom {
    let left = room.limit.saturating_sub(room.admitted);
    RateRoom { limit, admitted: limit.saturating_sub(left), ..room }
}
