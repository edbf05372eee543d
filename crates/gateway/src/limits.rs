//! Limits, enforced: reservations out of leases, and leases out of the database.
//!
//! A request's worst case is reserved in memory, of every limit that applies or of none. Where a lease has no room the
//! database is asked, once for all who wait; what it refuses is remembered for a moment, so that an exhausted key costs
//! no database. Unused leases go back. Nothing here ever takes a missing answer for a yes.

mod asking;
mod lease;
mod purse;
pub mod rates;
mod returning;
mod spend;

use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::decision::{Admission, Denial, LimitRoom, Step};
use domain::limit::Measure;
use domain::refusal::{LimitKind, LimitReached, Refusal};
use domain::{KeyId, LimitId};
use store::usage::Charge;
use store::{PgPool, StoreError, limits};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use self::asking::Shortage;
use self::purse::{Need, Purse};
use self::rates::Rates;
use crate::spool::record::Reserved;

/// A database that does not answer within this time has not granted anything, and no request asks for longer.
const ASK_TIME: Duration = Duration::from_millis(1_500);
/// Readers of figures at once.
const FIGURES: usize = 2;

/// One limit as it applies to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The limit.
    pub id: LimitId,
    /// What a refusal calls it.
    pub kind: LimitKind,
    /// What it counts.
    pub measure: Measure,
    /// How much: nano-dollars or tokens.
    pub amount: i64,
    /// Nothing is left of it until its window ends, as the database has it.
    pub used_up: bool,
    /// When that is; `None` is never, or not known.
    pub ends_at: Option<OffsetDateTime>,
}

impl Terms {
    /// Whether the database is known to have nothing left of it.
    pub fn is_used_up(&self, now: OffsetDateTime) -> bool {
        self.used_up && self.ends_at.is_none_or(|end| now < end)
    }

    /// What a request that would take of a used-up limit is told.
    pub fn refusal(&self, now: OffsetDateTime) -> Refusal {
        let resets_in = self.ends_at.and_then(|end| (end - now).try_into().ok());
        Refusal::LimitReached(LimitReached {
            kind: self.kind,
            limit: self.amount,
            resets_in,
            reserved: false,
        })
    }
}

/// Everything this gateway holds.
#[derive(Debug)]
pub struct Limits {
    pool: PgPool,
    gateway: Uuid,
    purses: RwLock<HashMap<LimitId, Arc<Purse>>>,
    rates: Arc<Rates>,
    idle_after: Duration,
    shortage: Shortage,
    /// Turns to read figures.
    figures: Semaphore,
    fence: AtomicI64,
}

/// What one admitted request holds, until it is settled. Dropped without that, it gives everything back.
#[derive(Debug, Default)]
pub struct Reservation {
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    purse: Arc<Purse>,
    measure: Measure,
    starts_at: OffsetDateTime,
    epoch: i64,
    amount: i64,
}

impl Reservation {
    /// Turns what was reserved into what was consumed: `charges` are those of this reservation. One may be larger than
    /// what was reserved for it: then the limit blocks until the database has counted it.
    pub fn settle(mut self, charges: &[Charge]) {
        for part in std::mem::take(&mut self.parts) {
            let is_of = |charge: &&Charge| {
                charge.limit == part.purse.limit()
                    && charge.starts_at == part.starts_at
                    && charge.epoch == part.epoch
            };
            let consumed = charges.iter().find(is_of).map_or(0, |charge| charge.amount.max(0));
            part.purse.settle(part.starts_at, part.epoch, part.amount, consumed);
        }
    }

    /// What is reserved of each limit, for the journal.
    pub fn reserved(&self) -> Vec<Reserved> {
        let reserved = |part: &Part| Reserved {
            limit: part.purse.limit(),
            measure: part.measure.into(),
            // To the microsecond, as the database keeps it.
            starts_at: i64::try_from(part.starts_at.unix_timestamp_nanos()).unwrap_or(i64::MAX),
            epoch: part.epoch,
            amount: part.amount,
        };
        self.parts.iter().map(reserved).collect()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for part in &self.parts {
            part.purse.settle(part.starts_at, part.epoch, part.amount, 0);
        }
    }
}

