//! Requests per minute: counted in memory, and with other gateways in Redis or by shares that the database says.
//!
//! A slot is taken before the decision and given back if a later step refuses. Where all gateways see the same Redis it
//! counts for all of them; else each admits its share of the limit, all of it where it is alone. While that changes, or
//! when this gateway has not been able to ask for too long, it goes by what is smaller, or admits nothing.

mod agree;
mod redis;
mod rule;
mod windows;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::KeyId;
use domain::decision::RateRoom;
use domain::refusal::Refusal;
use store::policy;
use store::shares;
use store::{PgPool, StoreError};
use tokio::runtime::Handle;
use uuid::Uuid;

use self::redis::{Link, Wish};
use self::rule::Agreement;
use self::windows::{Place, Windows};
use crate::config;

/// How far back requests count.
const WINDOW: Duration = Duration::from_secs(61);

/// Every key's window, and what this gateway goes by.
#[derive(Debug)]
pub struct Rates {
    pool: PgPool,
    gateway: Uuid,
    started: Instant,
    /// The millisecond of `started`, since 1970, by the database's clock.
    first_milli: AtomicU64,
    agreement: RwLock<Agreement>,
    windows: Windows,
    /// The requests of an earlier run are counted.
    is_recovered: AtomicBool,
    link: Option<Arc<Link>>,
    /// How often all have gone over from Redis to shares.
    fallbacks: AtomicU64,
}

/// One request's place in its key's window. Dropped without [`Slot::keep`], it is given back.
#[derive(Debug)]
pub struct Slot {
    rates: Arc<Rates>,
    key: KeyId,
    place: Place,
    in_redis: Option<InRedis>,
    /// What is left beside it.
    after: RateRoom,
    is_kept: bool,
}

/// Where Redis has counted a request.
#[derive(Debug)]
struct InRedis {
    link: Arc<Link>,
    name: Arc<str>,
    second: i64,
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
        if self.is_kept {
            return;
        }
        self.rates.windows.give_back(self.place);
        // At the end of the process there may be nobody left to run it: what does not arrive stays counted.
        if let (Some(InRedis { link, name, second }), Ok(runtime)) =
            (self.in_redis.take(), Handle::try_current())
        {
            let key = self.key;
            runtime.spawn(async move { link.give_back(&name, key, second).await });
        }
    }
}

/// How requests per minute stand, for metrics.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Redis answers; `None` without `REDIS_URL`.
    pub redis_is_up: Option<bool>,
    /// It alone counts.
    pub redis_counts: bool,
    /// Requests refused because Redis did not answer.
    pub unanswered: u64,
    /// How often all gateways have gone over from Redis to shares.
    pub fallbacks: u64,
}

impl Rates {
    /// No requests yet, and no share: of the gateway called `gateway`, which counts in `redis` if the others do.
    pub fn new(pool: PgPool, gateway: Uuid, redis: Option<config::Redis>) -> Self {
        Self {
            pool,
            gateway,
            started: Instant::now(),
            first_milli: AtomicU64::new(0),
            agreement: RwLock::default(),
            windows: Windows::new(),
            is_recovered: AtomicBool::new(false),
            link: redis.map(|redis| Arc::new(Link::new(redis))),
            fallbacks: AtomicU64::new(0),
        }
    }