impl Limits {
    /// The limits of the gateway called `gateway`, whose leases are in this database. What it holds of one goes back
    /// when no request has needed it for `idle_after`.
    pub fn new(pool: PgPool, gateway: Uuid, rates: Rates, idle_after: Duration) -> Self {
        let rates = Arc::new(rates);
        Self {
            pool,
            gateway,
            purses: RwLock::default(),
            rates,
            idle_after,
            shortage: Shortage::default(),
            figures: Semaphore::new(FIGURES),
            fence: AtomicI64::new(0),
        }
    }

    /// Requests per minute.
    pub fn rates(&self) -> &Arc<Rates> {
        &self.rates
    }

    /// Reserves what `decide` asks for, of all `terms` or of none. `worst` is the request's worst case in each measure,
    /// `now` the database's time. `decide` is the decision; it is asked again whenever a lease has grown.
    pub async fn reserve(
        &self,
        terms: &[Terms],
        worst: impl Fn(Measure) -> i64,
        now: OffsetDateTime,
        decide: impl Fn(&[LimitRoom]) -> Result<Admission, Denial>,
    ) -> Result<(Admission, Reservation), Refusal> {
        let mut needs: Vec<Need> = terms
            .iter()
            .map(|terms| Need { purse: self.purse(terms.id), terms: *terms, amount: worst(terms.measure) })
            .collect();
        // One order for all, so that two requests never wait for each other.
        needs.sort_by_key(|need| need.terms.id);
        let deadline = Instant::now() + ASK_TIME;
        loop {
            let denial = match purse::try_reserve(&needs, now, &decide) {
                Ok(reserved) => {
                    self.shortage.tell(reserved.short);
                    return Ok((reserved.admission, Reservation { parts: reserved.parts }));
                }
                Err(denial) => denial,
            };
            let may_grow = needs.iter().any(|need| need.purse.may_grow(need, now));
            if !may_grow || denial.step != Step::Reservation {
                return Err(denial.refusal);
            }
            // What comes may be taken by others who are as entitled to it; then there is more to ask for.
            if Instant::now() >= deadline {
                return Err(Refusal::Overloaded);
            }
            self.ask(&needs, now, deadline).await?;
        }
    }

    /// The database has booked these charges: they are no longer held here.
    pub fn booked(&self, charges: &[Charge]) {
        for charge in charges {
            if let Some(purse) = self.find(charge.limit) {
                purse.booked(charge.starts_at, charge.epoch, charge.amount);
            }
        }
    }

    /// What a limit has left for one request, here and in the database as far as that was asked; `i64::MAX` where it
    /// has not refused anything lately.
    pub fn left(&self, limit: LimitId, now: OffsetDateTime) -> i64 {
        self.find(limit).map_or(i64::MAX, |purse| purse.left(now))
    }

    /// A key's own limits, as the database has them.
    pub async fn standings(&self, key: KeyId) -> Result<Vec<limits::Standing>, Refusal> {
        let asking = async {
            // So many at once: whoever asks for figures must not take the connections that leases need.
            let _turn = self.figures.acquire().await;
            limits::list_of_key(&self.pool, key).await
        };
        match timeout(ASK_TIME, asking).await {
            Ok(Ok(standings)) => Ok(standings),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(_) => Err(unavailable(&StoreError::PoolTimedOut)),
        }
    }

    fn all(&self) -> Vec<Arc<Purse>> {
        self.purses.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, limit: LimitId) -> Option<Arc<Purse>> {
        self.purses.read().unwrap_or_else(PoisonError::into_inner).get(&limit).cloned()
    }

    fn purse(&self, limit: LimitId) -> Arc<Purse> {
        if let Some(purse) = self.find(limit) {
            return purse;
        }
        let mut purses = self.purses.write().unwrap_or_else(PoisonError::into_inner);
        purses.entry(limit).or_insert_with(|| Arc::new(Purse::new(limit, self.idle_after))).clone()
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "what a limit has left cannot be known; requests that need it are refused");
    Refusal::PolicyUnavailable
}