    /// Takes a slot of a key's `limit` requests per minute, if there is one. The room is what there was before.
    pub async fn take(self: &Arc<Self>, key: KeyId, limit: u32) -> Result<(RateRoom, Option<Slot>), Refusal> {
        let (name, room, taken) = {
            // Held until it is counted: who goes by another rule has counted all that the old one has admitted.
            let agreement = self.agreement.read().unwrap_or_else(PoisonError::into_inner);
            let rule = agreement.rule(self.gateway, key, limit).ok_or(Refusal::PolicyUnavailable)?;
            let (room, taken) = self.windows.take(key, rule.share, || self.second());
            (rule.redis, of_all(room, limit), taken)
        };
        let Some((place, after)) = taken else { return Ok((room, None)) };
        let after = of_all(after, limit);
        let mut slot = Slot { rates: self.clone(), key, place, in_redis: None, after, is_kept: false };
        let Some(name) = name else { return Ok((room, Some(slot))) };
        let link = self.link.clone().ok_or(Refusal::PolicyUnavailable)?;
        // Boxed: most keys have no such limit, and their requests should not carry room for it.
        let answer = Box::pin(link.ask(&name, key, limit, Wish::Take)).await;
        let answer = answer.ok_or(Refusal::PolicyUnavailable)?;
        if !answer.done {
            return Ok((tighter(room, answer.before), None));
        }
        slot.after = tighter(slot.after, answer.after);
        slot.in_redis = Some(InRedis { link, name, second: answer.second });
        Ok((tighter(room, answer.before), Some(slot)))
    }

    /// What a key's limit leaves now, without taking any of it.
    pub async fn room(&self, key: KeyId, limit: u32) -> Result<RateRoom, Refusal> {
        let (name, room) = {
            let agreement = self.agreement.read().unwrap_or_else(PoisonError::into_inner);
            let rule = agreement.rule(self.gateway, key, limit).ok_or(Refusal::PolicyUnavailable)?;
            (rule.redis, of_all(self.windows.room(key, rule.share, || self.second()), limit))
        };
        let Some(name) = name else { return Ok(room) };
        let link = self.link.as_ref().ok_or(Refusal::PolicyUnavailable)?;
        let answer = link.ask(&name, key, limit, Wish::Look).await.ok_or(Refusal::PolicyUnavailable)?;
        Ok(tighter(room, answer.before))
    }

    /// Whether it is known what this gateway may admit.
    pub fn is_known(&self) -> bool {
        self.agreement.read().unwrap_or_else(PoisonError::into_inner).is_known()
    }

    /// Whether this gateway has no share yet, while others have theirs and serve.
    pub fn is_behind(&self) -> bool {
        self.agreement.read().unwrap_or_else(PoisonError::into_inner).is_behind(self.gateway)
    }

    /// How they stand.
    pub fn standing(&self) -> Standing {
        let agreement = self.agreement.read().unwrap_or_else(PoisonError::into_inner);
        let membership = agreement.membership();
        Standing {
            redis_is_up: self.link.as_ref().map(|link| link.is_up()),
            redis_counts: membership.settled && membership.redis.is_some(),
            unanswered: self.link.as_ref().map_or(0, |link| link.unanswered()),
            fallbacks: self.fallbacks.load(Ordering::Relaxed),
        }
    }

    /// Counts what the ledger knows of the last minute: at start, before any request is taken.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let now = policy::pulse(&self.pool).await?.now;
        let admitted = shares::list_admitted(&self.pool, now - WINDOW).await?;
        let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        self.first_milli.store(millis.saturating_sub(self.elapsed()), Ordering::Release);
        let now = millis / 1_000;
        for requests in admitted {
            let second = u64::try_from(requests.second).unwrap_or(0).min(now);
            self.windows.add(requests.key, second, requests.count);
        }
        self.is_recovered.store(true, Ordering::Release);
        Ok(())
    }

    /// The second of the database's clock. Counted in milliseconds, or it would be up to one ahead of what was recovered.
    fn second(&self) -> u64 {
        (self.first_milli.load(Ordering::Acquire) + self.elapsed()) / 1_000
    }

    /// Milliseconds since the start.
    fn elapsed(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A share's room in terms of the whole limit, which is what a client knows: what others may admit is not its to use
/// here.
fn of_all(room: RateRoom, limit: u32) -> RateRoom {
    let left = room.limit.saturating_sub(room.admitted);
    RateRoom { limit, admitted: limit.saturating_sub(left), ..room }
}

/// Of two rooms of one limit, the one that leaves less.
fn tighter(one: RateRoom, other: RateRoom) -> RateRoom {
    if (one.admitted, one.next_slot_in) < (other.admitted, other.next_slot_in) { other } else { one }
}
